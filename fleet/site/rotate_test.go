package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/fleet/roots"
)

// TestARotationOfRealPrograms: an operator orders new roots minutes before the schedule
// has any, while one node does not answer. They begin when it is back, and no cookie is
// refused.
func TestARotationOfRealPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a minute and a half: without -short")
	}
	t.Parallel()
	bin := programs(t)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	router, err := NewAnycast()
	must(t, err)
	defer router.Close()
	s, err := New(ctx, t.TempDir(), Options{Bin: bin, Seed: 1, Params: roots.Params{
		Rotate: time.Minute, Keep: 2, Renew: 10 * time.Minute, Horizon: 10 * time.Minute, Lead: 30 * time.Second, Ack: 3 * time.Minute, Tolerance: 5 * time.Second,
	}})
	must(t, err)
	defer s.Close()
	defer logFailure(t, s)
	a, err := s.Found(ctx, "a", router.Port())
	must(t, err)
	for _, name := range [...]string{"b", "c"} {
		_, err := s.Join(ctx, name, router.Port())
		must(t, err)
	}
	must(t, s.WaitForClock(ctx))
	must(t, a.WaitForServing(ctx, 3))
	for _, n := range s.Nodes {
		must(t, n.StartServer(ctx))
	}
	router.Announce(s.Nodes...)
	client := ask(t, s, a.KE)
	// Without the node that plans, nothing happens until its lease ends.
	var c *Node
	must(t, s.until(ctx, "a node plans", func() error {
		st, err := a.Status(ctx)
		if err == nil && st.Planner == "" {
			err = errNotAll
		}
		if c = s.Nodes[2]; st.Planner == c.Name {
			c = s.Nodes[1]
		}
		return err
	}))
	must(t, c.agent.Signal(syscall.SIGSTOP))
	must(t, a.WaitForServing(ctx, 2)) // etcd, whose leader may have been c, goes on
	out, err := a.Command(ctx, "rotate")
	must(t, err)
	if !strings.Contains(string(out), "new roots are being drawn") {
		t.Errorf("rotate: %s", out)
	}
	must(t, s.until(ctx, "the rotation waits for "+c.Name+" alone", func() error {
		st, err := a.Status(ctx)
		if err != nil {
			return err
		}
		if r := st.Rotation; r == nil || len(r.Waits) != 1 || r.Waits[0].Node != c.Name {
			return fmt.Errorf("rotation: %+v", r)
		}
		return nil
	}))
	must(t, c.agent.Signal(syscall.SIGCONT))
	must(t, s.until(ctx, "the new root has begun on all nodes", func() error {
		for _, n := range s.Nodes {
			begun, err := n.Begun(time.Now())
			if err = errors.Join(err, n.Alive()); err != nil || begun < 2 {
				return fmt.Errorf("node %s: %d roots have begun: %w", n.Name, begun, errors.Join(err, errNotAll))
			}
		}
		return nil
	}))
	before := client.count()
	must(t, s.until(ctx, "its cookies wander over all nodes", func() error {
		if n := client.count() - before; n < 25 {
			return fmt.Errorf("%d answers: %w", n, errNotAll)
		}
		return nil
	}))
	must(t, s.until(ctx, "the nodes compare their time", func() error {
		for _, n := range s.Nodes {
			code, body, err := n.Get(ctx, "/metrics")
			if err != nil || code != http.StatusOK || !strings.Contains(string(body), "noonmark_fleet_witnesses{state=\"answered\"} 2\n") {
				return fmt.Errorf("metrics of %s: %d: %w", n.Name, code, errors.Join(err, errNotAll))
			}
		}
		return nil
	}))
	client.stop()
	t.Logf("%d requests, %d answered, %d NAKs, by node %v, lost %v", client.requests, client.answered, client.naks, router.Answers(), client.lost)
	if client.naks > 0 || client.answered < 100 || client.requests != client.answered {
		t.Errorf("%d requests, %d answered, %d NAKs", client.requests, client.answered, client.naks)
	}
	if out, err := a.Command(ctx, "rotate", "-end"); err == nil || !strings.Contains(err.Error(), "no rotation is ordered") {
		t.Errorf("the end of a rotation that is done: %s, %v", out, err)
	}
}

// count is how many requests were answered.
func (a *asker) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered
}
