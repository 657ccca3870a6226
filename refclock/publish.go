package refclock

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/incident"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// learnEvery is how often what was learned is copied for those who keep it.
const learnEvery = time.Second

// publisher holds what is published, and what was counted and noted for it. Its
// exported methods are for any goroutine.
type publisher struct {
	cfg       *Config
	incidents *incident.Log

	receiver report.Receiver
	label    integrity.Label // the latest valid one
	messages struct {
		valid, refused uint64
		mono           int64 // of the latest valid one
	}
	learned   discipline.Learned
	learnedAt int64
	logged    struct { // state and reason as they were logged last
		once   bool
		state  status.State
		reason string
		since  int64 // CLOCK_MONOTONIC_RAW of the change of state

		reasonSince int64 // the same of the reason
	}
	advised map[advice]bool // whose remedy was logged since the clock was locked last

	snap   status.Snapshot
	report atomic.Pointer[report.Report]
	// Where in the clock's second a disciplined system clock's begins, ns plus 1;
	// 0 = not known.
	grid  atomic.Int64
	ready chan struct{}
}

func newPublisher(cfg *Config) *publisher {
	p := &publisher{cfg: cfg, incidents: incident.New(cfg.Mono, cfg.Log), advised: make(map[advice]bool), ready: make(chan struct{})}
	p.report.Store(&report.Report{})
	return p
}

// Ready is closed when the first snapshot has been published.
func (p *publisher) Ready() <-chan struct{} { return p.ready }

// Report returns the latest state. It is not changed afterwards.
func (p *publisher) Report() *report.Report { return p.report.Load() }

// Snapshot returns the latest snapshot. After a suspend of the machine that the
// engine has not noticed yet, it is an unusable one. It is not changed afterwards.
func (p *publisher) Snapshot() *status.Snapshot {
	s := &p.Report().Snapshot
	if p.cfg.Slept == nil || !s.SleptSince(p.cfg.Slept()) {
		return s
	}
	t := *s
	t.State, t.Reason, t.Stratum, t.Bound = status.Unlocked, reason.ClockSlept.String(), 16, math.MaxInt64
	return &t
}

// Reference returns what witnesses are compared with.
func (p *publisher) Reference() integrity.Reference {
	r := p.Report()
	return integrity.Reference{Snapshot: &r.Snapshot, Label: r.Label, Begun: r.Begun, Table: r.Table}
}

const (
	// ownWithin is how far off its second the steered clock may be while it is served.
	ownWithin = 200 * time.Microsecond
	// systemWithin is the same of a system clock that the kernel calls disciplined.
	systemWithin = 50 * time.Millisecond
)

// Grid returns where in the clock's second pps.ExtTS is to expect the pulse, and how far
// off that may be: at its beginning, while the clock is right; before that, where a
// disciplined system clock begins its second.
func (p *publisher) Grid() (phase, within time.Duration, ok bool) {
	if p.Snapshot().Usable(p.cfg.Mono()) {
		return 0, ownWithin, true
	}
	g := p.grid.Load()
	return time.Duration(g - 1), systemWithin, g != 0
}

// expect notes where in the clock's second a disciplined system clock begins its
// own.
func (p *publisher) expect(now reading.Clocks, c *clock.Steered) {
	g := int64(0)
	if t := now.Startup(); t != 0 && c.Known() {
		at := c.At(now.Mono - int64(t-t.Floor()))
		g = int64(at-at.Floor()) + 1
	}
	p.grid.Store(g)
}

// opened logs that the clock was opened. One that may not be adjusted is opened
// again and again.
func (p *publisher) opened(e clock.Event, adjustable bool) {
	level := slog.LevelInfo
	if !adjustable {
		level = slog.LevelDebug
	}
	p.cfg.Log.Log(context.Background(), level, "clock opened", "clock", p.cfg.ClockName, "max_freq_ppb", e.MaxPPB, "freq_ppb", e.FreqPPB, "read_width", e.Width)
	if e.Other {
		p.learned = discipline.Learned{}
	}
}

// discarded logs what an ordered relock is about to discard.
func (p *publisher) discarded() {
	st := &p.Report().Discipline
	p.cfg.Log.Warn("relock ordered; the lock is discarded", "state", st.State.String(), "reason", st.Text(), "pulses_accepted", st.Accepted, "seconds_agreed", st.Agreed, "unexplained_jump_ns", math.Round(st.JumpNS))
}

// refuse counts and logs why an input was refused. A failed reading of the clock
// is an event of its own.
func (p *publisher) refuse(c reason.Code) {
	if c != reason.ClockRead {
		p.incidents.Report(c, nil)
	}
}

// counted counts a time message.
func (p *publisher) counted(valid bool, mono int64) {
	if !valid {
		p.messages.refused++
		return
	}
	p.messages.valid++
	p.messages.mono = mono
}

// labelled notes a valid label.
func (p *publisher) labelled(second tai.Time, mono int64) {
	p.label = integrity.Label{Time: second, Mono: mono}
}

// keepLearned copies what the discipline has learned, from time to time.
func (p *publisher) keepLearned(c *discipline.Controller, now int64) {
	if now-p.learnedAt >= int64(learnEvery) && c.Status().ServoState == status.Locked {
		p.learned, p.learnedAt = c.Export(), now
	}
}

// describe adds to a snapshot what was configured and counted, logs a change of
// state, and returns the report around it.
func (p *publisher) describe(s *status.Snapshot, st discipline.Status, leaps leap.Status) *report.Report {
	r := &report.Report{Discipline: st, Leap: leaps, Receiver: p.receiver, Label: p.label, Learned: p.learned, Counts: p.incidents.Counts(), Conditions: p.incidents.Lasting()}
	s.Kind, s.RefID, s.ClockDev, s.Pulse, s.Receiver = p.cfg.Kind, p.cfg.RefID, p.cfg.ClockName, p.cfg.Pulse, p.cfg.Receiver
	s.MsgMono, s.Msgs, s.BadMsgs = p.messages.mono, p.messages.valid, p.messages.refused
	s.BadPulses += p.incidents.Group(reason.Edge)
	remedy := ""
	if !st.Moving {
		remedy = p.advise(r, s)
	}
	if was := &p.logged; !st.Moving && (s.State != was.state || s.Reason != was.reason || !was.once || remedy != "") {
		fields := []any{"state", s.State.String(), "was", was.state.String(), "reason", s.Reason, "offset_ns", math.Round(s.OffsetNS), "freq_ppb", math.Round(s.FreqPPB*1e3) / 1e3}
		if remedy != "" {
			fields = append(fields, "remedy", remedy)
		}
		p.cfg.Log.Info("state", fields...)
		if s.State != was.state || !was.once {
			was.since = s.Mono
		}
		if s.Reason != was.reason {
			was.reasonSince = s.Mono
		}
		was.state, was.reason, was.once = s.State, s.Reason, true
	}
	r.Snapshot, r.Since = *s, p.logged.since
	if s.State != p.logged.state { // it has just changed
		r.Since = s.Mono
	}
	return r
}

// advice is a condition for which a remedy was logged.
type advice struct {
	reason discipline.Reason
	cause  reason.Code
}

// labellingUsual is how long labels usually take to agree, ns.
const labellingUsual = 30e9

// advise returns what is to be logged of the remedy of the state in s: each once until
// the next lock.
func (p *publisher) advise(now *report.Report, s *status.Snapshot) string {
	st := &now.Discipline
	if st.State == status.Locked {
		clear(p.advised)
		return ""
	}
	a := advice{st.Awaits(), st.Cause}
	if a.cause != reason.None {
		a.reason = discipline.None
	}
	if p.advised[a] || a.reason == discipline.Labelling && (s.Reason != p.logged.reason || s.Mono-p.logged.reasonSince < labellingUsual) {
		return ""
	}
	r := now.Remedy()
	p.advised[a] = r != ""
	return r
}

// leapSeconds fills in what the table in force says of the clock's present time.
func leapSeconds(s *status.Snapshot, table *tai.Table) {
	if s.Clock == 0 {
		return
	}
	s.TAIOffset = int32(table.Offset(s.Clock))
	s.LeapAt, s.LeapSign, s.LeapPast, s.PastSign = 0, 0, 0, 0
	if n, sign, ok := table.Next(s.Clock); ok {
		s.LeapAt, s.LeapSign = n.At(), int8(sign)
	}
	if n, sign, ok := table.Past(s.Clock); ok {
		s.LeapPast, s.PastSign = n.At(), int8(sign)
	}
}
