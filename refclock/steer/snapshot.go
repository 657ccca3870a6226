package steer

import (
	"math"
	"time"

	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Terms are what the owner adds to the loop's own part of a snapshot.
type Terms struct {
	WanderPPB float64     // how far CLOCK_MONOTONIC_RAW may wander while nobody compares it with the clock
	StrainNS  float64     // what pulses have left the prediction by, without an alarm yet
	Alarm     string      // the alarm that holds the reference back, empty if none does
	Cause     string      // why nothing comes, where that is known
	Undecided reason.Code // a leap second that is undecided; reason.None: none is
	Stratum   uint8       // while synchronised
}

// Describe fills in the state, the model and the error bound as of now, an
// instant of CLOCK_MONOTONIC_RAW in ns.
func (l *Loop) Describe(s *status.Snapshot, now int64, t Terms) discipline.Status {
	v := l.Clock.View(now)
	s.Mono, s.Epoch, s.PHCIndex, s.Slept = now, v.Generation, v.Index, v.Suspended
	s.Stratum, s.Bound, s.BoundRate, s.LineErr = 16, math.MaxInt64, 0, 0
	if l.Control == nil {
		s.State, s.Reason = status.Unlocked, l.Clock.Away().String()
		return discipline.Status{}
	}
	st := l.Control.Status()
	s.Limit, s.RefTime = st.Limit, st.RefTime
	s.OffsetNS, s.FreqPPB, s.NoiseNS = st.OffsetNS, st.FreqPPB, st.NoiseNS
	s.PulseMono, s.Pulses, s.BadPulses, s.Missed = st.PulseMono, st.Pulses, st.BadPulses, st.Missed
	l.state(s, &st, &v, t)
	if !v.Known {
		return st
	}
	s.Clock, s.RatePPB, s.LineErr = v.Clock, v.RatePPB, v.Err
	// The limit counts what the clock loses, not what reading it costs.
	s.Limit += time.Duration(st.Floor) + min(s.LineErr, v.Width)
	age := max(0, float64(now-st.Mono)*1e-9)
	if b := st.Bound + st.BoundRate*age + v.DitherNS; b < math.MaxInt64/2 && !math.IsNaN(b) && st.RefTime != 0 && v.Available && !v.Unsettled {
		s.Bound = time.Duration(math.Ceil(b + t.StrainNS))
		s.BoundRate = st.BoundRate + v.RateErrPPB + t.WanderPPB + v.DitherRate
	}
	if s.State == status.Locked || s.State == status.Holdover {
		s.Stratum = t.Stratum
	}
	return st
}

// state fills in state and reason.
func (l *Loop) state(s *status.Snapshot, st *discipline.Status, v *clock.View, t Terms) {
	s.State, s.Reason = st.State, st.Reason.String()
	switch {
	case t.Alarm != "" && (st.Reason == discipline.Doubted || st.State == status.Unlocked):
		s.Reason = discipline.Doubted.String() + ": " + t.Alarm // the latest: one alarm may follow another
	case st.Detail != "":
		s.Reason += ": " + st.Detail
	case t.Cause != "":
		s.Reason += ": " + t.Cause
	}
	switch {
	case !v.Available:
		s.State, s.Reason = status.Unlocked, l.Clock.Away().String()
	case !l.Clock.Adjustable():
		s.State, s.Reason = status.Faulty, reason.ClockDenied.String()
	case v.Unsettled:
		s.State = status.Acquiring
	case t.Undecided != reason.None && (s.State == status.Locked || s.State == status.Holdover):
		s.State, s.Reason = status.Faulty, t.Undecided.String()
	}
}
