package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/fleet/health"
	"noonmark/internal/proctest"
	"noonmark/server/crowd"
)

// Strangers who hold connections to the health endpoint keep out nobody who asks from another
// address, and what they lost is counted.
func TestHealthEndpointSurvivesASiege(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := task(t, func(context.Context) health.Facts { return health.Facts{Bound: -1, Usable: true} })
	h.metrics = append(h.metrics, prometheus.Collector(&h.conns))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the end: %v", err)
		}
	}()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	get := func(path string) (string, error) {
		r, err := client.Get("http://" + h.cfg.Health.Listen.String() + path)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return fmt.Sprint(r.StatusCode, " ", string(b)), err
	}
	proctest.Until(t, "the endpoint answers", func() bool { _, err := get("/health"); return err == nil })

	var ended atomic.Bool
	var besiegers sync.WaitGroup
	besiegers.Go(func() {
		for n := seed; !ended.Load(); n++ {
			(&proctest.Siege{Addr: h.cfg.Health.Listen.String(), From: "127.0.0.1", Paths: []string{"/health", "/metrics", "/targets"}, AtOnce: 300, Stay: 8 * time.Second, Seed: n}).Run(300)
		}
	})
	defer besiegers.Wait()
	defer ended.Store(true)
	counts := &h.conns.health
	proctest.Until(t, "all places are taken", func() bool { return counts[crowd.Displaced].Load()+counts[crowd.Refused].Load() > 0 })
	for n := 0; n < 50 || counts[crowd.Admitted].Load() < 500; n++ {
		for path, want := range map[string]string{"/health": `"node":"a"`, "/metrics": `noonmark_fleet_connections_total{listener="health",outcome="displaced"} `} {
			if text, err := get(path); err != nil || !strings.Contains(text, want) {
				t.Fatalf("answer %d: %s: %v, %q", n, path, err, text)
			}
		}
	}
	t.Logf("%d admitted, %d displaced, %d refused", counts[crowd.Admitted].Load(), counts[crowd.Displaced].Load(), counts[crowd.Refused].Load())
}
