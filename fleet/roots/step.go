package roots

import (
	"slices"
	"time"
)

// Node is what a planner knows of a node.
type Node struct {
	Name    string
	Live    bool  // it has a lease in etcd
	Drained bool  // it shall not serve
	Read    bool  // its disc says that it is drained: it serves no more, also without etcd
	Trusted bool  // its refclockd trusts its clock
	Clock   int64 // POSIX seconds of its clock, in its last record
	Holds   []ID  // roots whose secrets are on its disc

	Plan    uint64 // version of the plan on its disc
	Rotates bool   // its agent knows plans with a rotation
}

// serves reports whether a root waits for the node.
func (n Node) serves() bool { return n.Live && !n.Drained }

func (n Node) holds(id ID) bool { return slices.Contains(n.Holds, id) }

// View is what a planner sees.
type View struct {
	Self  string // the node that plans
	Now   time.Time
	Nodes []Node
}

// Refusal is why a node may not plan. Its Error is for people, Word is the label of
// a metric.
type Refusal uint8

// The refusals.
const (
	ErrNotMember Refusal = iota + 1 // the planner is not registered, or its lease has ended
	ErrUntrusted                    // its clock is not trusted
	ErrDisagrees                    // at most half of the nodes confirm its clock
	ErrBackwards                    // its clock is earlier than the last change
)

var refusals = [...]struct{ word, message string }{
	ErrNotMember: {"not-member", "this node has no lease in etcd"},
	ErrUntrusted: {"clock-untrusted", "refclockd does not trust this node's clock"},
	ErrDisagrees: {"clock-disagrees", "not more than half of the nodes that are not drained confirm this node's clock; drain those that are away for long"},
	ErrBackwards: {"clock-backwards", "this node's clock is earlier than the last change of the plan"},
}

// Error says why the node may not plan.
func (r Refusal) Error() string { return refusals[r].message }

// Word is the label of the metric.
func (r Refusal) Word() string { return refusals[r].word }

// Refusals returns all refusals.
func Refusals() (all []Refusal) {
	for r := ErrNotMember; int(r) < len(refusals); r++ {
		all = append(all, r)
	}
	return all
}

// EventKind is what happened to a root.
type EventKind uint8

// The kinds of events.
const (
	Activated      EventKind = iota // it has a since
	Removed                         // its last cookie has expired
	Revoked                         // it was condemned and is removed
	Abandoned                       // nobody has acknowledged it in time: whoever drew it is gone
	Laggard                         // Node has not acknowledged it in time and is drained
	Waits                           // it waits for Node
	Replaced                        // it had not begun, and a rotation has put others in its place
	EarlyAllowed                    // all nodes have the roots of a rotation; from Since on they may begin
	EarlyWithdrawn                  // not all nodes have confirmed that in time
	GivenUp                         // the time of a rotation is over
	Rotated                         // the roots of a rotation have their since, the first one at Since
)

// String returns the word for the audit record and the log.
func (k EventKind) String() string {
	return [...]string{
		"activated", "removed", "revoked", "abandoned", "laggard-drained", "waits",
		"replaced", "early-allowed", "early-withdrawn", "rotate-given-up", "rotated",
	}[k]
}

// Event is one result of Step.
type Event struct {
	Kind  EventKind
	Root  ID     // zero: of a rotation as a whole
	Since int64  // of Activated, EarlyAllowed and Rotated
	Node  string // of Laggard and Waits
}

// Decision is what a planner does. Plan and drains belong in one transaction on the
// version of the plan that Step was given.
type Decision struct {
	Plan    Plan
	Changed bool     // Plan has other roots than the present one
	Drain   []string // nodes to drain
	Draw    int      // secrets to draw, seal to every node and Add
	Events  []Event
}

// Step decides what the planner of v does now. The error is a Refusal: then nothing
// may be done. It may be called at any time, by several nodes at once.
func Step(p Plan, v View) (Decision, error) {
	if err := v.mayPlan(p); err != nil {
		return Decision{Plan: p}, err
	}
	s := step{Decision: Decision{Plan: p.next(v.Now)}, now: v.Now.Unix(), nodes: slices.Clone(v.Nodes), present: p.Version}
	s.expire()
	s.abandon()
	s.drainLaggards()
	s.revoke()
	if !s.rotate() {
		s.activate()
	}
	s.Draw = s.wanted()
	if !s.Changed && len(s.Drain) == 0 {
		s.Plan = p
	}
	return s.Decision, nil
}

// mayPlan compares the clock of the planner with all evidence there is.
func (v View) mayPlan(p Plan) error {
	i := slices.IndexFunc(v.Nodes, func(n Node) bool { return n.Name == v.Self })
	switch {
	case i < 0 || !v.Nodes[i].Live:
		return ErrNotMember
	case !v.Nodes[i].Trusted:
		return ErrUntrusted
	}
	now, tolerance := v.Now.Unix(), seconds(p.Params.Tolerance)
	if now < p.Changed-tolerance {
		return ErrBackwards
	}
	// A node that is not heard counts as one that disagrees, until it is drained. So a
	// single node with a wrong clock plans nothing while the others are cut off.
	all, agree := 1, 1 // the planner itself
	for j, n := range v.Nodes {
		heard := n.Live && n.Trusted
		if j == i || n.Drained && !heard {
			continue
		}
		all++
		if d := now - n.Clock; heard && -tolerance <= d && d <= tolerance {
			agree++
		}
	}
	if 2*agree <= all {
		return ErrDisagrees
	}
	return nil
}

// step is a decision in the making.
type step struct {
	Decision
	now     int64
	nodes   []Node
	present uint64 // version of the plan that Step was given
}

func (s *step) event(e Event) {
	s.Events = append(s.Events, e)
	if e.Kind != Waits && e.Kind != Laggard {
		s.Changed = true
	}
}

// remove removes the roots for which drop is true.
func (s *step) remove(kind EventKind, drop func(Root) bool) {
	s.Plan.Roots = slices.DeleteFunc(s.Plan.Roots, func(r Root) bool {
		if !drop(r) {
			return false
		}
		s.event(Event{Kind: kind, Root: r.ID})
		return true
	})
}

// expire removes roots whose last cookie has expired.
func (s *step) expire() {
	scheduled := s.Plan.Scheduled()
	over := map[ID]bool{}
	for i, r := range scheduled {
		if i+1 < len(scheduled) && s.Plan.Expires(scheduled[i+1].Since) < s.now {
			over[r.ID] = true
		}
	}
	s.remove(Removed, func(r Root) bool { return over[r.ID] })
}

// late reports whether a root has waited for acknowledgement too long.
func (s *step) late(r Root) bool {
	return r.Pending() && s.now >= r.Published+seconds(s.Plan.Params.Ack)
}

// abandon removes pending roots whose secret nobody has.
func (s *step) abandon() {
	s.remove(Abandoned, func(r Root) bool {
		return s.late(r) && !slices.ContainsFunc(s.nodes, func(n Node) bool { return n.Live && n.holds(r.ID) })
	})
}

// drainLaggards drains the nodes for which a pending root has waited too long, but
// none if no other node that serves holds the root.
func (s *step) drainLaggards() {
	for _, r := range s.Plan.Waiting() {
		if r.Condemned || !s.late(r) ||
			!slices.ContainsFunc(s.nodes, func(n Node) bool { return n.serves() && n.holds(r.ID) }) {
			continue
		}
		for i := range s.nodes {
			if n := &s.nodes[i]; n.serves() && !n.holds(r.ID) {
				n.Drained = true
				s.Drain = append(s.Drain, n.Name)
				s.event(Event{Kind: Laggard, Root: r.ID, Node: n.Name})
			}
		}
	}
}

// revoke removes condemned roots, once another one seals.
func (s *step) revoke() {
	condemned := func(r Root) bool { return r.Condemned }
	s.remove(Revoked, func(r Root) bool { return r.Condemned && r.Pending() })
	if !slices.ContainsFunc(s.Plan.Roots, condemned) {
		return
	}
	next := slices.IndexFunc(s.Plan.Roots, func(r Root) bool { return !r.Condemned })
	switch {
	case next < 0: // more must be drawn first
		return
	case s.Plan.Roots[next].Pending():
		if !s.acknowledged(s.Plan.Roots[next].ID) {
			return
		}
		s.begin(next, s.now)
	case s.Plan.Roots[next].Since > s.now:
		s.begin(next, s.now)
	}
	s.remove(Revoked, condemned)
}

// activate gives acknowledged roots their since, in their order.
func (s *step) activate() {
	for i := len(s.Plan.Scheduled()); i < len(s.Plan.Roots) && i < MaxFile; i++ {
		r := s.Plan.Roots[i]
		if !s.acknowledged(r.ID) {
			s.waits(r.ID)
			return
		}
		since := max(s.Plan.Until(), s.now+seconds(s.Plan.Params.Lead))
		if i == 0 {
			since = s.now // nobody has sealed yet
		}
		s.begin(i, since)
	}
}

func (s *step) begin(i int, since int64) {
	s.Plan.Roots[i].Since = since
	s.event(Event{Kind: Activated, Root: s.Plan.Roots[i].ID, Since: since})
}

// waits reports for which nodes a root waits.
func (s *step) waits(id ID) {
	for _, n := range s.nodes {
		if n.serves() && !n.holds(id) {
			s.event(Event{Kind: Waits, Root: id, Node: n.Name})
		}
	}
}

// acknowledged reports whether every node that serves holds a root, and at least
// one does.
func (s *step) acknowledged(id ID) bool {
	holders, all := 0, true
	for _, n := range s.nodes {
		switch {
		case !n.serves():
		case n.holds(id):
			holders++
		default:
			all = false
		}
	}
	return all && holders > 0
}

// wanted returns how many roots are missing until the plan reaches the horizon. Those of
// a rotation reach there alone.
func (s *step) wanted() (n int) {
	until := s.now
	for _, r := range s.Plan.Scheduled() {
		if !r.Condemned && s.Plan.Rotation == nil {
			until = max(until, r.Since+seconds(s.Plan.Params.Renew))
		}
	}
	end := s.now + seconds(s.Plan.Params.reach())
	pending := len(s.Plan.Waiting())
	for until += int64(pending) * seconds(s.Plan.Params.Renew); until < end && pending < maxPending; until += seconds(s.Plan.Params.Renew) {
		n++
		pending++
	}
	return n
}
