package server

import (
	"time"

	"noonmark/refclock/status"
)

// era counts how often the clock that is told was moved. Timestamps of two eras
// don't compare: an interleaved answer must not carry one of before with the
// quality of now, and a card's stamp says nothing of a timestamp that was dated
// before the card's clock was stepped.
type era struct {
	n    uint32
	have bool            // there is a line, and it was the last one told
	last status.Snapshot // it
}

// next takes the view that was just set for mono, and reports whether the clock
// has moved since the one before: by a step that its writer tells of, by more than
// both bounds, by what TAI - UTC or a smear was thought to be, to another clock, or
// from none. Where there is none, whatever is told is told to be of no worth.
func (e *era) next(v *View, mono int64) (moved bool) {
	s := v.snap
	if s == &v.none {
		e.have = false
		return false
	}
	switch {
	case !e.have:
		moved = true
	case s.Mono == e.last.Mono && s.Clock == e.last.Clock && s.Updates == e.last.Updates && s.PID == e.last.PID && s.Epoch == e.last.Epoch:
		return false // the same snapshot
	default:
		moved = e.apart(v, mono)
	}
	e.have, e.last = true, *s
	if moved {
		e.n++
	}
	return moved
}

// apart compares the line of v with the last one.
func (e *era) apart(v *View, mono int64) bool {
	s, old := v.snap, &e.last
	if s.Epoch != old.Epoch || s.Kind != old.Kind || s.PHCIndex != old.PHCIndex {
		return true
	}
	now, was := s.ClockAt(mono), old.ClockAt(mono)
	if d := now.Sub(was).Abs() - s.BoundAt(mono); d > old.BoundAt(mono) {
		return true
	}
	before := View{Smear: v.Smear, snap: old}
	if v.Smear {
		before.smear = smearOf(old, was)
	}
	return before.wire(now) != v.wire(now)
}

// wall watches CLOCK_REALTIME, in which the kernel stamps, against
// CLOCK_MONOTONIC_RAW: a stamp made before the one was set, or the machine slept,
// and read after it, is off by that much.
type wall struct {
	ahead int64 // ns, CLOCK_REALTIME - CLOCK_MONOTONIC_RAW
	mono  int64 // CLOCK_MONOTONIC_RAW then, ns
}

const (
	// wallSlack is what two comparisons of the clocks may be off together, and what
	// a departure may seem to be earlier than the reading of the clock that dated
	// it, in ns.
	wallSlack = int64(50 * time.Microsecond)
	// wallSlew: the system's clock is slewed by 500 ppm at most (adjtimex(2)).
	wallSlew = 2000
)

// since reports whether CLOCK_REALTIME has run evenly from before to w.
func (w wall) since(before wall) bool {
	d := w.ahead - before.ahead
	return max(d, -d) <= wallSlack+(w.mono-before.mono)/wallSlew
}
