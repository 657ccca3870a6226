package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"noonmark/fleet/roots"
)

// TestANodeServesAMonthWithoutEtcd: with the parameters of a real fleet, and through a
// restart, a node serves for the whole horizon, and then stops.
func TestANodeServesAMonthWithoutEtcd(t *testing.T) {
	s := newSiteWith(t, roots.Defaults())
	a := s.join("a")
	s.settle()
	begun := s.now()
	s.etcd.Close()
	s.start(a)
	for range 24 * 30 {
		s.shift += time.Hour
		s.load(a)
		if got := a.agent.Readiness(); got != roots.Serves {
			t.Fatalf("after %v without etcd: %v", s.now().Sub(begun).Round(time.Hour), got.Word())
		}
		s.ask(a)
	}
	if s.refused > 0 || s.asked < 24*29 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
	s.shift += 30 * 24 * time.Hour
	if got := a.agent.Readiness(); got != roots.PlanEnded {
		t.Errorf("after two months: %v", got.Word())
	}
}

// TestAWrongClockAtBootChangesNothing: a node whose clock is wrong and trusted, by hours
// or by a year, plans nothing and removes nothing, and the cookies of others stay good.
func TestAWrongClockAtBootChangesNothing(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name string
		off  time.Duration
	}{{"three hours fast", 3 * time.Hour}, {"three hours slow", -3 * time.Hour}, {"a year fast", year}, {"a year slow", -year}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.join("a")
			s.join("b")
			w := s.join("c")
			s.settle()
			s.plansNext(w)
			before, err := s.store.Read(t.Context())
			must(t, err)
			s.start(w) // a boot
			w.off = c.off
			refused := 0
			for range 12 {
				r, err := w.agent.Round(t.Context())
				must(t, err)
				if len(r.Decided) > 0 || r.Drawn > 0 {
					t.Fatalf("it plans: %v, %v, %d drawn", r.Refusal, r.Decided, r.Drawn)
				}
				if r.Plans && r.Refusal != nil {
					refused++
				}
			}
			if refused == 0 {
				t.Error("it never had the turn: not a test")
			}
			s.shift += step
			_, err = w.agent.Round(t.Context()) // after a term it leaves the turn to others
			must(t, err)
			after, err := s.store.Read(t.Context())
			must(t, err)
			if after.Planner != "" {
				t.Errorf("%s has the turn", after.Planner)
			}
			if after.Plan.Version != before.Plan.Version {
				t.Errorf("plan %d has become %d", before.Plan.Version, after.Plan.Version)
			}
			// The others go on, and it is right again after its clock was set.
			s.nodes = s.nodes[:2]
			s.during(2 * time.Hour)
			w.off = 0
			s.nodes = append(s.nodes, w)
			s.settle()
			s.allServe("after the clock was set")
			if s.refused > 0 {
				t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
			}
		})
	}
}

// TestNodesThatStartAtOnceAgree: all plan at the same instant; one plan results, and
// everybody has its roots.
func TestNodesThatStartAtOnceAgree(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"a", "b", "c"} {
		s.join(name)
	}
	for range 8 {
		var all sync.WaitGroup
		errs := make([]error, len(s.nodes))
		for i, n := range s.nodes {
			all.Go(func() {
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				_, errs[i] = n.agent.Round(ctx)
			})
		}
		all.Wait()
		must(t, errors.Join(errs...))
		s.shift += time.Minute
	}
	for _, n := range s.nodes {
		s.load(n)
	}
	s.allServe("after a start at once")
	snap, err := s.store.Read(t.Context())
	must(t, err)
	for _, n := range snap.Nodes {
		if len(n.Record.Holds) != len(snap.Plan.Roots) {
			t.Errorf("%s holds %d of %d roots", n.Name, len(n.Record.Holds), len(snap.Plan.Roots))
		}
	}
	s.during(7 * time.Hour)
	if s.refused > 0 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
}

// TestADrainOutlivesARestartWithoutEtcd: what an operator has drained serves no more,
// though etcd is gone.
func TestADrainOutlivesARestartWithoutEtcd(t *testing.T) {
	s := newSite(t)
	a := s.join("a")
	s.join("b")
	s.settle()
	must(t, s.store.Drain(t.Context(), "a", "disc", s.entry("drain")))
	_, err := a.agent.Round(t.Context())
	must(t, err)
	s.etcd.Close()
	s.start(a)
	if got := a.agent.Readiness(); got != roots.IsDrained {
		t.Errorf("after a restart: %v", got.Word())
	}
}

// TestOtherPeriodsThanTheFleetAreNotServed: keys that ntsserve derives with another
// rotation open no cookie of the others.
func TestOtherPeriodsThanTheFleetAreNotServed(t *testing.T) {
	s := newSite(t)
	a := s.join("a")
	s.settle()
	for _, c := range []struct {
		rotate time.Duration
		keep   int
		want   roots.Readiness
	}{{params.Rotate, params.Keep + 1, roots.OtherPeriods}, {2 * params.Rotate, params.Keep, roots.OtherPeriods}, {params.Rotate, params.Keep, roots.Serves}} {
		a.agent.cfg.Rotate, a.agent.cfg.Keep = c.rotate, c.keep
		if got := a.agent.Readiness(); got != c.want {
			t.Errorf("%v, %d: %v, want %v", c.rotate, c.keep, got.Word(), c.want.Word())
		}
	}
}
