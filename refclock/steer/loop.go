// Package steer connects a clock with the discipline that steers it. It applies
// what the discipline decides and reports to the discipline what happens to the
// clock.
package steer

import (
	"math"
	"time"

	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Loop is a clock and its discipline. It is for one goroutine.
type Loop struct {
	Clock   *clock.Steered
	Control *discipline.Controller
}

// New returns a loop; nothing is opened yet. learned is what an earlier run has
// learned of the oscillator, if OK. cfg.Unsettled is called after the discipline
// knows that the clock is moving.
func New(cfg clock.Config, disc discipline.Config, learned discipline.Learned) *Loop {
	l := &Loop{Control: discipline.New(disc)}
	l.Control.ClockLost(reason.ClockMissing)
	l.Control.Import(learned)
	withdraw := cfg.Unsettled
	cfg.Unsettled = func() {
		l.Control.ClockMoving()
		if withdraw != nil {
			withdraw()
		}
	}
	l.Clock = clock.NewSteered(cfg)
	return l
}

// Act applies an Action: first the step, then the frequency. It returns what
// happened to the clock, as Events does.
func (l *Loop) Act(a discipline.Action) []clock.Event {
	var all []clock.Event
	if a.Step != 0 && l.Clock.Available() {
		l.Clock.Step(a.Step)
		all = l.Events()
	}
	if l.Clock.Available() {
		l.Clock.Request(a.FreqPPB)
		all = append(all, l.Events()...)
	}
	return all
}

// Events reports to the discipline what has happened to the clock since the last
// call, and returns it for the owner to count, log and publish.
func (l *Loop) Events() []clock.Event {
	all := l.Clock.Events()
	for _, e := range all {
		switch e.Kind {
		case clock.Opened:
			l.Control.ClockOpened(e.MaxPPB)
		case clock.OpenFailed, clock.Waiting, clock.Lost:
			l.Control.ClockLost(e.Code)
		case clock.Denied:
			l.Control.ClockDenied()
		case clock.Allowed:
			l.Control.ClockAllowed(e.Mono)
		case clock.Moved, clock.Stepped:
			if e.Code == reason.ClockSlept {
				l.Control.Disinherit()
			}
			l.Control.Stepped(e.Mono, e.By)
		case clock.StepFailed:
			l.Control.Stepped(e.Mono, 0)
		}
	}
	return all
}

// Describe fills in what clock and discipline contribute to a snapshot as of now,
// an instant of CLOCK_MONOTONIC_RAW in ns: state, model, error bound, figures.
//
//   - stratum is published while the clock is synchronised.
//   - wanderPPB is what CLOCK_MONOTONIC_RAW may wander against the clock while
//     nobody compares them: it makes the bound grow when the daemon is gone.
//   - strainNS is the distance by which the pulses have left their prediction
//     without raising an alarm yet; the bound covers it.
func (l *Loop) Describe(s *status.Snapshot, now int64, stratum uint8, wanderPPB, strainNS float64) discipline.Status {
	v, st := l.Clock.View(now), l.Control.Status()
	if v.Known {
		st = l.Control.StatusAt(discipline.ClockNow{Mono: now, Clock: v.Clock, RatePPB: v.RatePPB, Err: v.Err, RateErr: v.RateErrPPB + wanderPPB})
	}
	s.Mono, s.Epoch, s.PHCIndex, s.Slept = now, v.Generation, v.Index, v.Suspended
	s.State, s.Reason, s.Limit, s.RefTime = st.State, st.Text(), st.Limit, st.RefTime
	s.OffsetNS, s.FreqPPB, s.NoiseNS = st.OffsetNS, st.FreqPPB, st.NoiseNS
	s.PulseMono, s.Pulses, s.BadPulses, s.Missed = st.PulseMono, st.Pulses, st.BadPulses, st.Missed
	s.Stratum, s.Bound, s.BoundRate, s.LineErr = 16, math.MaxInt64, 0, 0
	if !v.Known {
		return st
	}
	s.Clock, s.RatePPB, s.LineErr = v.Clock, v.RatePPB, v.Err
	if st.Reason == discipline.Restarted {
		s.FreqPPB = v.FreqPPB // the discipline has requested none yet
	}
	// The limit counts what the clock loses, not what reading it costs.
	s.Limit += time.Duration(st.Floor) + min(s.LineErr, v.Width)
	age := max(0, float64(now-st.Mono)*1e-9)
	if b := st.Bound + st.BoundRate*age + v.DitherNS; b < math.MaxInt64/2 {
		s.Bound = time.Duration(math.Ceil(b + strainNS))
		s.BoundRate = st.BoundRate + v.RateErrPPB + wanderPPB + v.DitherRate
	}
	if s.State == status.Locked || s.State == status.Holdover {
		s.Stratum = stratum
	}
	return st
}
