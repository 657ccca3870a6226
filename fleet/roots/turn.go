package roots

import (
	"slices"
	"time"
)

// Turn decides whether a node plans for all now. One at a time does, by a key in etcd
// under its lease, because a planner reads the records of all nodes. That is a matter of
// load only: a plan is written in a transaction on its version, whoever has the turn. The
// zero value is the beginning. It is for one goroutine.
type Turn struct {
	alone, idle *time.Duration // since when nobody has it; since when this node has it and cannot plan
	rests       *time.Duration // until when this node leaves it to others
}

// TurnView is what a node knows when it decides.
type TurnView struct {
	Now   time.Duration // by a monotonic clock
	Term  time.Duration // of the lease
	Fit   bool          // its clock is trusted and it is not drained
	Whole bool          // it holds every root that has a since, so that it can seal them to others
	Held  bool          // another node has the turn
	Mine  bool          // this node has it
}

// TurnAct is what a node does about the turn.
type TurnAct int

// The acts.
const (
	Pass  TurnAct = iota // leave it to others
	Begin                // take it, and plan
	Go                   // it has it: plan
	End                  // give it back
)

// Next decides. A planner that cannot plan, because most clocks contradict its own or
// because it lacks roots, has it for one term and leaves it to others for one: so one node
// at a time tries, and a single wrong clock holds the others up for no longer. A node that
// lacks roots takes it only when nobody else has wanted it for a term.
func (t *Turn) Next(v TurnView) TurnAct {
	since := func(at *time.Duration) time.Duration { return v.Now - *at }
	if v.Held || v.Mine {
		t.alone = nil
	} else if t.alone == nil {
		t.alone = &v.Now
	}
	if !v.Mine {
		t.idle = nil
	}
	if t.rests != nil && since(t.rests) >= 0 {
		t.rests = nil
	}
	switch {
	case v.Mine && !v.Fit:
		return End
	case v.Mine && t.idle != nil && since(t.idle) >= v.Term:
		until := v.Now + v.Term
		t.idle, t.rests = nil, &until
		return End
	case v.Mine:
		return Go
	case !v.Fit, v.Held, t.rests != nil, !v.Whole && since(t.alone) < v.Term:
		return Pass
	}
	return Begin
}

// Planned tells whether a node that has the turn could plan, at an instant of the
// monotonic clock.
func (t *Turn) Planned(now time.Duration, able bool) {
	switch {
	case able:
		t.idle = nil
	case t.idle == nil:
		t.idle = &now
	}
}

// HoldsAll reports whether a node that holds some roots has all that have a since.
func (p Plan) HoldsAll(holds []ID) bool {
	for _, r := range p.Scheduled() {
		if !slices.Contains(holds, r.ID) {
			return false
		}
	}
	return true
}
