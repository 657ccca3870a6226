package refclock

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// Testimony is what a witness says: UTC at an instant.
type Testimony struct {
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns
	UTC   int64         // ns since the POSIX epoch
	Error time.Duration // bound of UTC's error, by the witness's own words and the way to it
}

// Witness is a server on the network that is asked for the time.
type Witness struct {
	Name      string
	Ask       func(context.Context) (Testimony, error)
	MaxOffset time.Duration // how far the clock may be from it, beyond both errors
	Required  bool          // its word counts for the lock; else it only raises an alarm
	Every     time.Duration // how often it is asked; default 64 s
}

// Verdict is what came of the last question.
type Verdict uint8

// The verdicts.
const (
	NoVerdict Verdict = iota // not asked yet, no answer, or nothing to compare with
	Agrees
	Disagrees
)

// String returns the verdict's word in logs.
func (v Verdict) String() string { return [...]string{"none", "agrees", "disagrees"}[v%3] }

// WitnessStats is a copy of what is known of a witness.
type WitnessStats struct {
	Name          string
	Required      bool
	Verdict       Verdict
	OffsetNS      float64 // clock - witness, + = clock fast; before there is a clock, the pulse as the receiver names it
	Error         time.Duration
	Asked, Silent uint64
	Disagreed     uint64
}

// WitnessEngine is the engine as Witnesses see it.
type WitnessEngine interface {
	Report() *report.Report
	Doubt(why string)
	Count(reason.Code)
}

// Witnesses compares the clock with its witnesses for as long as it runs, and
// before that the receiver's second, as the pulse begins it, with theirs. If any of them is required,
// Config.Doubt must be reason.WitnessAwaited's word: the lock is held back until more
// of the required agree than disagree, and given up when more disagree. The
// offset of UTC is the engine's, so that a wrong leap second shows.
type Witnesses struct {
	Engine WitnessEngine
	Mono   func() int64 // CLOCK_MONOTONIC_RAW, ns
	Table  func() *tai.Table
	Log    *slog.Logger
	List   []Witness

	state     []witnessState
	required  bool // any of them is
	confirmed bool
	told      string
	stats     atomic.Pointer[[]WitnessStats]
}

type witnessState struct {
	WitnessStats
	next   int64 // mono of the next question
	heard  int64 // mono of the last verdict
	quick  int   // questions asked at the short interval
	silent int   // questions without an answer, in a row
	rough  bool  // the verdict is on the receiver's message: there was no clock yet
}

const (
	// witnessEvery is NTP's usual interval (RFC 5905, figure 9: poll 6).
	witnessEvery = 64 * time.Second
	// witnessQuick and quickTries: while the lock waits for it, a witness may be
	// asked a few times in short sequence (RFC 5905, section 13: burst).
	witnessQuick = 8 * time.Second
	quickTries   = 8
	// vague is the error beyond which a witness cannot tell one second from the
	// next, with the receiver's latency of up to 1 s between them.
	vague = 400 * time.Millisecond
	// freshLabel is how old a message or a pulse may be to be compared, and
	// rawSlack what CLOCK_MONOTONIC_RAW, 300 ppm off, has lost by then.
	freshLabel = 3 * time.Second
	rawSlack   = time.Millisecond
	// nearLeap: UTC is ambiguous around a leap second.
	nearLeap = 2 * time.Second
)

// errNothing: there is nothing to compare a witness with.
var errNothing = errors.New("nothing to compare with yet")

// Stats returns what is known of each witness.
func (w *Witnesses) Stats() []WitnessStats {
	if s := w.stats.Load(); s != nil {
		return *s
	}
	return nil
}

// Run asks until ctx ends.
func (w *Witnesses) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		w.Tick(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Ready says that they are ready at once.
func (w *Witnesses) Ready() <-chan struct{} { return nil }

// String names the task in logs.
func (w *Witnesses) String() string { return "witnesses" }

// Tick asks those whose turn it is, and draws the consequences. It is to be
// called about once a second.
func (w *Witnesses) Tick(ctx context.Context) {
	if w.state == nil {
		w.state = make([]witnessState, len(w.List))
		for i, c := range w.List {
			w.state[i].Name, w.state[i].Required = c.Name, c.Required
			w.required = w.required || c.Required
		}
		if w.required {
			w.tell(reason.WitnessAwaited.String())
			w.Engine.Count(reason.WitnessAwaited)
		}
	}
	for i := range w.state {
		now, s := w.Mono(), &w.state[i]
		if s.rough && w.Engine.Report().Snapshot.Usable(now) {
			s.next = min(s.next, s.heard+int64(witnessQuick)) // now it can be told exactly
		}
		if now >= s.next && w.comparable(now) {
			w.ask(ctx, i)
		}
	}
	w.judge()
	out := make([]WitnessStats, len(w.state))
	for i := range out {
		out[i] = w.state[i].WitnessStats
	}
	w.stats.Store(&out)
}

// comparable reports whether there is anything a witness could be held against:
// servers are not asked in vain.
func (w *Witnesses) comparable(now int64) bool {
	st := w.Engine.Report()
	return st.Snapshot.Usable(now) || st.Label.Time != 0 && now-st.Label.Mono < int64(freshLabel)
}

// ask asks one witness and compares.
func (w *Witnesses) ask(ctx context.Context, i int) {
	c, s := &w.List[i], &w.state[i]
	every := c.Every
	if every == 0 {
		every = witnessEvery
	}
	wait := every
	if c.Required && !w.confirmed && s.quick < quickTries {
		s.quick++
		wait = min(wait, witnessQuick)
	}
	s.Asked++
	t, err := c.Ask(ctx)
	now := w.Mono()
	s.next = now + int64(wait)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.Silent++
		s.silent++
		w.Engine.Count(reason.WitnessSilent)
		if s.silent&(s.silent-1) == 0 && s.silent <= 16 || s.silent%64 == 0 {
			w.Log.Warn("witness does not answer", "reason", reason.WitnessSilent.String(), "witness", c.Name, "error", err, "attempt", s.silent)
		}
		if now-s.heard > 4*int64(every) {
			s.Verdict = NoVerdict
		}
		return
	}
	s.silent = 0
	s.rough = !w.Engine.Report().Snapshot.Usable(t.Mono)
	d, ok, err := w.compare(t, c.MaxOffset)
	if err != nil {
		return
	}
	was := s.Verdict
	s.OffsetNS, s.Error, s.heard, s.Verdict = float64(d), t.Error, now, Agrees
	if !ok {
		s.Verdict = Disagrees
		s.Disagreed++
		w.Engine.Count(reason.WitnessDisagrees)
	}
	if s.Verdict != was {
		say := w.Log.Info
		if !ok {
			say = w.Log.Warn
		}
		say("witness "+s.Verdict.String(), "witness", c.Name, "offset", d, "error", t.Error, "max_offset", c.MaxOffset, "required", c.Required)
	}
}

// compare returns by how much the clock is ahead of a witness, and whether that
// is within the limit. While there is no clock it is the receiver's second and
// the pulse that began it. A message without a pulse, which comes up to a second
// after the second it names, is enough to disagree with, not to agree.
func (w *Witnesses) compare(t Testimony, limit time.Duration) (d time.Duration, ok bool, err error) {
	st := w.Engine.Report()
	s := &st.Snapshot
	if s.Usable(t.Mono) {
		at := s.ClockAt(t.Mono)
		if s.NearLeap(at, nearLeap) {
			return 0, false, errNothing
		}
		limit = status.AddBounds(limit, status.AddBounds(t.Error, s.BoundAt(t.Mono)))
		d = time.Duration(posix(at, s.OffsetAt(at)) - t.UTC)
		return d, d.Abs() <= limit, nil
	}
	if t.Error > vague {
		return 0, false, errNothing
	}
	if b := st.Begun; isFresh(&b, t.Mono) {
		at := b.Time + tai.Time(t.Mono-b.Mono)
		if s.NearLeap(at, nearLeap) {
			return 0, false, errNothing
		}
		limit = min(status.AddBounds(limit, t.Error+rawSlack), vague)
		d = time.Duration(posix(at, w.Table().Offset(at)) - t.UTC)
		return d, d.Abs() <= limit, nil
	}
	l := st.Label
	if !isFresh(&l, t.Mono) {
		return 0, false, errNothing
	}
	at := l.Time + tai.Time(t.Mono-l.Mono)
	d = time.Duration(posix(at, w.Table().Offset(at)) - t.UTC)
	limit = min(status.AddBounds(limit, t.Error), vague)
	if d <= limit && d >= -limit-time.Second {
		return 0, false, errNothing
	}
	return d, false, nil
}

// fresh reports whether a label is near enough to an instant to be compared.
func isFresh(l *report.Label, mono int64) bool {
	gap := mono - l.Mono
	return l.Time != 0 && gap <= int64(freshLabel) && gap >= -int64(freshLabel)
}

// posix returns ns since the POSIX epoch.
func posix(t tai.Time, offset int) int64 {
	sec, nsec := t.Unix(offset)
	return sec*1e9 + nsec
}

// judge holds the lock back, or gives it free.
func (w *Witnesses) judge() {
	agree, against := 0, 0
	var who []string
	for i := range w.state {
		s := &w.state[i]
		if !s.Required {
			continue
		}
		switch s.Verdict {
		case Agrees:
			agree++
		case Disagrees:
			against++
			who = append(who, s.Name)
		}
	}
	if !w.required {
		return
	}
	w.confirmed = w.confirmed || agree > against
	why := ""
	switch {
	case against > agree || !w.confirmed && against > 0:
		why = reason.WitnessDisagrees.String() + " " + strings.Join(who, " ")
	case !w.confirmed:
		why = reason.WitnessAwaited.String()
	}
	w.tell(why)
}

func (w *Witnesses) tell(why string) {
	if why != w.told {
		w.told = why
		w.Engine.Doubt(why)
	}
}

var _ WitnessEngine = (*Engine)(nil)
