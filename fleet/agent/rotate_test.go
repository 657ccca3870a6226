package agent

import (
	"os"
	"slices"
	"testing"
	"time"

	"noonmark/fleet/roots"
	"noonmark/fleet/store"
)

// order orders a rotation, as a node whose clock is right.
func (s *site) order(life time.Duration) {
	s.t.Helper()
	snap, err := s.store.Read(s.t.Context())
	must(s.t, err)
	p, err := snap.Plan.Rotate(roots.View{Self: "a", Now: s.now(), Nodes: snap.View()}, life)
	must(s.t, err)
	must(s.t, s.store.Commit(s.t.Context(), snap, store.Change{Plan: p, Audit: []store.Entry{s.entry("rotate")}}))
}

// TestARotationWaitsForANodeThatMayServeByItsOldPlan: the node was killed, and drained
// since. When it is back and has read its drain, the others begin the new roots, and no
// cookie is refused.
func TestARotationWaitsForANodeThatMayServeByItsOldPlan(t *testing.T) {
	s := newSite(t)
	s.join("a")
	b := s.join("b")
	s.join("c")
	old := s.settle()
	begun := s.now()
	s.order(params.Renew)
	b.agent = nil
	s.during(2 * time.Hour)
	snap, err := s.store.Read(t.Context())
	must(t, err)
	if n := snap.Node("b"); n.Drain != "laggard" || n.Read {
		t.Errorf("drain of b: %q, read %t", n.Drain, n.Read)
	}
	if o := snap.Plan.Rotation; o == nil || o.Early != 0 || len(snap.Plan.Waiting()) == 0 {
		t.Fatalf("without b: %+v, %d roots wait", o, len(snap.Plan.Waiting()))
	}
	s.start(b)
	p := s.settle()
	if p.Rotation != nil || len(p.Scheduled()) < 2 {
		t.Fatalf("with b: %+v, roots %v", p.Rotation, p.Roots)
	}
	if snap, err = s.store.Read(t.Context()); err != nil || !snap.Node("b").Read {
		t.Errorf("b has not confirmed its drain: %v", err)
	}
	next := p.Roots[1]
	if slices.ContainsFunc(old.Roots, func(r roots.Root) bool { return r.ID == next.ID }) {
		t.Errorf("root %v was drawn before the order", next.ID)
	}
	if in := time.Unix(next.Since, 0).Sub(s.now()); in < params.Lead-time.Minute || in > params.Lead+time.Minute {
		t.Errorf("it begins in %v, want the lead of %v", in, params.Lead)
	}
	if until := time.Unix(p.Until(), 0).Sub(s.now()); until < params.Horizon {
		t.Errorf("the plan reaches %v ahead, less than %v", until, params.Horizon)
	}
	s.during(params.Lead + step)
	if r, _ := s.plan().Sealing(s.now().Unix()); r.ID != next.ID || s.now().Sub(begun) >= params.Renew {
		t.Errorf("after %v root %v seals, want %v", s.now().Sub(begun), r.ID, next.ID)
	}
	must(t, s.store.Undrain(t.Context(), "b", s.entry("undrain")))
	s.settle()
	s.allServe("after the rotation")
	s.during(12 * time.Hour)
	if s.refused > 0 || s.asked < 50 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
}

// TestANodeThatCannotWriteStaysDrained: it has confirmed its drain, so roots have begun
// that its disc does not have.
func TestANodeThatCannotWriteStaysDrained(t *testing.T) {
	s := newSite(t)
	s.join("a")
	b := s.join("b")
	s.settle()
	must(t, s.store.Drain(t.Context(), "b", "test", s.entry("drain")))
	s.round()
	away := b.dir + ".away"
	must(t, os.Rename(b.dir, away))
	must(t, s.store.Undrain(t.Context(), "b", s.entry("undrain")))
	s.order(params.OrderTime()) // its plan would be another one
	if _, err := b.agent.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.agent.Readiness(); got != roots.IsDrained {
		t.Errorf("without its disc: %v", got.Word())
	}
	must(t, os.Rename(away, b.dir))
	s.settle()
	s.allServe("after the repair")
	if s.refused > 0 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
}
