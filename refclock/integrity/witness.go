package integrity

import (
	"strings"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Answer is what a witness says: UTC at an instant.
type Answer struct {
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns
	UTC   int64         // ns since the POSIX epoch
	Error time.Duration // bound of UTC's error, by the witness's own statement and the path to it
}

// WitnessConfig describes a witness: a server on the network that is asked for
// the time.
type WitnessConfig struct {
	Name      string
	MaxOffset time.Duration // how far the clock may be from it, beyond both errors
	Required  bool          // it counts for the lock; else it only raises a warning
	Every     time.Duration // how often it is asked; default 64 s
}

// Reference is what a witness is compared with. A copy that is not changed any
// more.
type Reference struct {
	Snapshot *status.Snapshot // the published clock
	Label    Label            // the latest valid label of a message
	Begun    Label            // the latest second that a message named and a pulse began
	Table    *tai.Table       // leap seconds in force
}

// Verdict is the result of the last question.
type Verdict uint8

// The verdicts.
const (
	NoVerdict Verdict = iota // not asked yet, no answer, or nothing to compare with
	Agrees
	Disagrees
	numVerdicts
)

// String returns the verdict's word in logs and metric labels.
func (v Verdict) String() string { return [...]string{"none", "agrees", "disagrees"}[v%numVerdicts] }

// WitnessStatus is what is known of a witness.
type WitnessStatus struct {
	Name          string
	Required      bool
	Verdict       Verdict
	OffsetNS      float64 // clock - witness, + = clock fast; before there is a clock, the pulse as the receiver names it
	Error         time.Duration
	Asked, Silent uint64
	Disagreed     uint64
}

const (
	// witnessEvery is NTP's usual interval (RFC 5905, figure 9: poll 6).
	witnessEvery = 64 * time.Second
	// witnessBurst and burstTries: while the lock waits for it, a witness is asked a
	// few times in short sequence (RFC 5905, section 13: burst).
	witnessBurst = 8 * time.Second
	burstTries   = 8
	// silentFor is how many intervals without an answer a verdict holds.
	silentFor = 4
	// vague is the error beyond which a witness cannot tell one second from the
	// next, with the receiver's latency of up to 1 s between them.
	vague = 400 * time.Millisecond
	// freshLabel is how old a message or a pulse may be to be compared, and
	// monoSlack what CLOCK_MONOTONIC_RAW, 300 ppm off, has lost by then.
	freshLabel = 3 * time.Second
	monoSlack  = time.Millisecond
	// leapMargin: UTC is ambiguous around a leap second.
	leapMargin = 2 * time.Second
)

// Witnesses compares the clock with its witnesses, and before there is a clock
// the receiver's second, as the pulse begins it. The lock waits until more of the
// required witnesses agree than disagree. Afterwards the alarm is raised when more
// disagree. UTC is computed with the offset that is served, so that a wrong leap
// second shows. It is for one goroutine.
type Witnesses struct {
	list      []witness
	required  bool // any of them is
	confirmed bool // the required ones have agreed once
}

// witness is the state of one witness.
type witness struct {
	WitnessStatus
	cfg         WitnessConfig
	wait        time.Duration // until the next question
	next        int64         // CLOCK_MONOTONIC_RAW of the next question
	compared    int64         // of the last verdict
	burst       int           // questions asked at the short interval
	silent      int           // questions without an answer, in a row
	provisional bool          // the verdict is on the receiver's label: there was no clock yet
}

// NewWitnesses returns the state of witnesses that have not been asked.
func NewWitnesses(list []WitnessConfig) *Witnesses {
	w := &Witnesses{}
	for _, c := range list {
		if c.Every == 0 {
			c.Every = witnessEvery
		}
		w.list = append(w.list, witness{cfg: c, WitnessStatus: WitnessStatus{Name: c.Name, Required: c.Required}})
		w.required = w.required || c.Required
	}
	return w
}

// Forget forgets what was found: the machine slept, and the verdicts are older than
// CLOCK_MONOTONIC_RAW says. Each witness is asked as at the start, and the lock waits.
func (w *Witnesses) Forget() {
	w.confirmed = false
	for i := range w.list {
		s := &w.list[i]
		s.Verdict, s.next, s.burst, s.provisional = NoVerdict, 0, 0, false
	}
}

// WitnessVerdict is the verdict on one witness.
type WitnessVerdict struct {
	Name    string
	Verdict Verdict
}

// Confirmed reports whether the required witnesses have agreed once.
func (w *Witnesses) Confirmed() bool {
	w.Decide()
	return w.confirmed
}

// Resume takes verdicts that were found before now, CLOCK_MONOTONIC_RAW in ns, and whether
// the required witnesses had agreed once: one that has fallen silent since has no verdict.
func (w *Witnesses) Resume(found []WitnessVerdict, confirmed bool, now int64) {
	w.confirmed = confirmed
	for i := range w.list {
		s := &w.list[i]
		for _, f := range found {
			if f.Name == s.Name {
				s.Verdict, s.compared = f.Verdict%numVerdicts, now
			}
		}
	}
}

// Status returns what is known of each witness.
func (w *Witnesses) Status() []WitnessStatus {
	all := make([]WitnessStatus, len(w.list))
	for i := range all {
		all[i] = w.list[i].WitnessStatus
	}
	return all
}

// Due reports whether a witness is to be asked now, CLOCK_MONOTONIC_RAW in ns. No
// server is asked while there is nothing to compare its answer with.
func (w *Witnesses) Due(i int, now int64, r *Reference) bool {
	s := &w.list[i]
	usable := r.Snapshot.Usable(now)
	if s.provisional && usable {
		s.next = min(s.next, s.compared+int64(witnessBurst)) // now the clock can be compared
	}
	return now >= s.next && (usable || r.Label.Time != 0 && now-r.Label.Mono < int64(freshLabel))
}

// Ask notes that a witness is being asked. Answered or Unanswered follows.
func (w *Witnesses) Ask(i int) {
	s := &w.list[i]
	s.Asked++
	s.wait = s.cfg.Every
	if s.Required && !w.confirmed && s.burst < burstTries {
		s.burst++
		s.wait = min(s.wait, witnessBurst)
	}
}

// Unanswered takes that a witness did not answer. It returns how often in a row.
func (w *Witnesses) Unanswered(i int, now int64) (silent int) {
	s := &w.list[i]
	s.next = now + int64(s.wait)
	s.Silent++
	s.silent++
	if now-s.compared > silentFor*int64(s.cfg.Every) {
		s.Verdict = NoVerdict
	}
	return s.silent
}

// Answered takes the answer of a witness and compares it. changed: the verdict is
// another one than before. NoVerdict: there was nothing to compare with, and what
// was known stays.
func (w *Witnesses) Answered(i int, a Answer, now int64, r *Reference) (verdict Verdict, changed bool) {
	s := &w.list[i]
	s.next = now + int64(s.wait)
	s.silent = 0
	s.provisional = !r.Snapshot.Usable(a.Mono)
	offset, verdict := r.compare(a, s.cfg.MaxOffset)
	if verdict == NoVerdict {
		return NoVerdict, false
	}
	changed = verdict != s.Verdict
	s.OffsetNS, s.Error, s.compared, s.Verdict = float64(offset), a.Error, now, verdict
	if verdict == Disagrees {
		s.Disagreed++
	}
	return verdict, changed
}

// Decide returns the alarm of the required witnesses, the zero value if there is
// none.
func (w *Witnesses) Decide() Alarm {
	if !w.required {
		return Alarm{}
	}
	agree, against := 0, 0
	var names []string
	for i := range w.list {
		s := &w.list[i]
		switch {
		case !s.Required:
		case s.Verdict == Agrees:
			agree++
		case s.Verdict == Disagrees:
			against++
			names = append(names, s.Name)
		}
	}
	w.confirmed = w.confirmed || agree > against
	switch {
	case against > agree || !w.confirmed && against > 0:
		return Alarm{Code: reason.WitnessDisagrees, Detail: strings.Join(names, " ")}
	case !w.confirmed:
		return Alarm{Code: reason.WitnessAwaited}
	}
	return Alarm{}
}

// compare returns by how much the clock is ahead of a witness, and whether that
// is within the limit. While there is no clock it is the receiver's second and the
// pulse that began it. A message without a pulse, which comes up to a second after
// the second it names, is enough to disagree with, not to agree.
func (r *Reference) compare(a Answer, limit time.Duration) (offset time.Duration, v Verdict) {
	s := r.Snapshot
	if s.Usable(a.Mono) {
		at := s.ClockAt(a.Mono)
		if s.NearLeap(at, leapMargin) {
			return 0, NoVerdict
		}
		offset = time.Duration(posix(at, s.OffsetAt(at)) - a.UTC)
		return offset, within(offset, status.AddBounds(limit, status.AddBounds(a.Error, s.BoundAt(a.Mono))))
	}
	if a.Error > vague || r.Table == nil {
		return 0, NoVerdict
	}
	if b := r.Begun; b.fresh(a.Mono) {
		at := b.Time + tai.Time(a.Mono-b.Mono)
		if s.NearLeap(at, leapMargin) {
			return 0, NoVerdict
		}
		offset = time.Duration(posix(at, r.Table.Offset(at)) - a.UTC)
		return offset, within(offset, min(status.AddBounds(limit, a.Error+monoSlack), vague))
	}
	l := r.Label
	if !l.fresh(a.Mono) {
		return 0, NoVerdict
	}
	at := l.Time + tai.Time(a.Mono-l.Mono)
	offset = time.Duration(posix(at, r.Table.Offset(at)) - a.UTC)
	limit = min(status.AddBounds(limit, a.Error), vague)
	if offset <= limit && offset >= -limit-time.Second {
		return 0, NoVerdict
	}
	return offset, Disagrees
}

// within returns the verdict on an offset.
func within(offset, limit time.Duration) Verdict {
	if offset.Abs() <= limit {
		return Agrees
	}
	return Disagrees
}

// fresh reports whether a label is near enough to an instant to be compared.
func (l *Label) fresh(mono int64) bool {
	gap := mono - l.Mono
	return l.Time != 0 && gap <= int64(freshLabel) && gap >= -int64(freshLabel)
}

// posix returns ns since the POSIX epoch.
func posix(t tai.Time, offset int) int64 {
	sec, nsec := t.Unix(offset)
	return sec*1e9 + nsec
}
