package roots

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARotationThatIsNotPossibleIsRefused(t *testing.T) {
	t.Parallel()
	life := Defaults().OrderTime()
	var many []string // a key file has room for 16, and 4 would be new
	for c := byte('a'); c < 'a'+13; c++ {
		many = append(many, fmt.Sprintf("%c%d", c, c-'a'))
	}
	view := func(now int64) View {
		return View{Self: "x", Now: at(now), Nodes: []Node{node("x", "", at(now))}}
	}
	ordered, err := plan(t, "a0", "b8").Rotate(view(day), life)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		plan Plan
		now  int64
		life time.Duration
		want error
	}{
		{"before the last change", plan(t, "a0"), -301, life, ErrBackwards},
		{"no root", plan(t), 0, life, ErrNotBegun},
		{"none has begun", plan(t, "a1"), 0, life, ErrNotBegun},
		{"roots are revoked", plan(t, "a0!", "b8"), 60, life, ErrRevoking},
		{"one is ordered", ordered, day, life, ErrRotating},
		{"no room", plan(t, many...), 12 * day, life, ErrRoom},
		{"too short", plan(t, "a0"), 60, life - time.Second, ErrOrderTime},
		{"too long", plan(t, "a0"), 60, Defaults().Renew + time.Second, ErrOrderTime},
		{"room", plan(t, many[:12]...), 12 * day, life, nil},
		{"the longest", plan(t, "a0"), 60, Defaults().Renew, nil},
	} {
		n, err := c.plan.Rotate(view(c.now), c.life)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && n.Version != c.plan.Version {
			t.Errorf("%s: refused, and version %d has become %d", c.name, c.plan.Version, n.Version)
		}
	}
	if n, err := ordered.EndRotation(view(day)); err != nil || n.Rotation != nil || n.Version <= ordered.Version {
		t.Errorf("the end: %+v, %v", n, err)
	}
	if _, err := plan(t, "a0").EndRotation(view(day)); !errors.Is(err, ErrNotRotating) {
		t.Errorf("the end of none: %v", err)
	}
	if _, err := ordered.EndRotation(view(-day)); !errors.Is(err, ErrBackwards) {
		t.Errorf("the end by a clock that is wrong: %v", err)
	}
	if n, err := ordered.Condemn(id('a')); err != nil || n.Rotation != nil {
		t.Errorf("a revocation: %+v, %v", n.Rotation, err)
	}
}

func TestARotationWaitsForEachNodeThatMayServeByAnOlderPlan(t *testing.T) {
	t.Parallel()
	p := plan(t, "a0", "b8", "c-")
	for _, c := range []struct {
		name string
		set  func(*Node)
		want string
	}{
		{"away", func(n *Node) { n.Live = false }, "away"},
		{"drained while it was away", func(n *Node) { n.Live, n.Drained = false, true }, "drain-unread"},
		{"an earlier agent", func(n *Node) { n.Rotates = false }, "version"},
		{"no new root", func(n *Node) { n.Holds = n.Holds[:2] }, "roots"},
		{"an earlier plan", func(n *Node) { n.Plan = p.Version - 1 }, "plan"},
		{"drained, and its disc does not say so yet", func(n *Node) { n.Drained, n.Plan = true, 0 }, "plan"},
		{"its clock is not trusted", func(n *Node) { n.Trusted, n.Plan = false, 0 }, "plan"},

		{"drained", func(n *Node) { n.Drained, n.Read, n.Plan, n.Holds = true, true, 0, nil }, ""},
		{"drained, and away since", func(n *Node) { n.Drained, n.Read, n.Live, n.Plan = true, true, false, 0 }, ""},
		{"it has all", func(*Node) {}, ""},
	} {
		n := node("x", "abc", start)
		n.Plan, n.Rotates = p.Version, true
		c.set(&n)
		got := ""
		for _, w := range p.Lacking([]Node{n}) {
			got += w.Why.Word()
			if w.Node != "x" || w.Why.String() == "" || w.Why.Passing() != (got == "roots" || got == "plan") {
				t.Errorf("%s: %+v", c.name, w)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// rotating is a fleet of two nodes with the order of a rotation; acknowledge brings the
// present plan to their discs.
type rotating struct {
	t     *testing.T
	plan  Plan
	now   int64
	nodes []Node
}

func (r *rotating) acknowledge(except ...string) {
	for i := range r.nodes {
		n := &r.nodes[i]
		n.Clock = at(r.now).Unix()
		if slices.Contains(except, n.Name) {
			continue
		}
		n.Plan, n.Holds = r.plan.Version, nil
		for _, x := range r.plan.Roots {
			n.Holds = append(n.Holds, x.ID)
		}
	}
}

// step makes one step and returns the kinds of its events.
func (r *rotating) step() string {
	r.t.Helper()
	d, err := Step(r.plan, View{Self: "0", Now: at(r.now), Nodes: r.nodes})
	if err != nil {
		r.t.Fatal(err)
	}
	r.plan = d.Plan
	if !d.Changed && d.Draw > 0 {
		var ids []ID
		for i := range d.Draw {
			ids = append(ids, id(byte('v'+i)))
		}
		r.plan = r.plan.Add(at(r.now), ids...)
		return fmt.Sprintf("draw %d", d.Draw)
	}
	var s []string
	for _, e := range d.Events {
		s = append(s, e.Kind.String())
	}
	return strings.Join(s, " ")
}

func (r *rotating) want(what, events, roots string, until int64) {
	r.t.Helper()
	if got := r.step(); got != events || show(r.plan) != roots || r.plan.Until() != at(until).Unix() {
		r.t.Errorf("%s: %q, %q until %d; want %q, %q until %d", what, got, show(r.plan), r.plan.Until()-start.Unix(), events, roots, until)
	}
}

func newRotating(t *testing.T) *rotating {
	r := &rotating{t: t, plan: plan(t, "a0", "b8", "c16", "d24", "e-"), now: 8*day - 1800}
	for i := range 2 {
		n := node(fmt.Sprint(i), "abcd", start)
		n.Rotates = true
		r.nodes = append(r.nodes, n)
	}
	r.acknowledge()
	var err error
	if r.plan, err = r.plan.Rotate(View{Self: "0", Now: at(r.now), Nodes: r.nodes}, 2*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARotationBeginsWhenAllNodesHaveConfirmedThePlanThatAllowsIt(t *testing.T) {
	t.Parallel()
	const hour, end = 3600, 32 * day
	r := newRotating(t)
	r.want("drawn anew", "draw 4", "a0 b192 c384 d576 v- w- x- y-", end)
	r.want("nobody has them", "waits waits", "a0 b192 c384 d576 v- w- x- y-", end)
	r.acknowledge("1")
	r.want("one has them", "waits", "a0 b192 c384 d576 v- w- x- y-", end)
	r.acknowledge()
	early := r.now + hour
	r.want("all have them", "early-allowed", "a0 b192 c384 d576 v- w- x- y-", early)
	r.acknowledge("1")
	r.now += 60
	r.nodes[1].Clock += 60
	r.want("one has the plan", "waits", "a0 b192 c384 d576 v- w- x- y-", early)
	r.acknowledge()
	// b begins before the new ones and stays; the others have not begun.
	r.want("all have the plan", "replaced replaced rotated activated activated activated activated", "a0 b192 v192 w384 x576 y768", early+60+4*8*day)
	if got := r.plan.Roots[2].Since; got != at(early+60).Unix() {
		t.Errorf("it begins at %d, not a lead after the plan that says so", got-start.Unix())
	}
	r.acknowledge()
	r.want("the schedule goes on", "", "a0 b192 v192 w384 x576 y768", early+60+4*8*day)
}

func TestARotationThatIsNotConfirmedRestoresThePromise(t *testing.T) {
	t.Parallel()
	const hour, end = 3600, 32 * day
	r := newRotating(t)
	r.step()
	r.acknowledge()
	r.want("all have the roots", "early-allowed", "a0 b192 c384 d576 v- w- x- y-", r.now+hour)
	r.acknowledge("1")
	r.nodes[1].Live = false // it has not said that it has the plan
	r.nodes = append(r.nodes, node("2", "", at(r.now)))
	r.nodes[2].Drained, r.nodes[2].Read = true, true // the clock of the first one needs a majority
	r.now += hour
	r.acknowledge("1", "2")
	r.want("a lead later", "early-withdrawn", "a0 b192 c384 d576 v- w- x- y-", end)
	r.acknowledge("1", "2")
	r.want("it waits again", "waits", "a0 b192 c384 d576 v- w- x- y-", end)
	r.now += 2 * day
	r.acknowledge("1", "2")
	r.want("its time is over", "abandoned abandoned abandoned abandoned rotate-given-up", "a0 b192 c384 d576", end)
}

func TestDamagedRotationsAreRefused(t *testing.T) {
	t.Parallel()
	for _, r := range []Rotation{{}, {Ordered: 5, Ends: 5}, {Ordered: 5, Ends: 6, Early: -1}} {
		p := plan(t, "a0")
		p.Rotation = &r
		if _, err := p.Encode(); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}
