package agent

import (
	"context"
	"testing"
	"time"

	"noonmark/fleet/roots"
	"noonmark/internal/proctest"
)

// TestAChangeReachesAnAgentAtOnce: an agent that would look again in an hour sees a drain
// and its end as they are written.
func TestAChangeReachesAnAgentAtOnce(t *testing.T) {
	p := roots.Defaults()
	p.Lead, p.Tolerance, p.Renew = 5*time.Hour, time.Hour, 8*24*time.Hour
	s := newSiteWith(t, p)
	a := s.join("a")
	s.settle()
	a.agent.cfg.Every = time.Hour
	if d := a.agent.every(); d < 10*time.Minute {
		t.Fatalf("it looks again after %v", d)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.agent.Run(ctx, func(Report, error) {}) }()
	defer func() { stop(); <-done }()
	for range 3 {
		must(t, s.store.Drain(t.Context(), "a", "test", s.entry("drain")))
		proctest.Until(t, "the agent sees the drain", func() bool { return a.agent.Readiness() == roots.IsDrained })
		must(t, s.store.Undrain(t.Context(), "a", s.entry("undrain")))
		proctest.Until(t, "the agent sees its end", func() bool { return a.agent.Readiness() == roots.Serves })
	}
}
