package roots

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotation is an order to begin new roots before the schedule ends, without a cookie that
// any node refuses. A node that is cut off serves by the promise of the plan that it has
// (Plan.Until). So new roots begin early in four steps, each of them a version of the
// plan:
//
//  1. the order; new roots are drawn, as many as reach to the horizon;
//  2. every node that may serve by an older plan has them on its disc: Early is set. From
//     this version on the promise ends there;
//  3. every such node has this version on its disc: the new roots get their since, Early
//     or later, and those that have not begun by then are replaced;
//  4. the order is done. The promise reaches to the horizon again.
//
// A node that is lost during step 2 stops at Early, unless etcd confirms its plan. If not
// all nodes confirm step 2 by Early, the promise is restored, and the order is back in
// step 1.
type Rotation struct {
	Ordered int64 `json:"ordered"`         // POSIX seconds of the order
	Ends    int64 `json:"ends"`            // POSIX seconds at which it is given up
	Early   int64 `json:"early,omitempty"` // POSIX seconds from which new roots may begin; 0: step 1
}

// Errors of Plan.Rotate and Plan.EndRotation.
var (
	ErrRotating    = errors.New("a rotation is ordered already; `noonmark-fleet status` shows it")
	ErrNotRotating = errors.New("no rotation is ordered")
	ErrRevoking    = errors.New("roots are being revoked; repeat it when `noonmark-fleet status` shows none as condemned")
	ErrNotBegun    = errors.New("no root has begun yet; wait until a node serves")
	ErrRoom        = errors.New("ntsserve takes no more roots until the cookies of the oldest have expired")
	ErrOrderTime   = errors.New("the order of a rotation must have a life that is possible")
)

// OrderTime returns how long the order of a rotation is in force if all nodes are there: a node
// that does not acknowledge the roots is drained after Ack, and step 2 takes a lead at most.
func (p Params) OrderTime() time.Duration { return p.Ack + p.Lead }

// longestOrder limits the life of an order: meanwhile the schedule gets no root.
func (p Params) longestOrder() time.Duration { return max(p.OrderTime(), p.Renew) }

// Rotate returns the plan with the order of a rotation, whose life is from OrderTime to
// Renew. Pending roots are removed, so that all that begin are drawn after
// the order. The error is a Refusal if the node of v may not plan: the times of the order
// are those of its clock.
func (p Plan) Rotate(v View, life time.Duration) (Plan, error) {
	if err := v.mayPlan(p); err != nil {
		return p, err
	}
	begun := 0
	for _, r := range p.Scheduled() {
		if r.Since <= v.Now.Add(p.Params.Lead).Unix() {
			begun++
		}
	}
	least, most := p.Params.OrderTime(), p.Params.longestOrder()
	_, sealing := p.Sealing(v.Now.Unix())
	switch {
	case p.Rotation != nil:
		return p, ErrRotating
	case slices.ContainsFunc(p.Roots, func(r Root) bool { return r.Condemned }):
		return p, ErrRevoking
	case !sealing:
		return p, ErrNotBegun
	case begun+p.Params.aheadRoots() > MaxFile:
		return p, fmt.Errorf("%d roots have begun and %d would be new: %w", begun, p.Params.aheadRoots(), ErrRoom)
	case life < least || life > most:
		return p, fmt.Errorf("%v: %w: want %v to %v", life, ErrOrderTime, least, most)
	}
	n := p.next(v.Now)
	n.Roots = n.Scheduled()
	n.Rotation = &Rotation{Ordered: v.Now.Unix(), Ends: v.Now.Add(life).Unix()}
	return n, nil
}

// EndRotation returns the plan without the order of a rotation. The roots that were drawn
// for it are removed. The error is a Refusal if the node of v may not plan.
func (p Plan) EndRotation(v View) (Plan, error) {
	if err := v.mayPlan(p); err != nil {
		return p, err
	}
	if p.Rotation == nil {
		return p, ErrNotRotating
	}
	n := p.next(v.Now)
	n.Roots, n.Rotation = n.Scheduled(), nil
	return n, nil
}

// aheadRoots is how many roots reach from now to where roots are drawn.
func (p Params) aheadRoots() int { return int((p.reach()-1)/p.Renew) + 1 }

// Lack is why a rotation waits for a node. Its String is for people, Word is a JSON value.
type Lack uint8

// The reasons.
const (
	LacksLease   Lack = iota // it is away
	LacksDrain               // it is away, and has not read that it is drained
	LacksVersion             // its agent knows no rotation
	LacksRoots               // new roots are not on its disc
	LacksPlan                // the present plan is not on its disc
)

var lacks = [...]struct{ word, message string }{
	LacksLease:   {"away", "is away, and may serve by the plan that it has; start it, or remove it if its disc was erased"},
	LacksDrain:   {"drain-unread", "was away when it was drained, and may serve by the plan that it has; start it, or remove it if its disc was erased"},
	LacksVersion: {"version", "has an agent of an earlier version; upgrade it, or drain it"},
	LacksRoots:   {"roots", "has not the new roots on its disc yet; look at its log, or drain it"},
	LacksPlan:    {"plan", "has not the present plan on its disc yet; look at its log, or drain it"},
}

// String says what the rotation waits for, and what to do.
func (l Lack) String() string { return lacks[l].message }

// Word is the reason as a JSON value.
func (l Lack) Word() string { return lacks[l].word }

// Passing reports whether an agent that runs comes over it by itself.
func (l Lack) Passing() bool { return l == LacksRoots || l == LacksPlan }

// Waiter is a node for which a rotation waits.
type Waiter struct {
	Node string
	Why  Lack
}

// Lacking returns the nodes that may serve by an older plan than this one, or that lack a
// pending root. A node counts though it is away or drained. Only one whose disc says that
// it is drained does not: it serves no more before it has read another plan.
func (p Plan) Lacking(nodes []Node) (list []Waiter) {
	for _, n := range nodes {
		var why Lack
		switch {
		case n.Drained && n.Read:
			continue
		case !n.Live && n.Drained:
			why = LacksDrain
		case !n.Live:
			why = LacksLease
		case !n.Rotates:
			why = LacksVersion
		case slices.ContainsFunc(p.Waiting(), func(r Root) bool { return !n.holds(r.ID) }):
			why = LacksRoots
		case n.Plan != p.Version:
			why = LacksPlan
		default:
			continue
		}
		list = append(list, Waiter{n.Name, why})
	}
	return list
}

// rotate takes a rotation one step further. It reports whether one is ordered: then no
// root begins in another way.
func (s *step) rotate() bool {
	r := s.Plan.Rotation
	switch {
	case r == nil:
		return false
	case s.now >= r.Ends:
		s.remove(Abandoned, Root.Pending)
		s.order(nil, Event{Kind: GivenUp})
		return true
	case r.Early != 0 && s.now >= r.Early:
		s.order(&Rotation{Ordered: r.Ordered, Ends: r.Ends}, Event{Kind: EarlyWithdrawn})
		return true
	case s.wanted() > 0:
		return true
	}
	present := s.Plan
	present.Version = s.present
	list := present.Lacking(s.nodes)
	for _, w := range list {
		s.event(Event{Kind: Waits, Node: w.Node})
	}
	if len(list) > 0 || !slices.ContainsFunc(s.nodes, Node.serves) { // without a node that serves, nobody need have the roots
		return true
	}
	since := s.now + seconds(s.Plan.Params.Lead)
	if r.Early == 0 {
		s.order(&Rotation{Ordered: r.Ordered, Ends: r.Ends, Early: since}, Event{Kind: EarlyAllowed, Since: since})
		return true
	}
	s.beginEarly(max(since, r.Early))
	return true
}

func (s *step) order(r *Rotation, e Event) {
	s.Plan.Rotation = r
	s.event(e)
}

// beginEarly gives the pending roots their since, the first one at since, in place of
// those that would begin later.
func (s *step) beginEarly(since int64) {
	stays := slices.IndexFunc(s.Plan.Roots, func(r Root) bool { return r.Pending() || r.Since >= since })
	if stays+len(s.Plan.Waiting()) > MaxFile {
		return // more have begun since the order; it waits until the oldest expires
	}
	s.remove(Replaced, func(r Root) bool { return r.Since >= since })
	s.order(nil, Event{Kind: Rotated, Root: s.Plan.Roots[stays].ID, Since: since})
	for i := stays; i < len(s.Plan.Roots); i++ {
		s.begin(i, since)
		since += seconds(s.Plan.Params.Renew)
	}
}
