package server

import "noonmark/refclock/status"

// generation counts the moves of the served clock. Timestamps of two generations
// are not comparable: an interleaved answer must not combine an earlier
// generation's timestamp with today's quality, and a hardware timestamp says
// nothing about an answer that was timestamped before its clock was stepped.
type generation struct {
	count uint32
	valid bool            // last is a snapshot, and the clock was served until now
	last  status.Snapshot // the last one served
}

// update takes the view that was just set for mono (CLOCK_MONOTONIC_RAW, ns). It
// reports whether the clock has moved since the last view: by a step that its
// writer counted, by more than both error bounds, by a corrected TAI-UTC or
// smear, or because another clock, or one at all, is served. Timestamps without a
// clock need no generation: their answers claim no quality.
func (g *generation) update(v *View, mono int64) (moved bool) {
	s := v.snap
	if s == &v.none {
		g.valid = false
		return false
	}
	switch {
	case !g.valid:
		moved = true
	case s.Mono == g.last.Mono && s.Clock == g.last.Clock && s.Updates == g.last.Updates && s.PID == g.last.PID && s.Epoch == g.last.Epoch:
		return false // the same snapshot
	default:
		moved = g.differs(v, mono)
	}
	g.valid, g.last = true, *s
	if moved {
		g.count++
	}
	return moved
}

// differs compares the clock of v with the last one.
func (g *generation) differs(v *View, mono int64) bool {
	s, old := v.snap, &g.last
	if s.Epoch != old.Epoch || s.Kind != old.Kind || s.PHCIndex != old.PHCIndex {
		return true
	}
	now, was := s.ClockAt(mono), old.ClockAt(mono)
	if d := now.Sub(was).Abs() - s.BoundAt(mono); d > old.BoundAt(mono) { // the sum of the bounds could overflow
		return true
	}
	before := View{Smear: v.Smear, snap: old}
	if v.Smear {
		before.smear = smearOf(old, was)
	}
	return before.timestamp(now) != v.timestamp(now)
}
