package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"noonmark/fleet/access"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
)

// planners are the nodes that had the turn in the last round.
func (s *site) planners() string {
	list := []string{}
	for _, n := range s.nodes {
		if n.agent != nil && n.last.Plans {
			list = append(list, n.name)
		}
	}
	return fmt.Sprint(list)
}

// TestOneNodePlansForAll: the first that can, until it is drained, its clock is not trusted
// any more, it ends, or etcd loses its lease. Then it is the next one at once.
func TestOneNodePlansForAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b, c := s.join("a"), s.join("b"), s.join("c")
	s.settle()
	for range 3 {
		if s.round(); s.planners() != "[a]" {
			t.Fatalf("%s plan", s.planners())
		}
	}
	must(t, s.store.Drain(t.Context(), "a", "disc", s.entry("drain")))
	if s.round(); s.planners() != "[b]" {
		t.Errorf("a is drained, and %s plan", s.planners())
	}
	b.untrusted = errors.New("no receiver")
	if s.round(); s.planners() != "[c]" {
		t.Errorf("the clock of b is not trusted, and %s plan", s.planners())
	}
	b.untrusted = nil
	s.kill(c)
	if s.round(); s.planners() != "[b]" {
		t.Errorf("c is gone, and %s plan", s.planners())
	}
	must(t, s.store.Undrain(t.Context(), "a", s.entry("undrain")))
	_, err := s.store.Part("x").Client().Revoke(t.Context(), b.agent.presence.ID())
	must(t, err)
	if s.round(); s.planners() != "[a]" {
		t.Errorf("etcd has lost the lease of b, and %s plan", s.planners())
	}

	// One that ended without giving the turn back has it again.
	s.start(a)
	if s.round(); s.planners() != "[a]" {
		t.Errorf("a was restarted, and %s plan", s.planners())
	}

	// A node that has no roots yet cannot seal them to others: it waits for a term whether
	// one comes that can. If none does, it plans.
	s.start(c)
	s.round()
	for _, n := range []*node{a, b, c} {
		s.kill(n)
	}
	d := s.join("d")
	if s.round(); s.planners() != "[]" {
		t.Errorf("d lacks all roots, and %s plan", s.planners())
	}
	s.shift += 11 * time.Minute
	if s.round(); s.planners() != "[d]" {
		t.Errorf("nobody else is there, and %s plan", s.planners())
	}
	s.shift += 11 * time.Minute
	s.start(a)
	s.round() // d has had its term
	if s.round(); s.planners() != "[a]" {
		t.Errorf("a is back, and %s plan", s.planners())
	}
	s.settle()
	if d.agent.Readiness() != roots.Serves {
		t.Errorf("d has no roots: %v", d.agent.Readiness())
	}
}

// running is an agent whose Run goes on.
type running struct {
	*node
	plans, failed atomic.Int64
}

func (s *site) run(n *node) *running {
	s.t.Helper()
	x := &running{node: n}
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.agent.Run(ctx, func(r Report, err error) {
			switch {
			case err != nil:
				x.failed.Add(1)
				x.plans.Store(0)
			case r.Plans:
				x.plans.Add(1)
			default:
				x.plans.Store(0)
			}
		})
	}()
	s.t.Cleanup(func() { stop(); <-done })
	return x
}

// through returns the fleet as a node reads it through proxies, with the settings of the
// program.
func (s *site) through(list ...*fleettest.Proxy) *store.Store {
	s.t.Helper()
	var endpoints []string
	for _, p := range list {
		endpoints = append(endpoints, "http://"+p.Endpoint())
	}
	c, err := access.Connect(endpoints, nil)
	must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	return storetest.Open(s.t, c, storetest.Name)
}

// TestAStalledConnectionIsLeft: a connection to etcd stays open and carries nothing. The
// agent finds out by its keep-alives and goes on with the other endpoint; meanwhile the
// node serves.
func TestAStalledConnectionIsLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two := fleettest.NewProxy(t, s.etcd.Endpoint()), fleettest.NewProxy(t, s.etcd.Endpoint())
	n := s.add(&node{name: "a", dir: t.TempDir(), store: s.through(one, two), every: 100 * time.Millisecond, ttl: time.Minute})
	a := s.run(n)
	serves := func() bool { return n.agent.Readiness() == roots.Serves }
	proctest.Until(t, "the node serves", serves)
	for _, stalled := range []*fleettest.Proxy{one, two} {
		stalled.Stall()
		// It is drained: what it knows of that, it has over the other endpoint.
		must(t, s.store.Drain(t.Context(), "a", "test", s.entry("drain")))
		proctest.Until(t, "the agent sees the drain", func() bool { return n.agent.Readiness() == roots.IsDrained })
		must(t, s.store.Undrain(t.Context(), "a", s.entry("undrain")))
		proctest.Until(t, "the agent sees its end", serves)
		failed := a.failed.Load()
		for range 20 {
			before := s.record("a")
			proctest.Until(t, "the agent writes its next record", func() bool { return s.record("a") > before })
		}
		if more := a.failed.Load() - failed; more > 4 {
			t.Errorf("%d rounds have failed since it has left the connection", more)
		}
		stalled.Resume()
	}
}

// record is the revision of a node's record in etcd.
func (s *site) record(name string) int64 {
	s.t.Helper()
	part := s.store.Part("alive")
	r, err := part.Client().Get(s.t.Context(), part.Key(name))
	must(s.t, err)
	if len(r.Kvs) == 0 {
		return 0
	}
	return r.Kvs[0].ModRevision
}

// TestAPlannerThatIsCutOffIsReplaced: its process runs on, and its connection is open. When
// its lease has ended another node plans, and when it is back it leaves that to it.
func TestAPlannerThatIsCutOffIsReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	wire := fleettest.NewProxy(t, s.etcd.Endpoint())
	join := func(name string, of *store.Store) *running {
		return s.run(s.add(&node{name: name, dir: t.TempDir(), store: of, every: 100 * time.Millisecond, ttl: 10 * time.Second}))
	}
	a := join("a", s.through(wire))
	proctest.Until(t, "a plans", func() bool { return a.plans.Load() > 0 })
	b, c := join("b", s.store), join("c", s.store)
	proctest.Until(t, "all serve", func() bool {
		for _, x := range []*running{a, b, c} {
			if x.agent.Readiness() != roots.Serves {
				return false
			}
		}
		return true
	})
	if b.plans.Load()+c.plans.Load() > 0 {
		t.Error("two plan")
	}
	wire.Stall()
	proctest.Until(t, "another one plans", func() bool { return b.plans.Load()+c.plans.Load() > 0 })
	if got := a.agent.Readiness(); got != roots.Serves {
		t.Errorf("a is cut off: %v", got)
	}
	wire.Resume()
	before := s.record("a")
	proctest.Until(t, "a is back", func() bool { return s.record("a") > before })
	for range 10 {
		before := s.record("a")
		proctest.Until(t, "a writes its next record", func() bool { return s.record("a") > before })
		if a.plans.Load() > 1 { // a round that began before may end as one of the planner
			t.Fatal("a plans again, although another one does")
		}
	}
}
