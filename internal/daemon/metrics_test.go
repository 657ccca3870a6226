package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
)

func place(key string) string { return "d.toml:7: " + key }

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "noonmark_test_total", Help: "x"})
	reg.MustRegister(c)
	c.Add(3)
	m := NewMetrics(config.Metrics{Listen: config.AddrPort{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}}, place, reg)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := m.Ready(), make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Skip("needs a loopback address to listen on:", err)
	}
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + m.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("/ answers %d, want 404", code)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "noonmark_test_total 3\n") {
		t.Errorf("/metrics answers %d:\n%s", code, body)
	}
	taken := NewMetrics(config.Metrics{Listen: config.AddrPort{AddrPort: m.Addr().(*net.TCPAddr).AddrPort()}}, place, prometheus.NewRegistry())
	taken.Ready()
	if err := taken.Run(ctx); exitcode.Of(err) != exitcode.Unavailable || !strings.Contains(err.Error(), "metrics.listen: ") || !strings.Contains(err.Error(), "another program uses the port") {
		t.Errorf("taken address: %v with exit code %d, want %d", err, exitcode.Of(err), exitcode.Unavailable)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", m.Addr().String()); err == nil {
		c.Close()
		t.Error("still listens after the end")
	}
}

// What the unit forbids is not what a user may not do, and each cause has its remedy.
func TestListenRemedy(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		syscall.EADDRINUSE: "sport = :853", syscall.EADDRNOTAVAIL: "no interface", syscall.EACCES: "this user", syscall.EPERM: "SocketBindDeny=", syscall.ENOBUFS: "otherwise",
	} {
		if got := ListenRemedy(fmt.Errorf("listen: %w", err), 853, "otherwise"); !strings.Contains(got, want) {
			t.Errorf("%v: %s, want %q", err, got, want)
		}
	}
}

// Whoever takes all places and stays silent keeps out nobody else.
func TestSilentConnectionsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	m := NewMetrics(config.Metrics{Listen: config.AddrPort{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}}, place, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := m.Ready(), make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Skip("needs a loopback address to listen on:", err)
	}
	for range metricsConns {
		c, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	other := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	r, err := other.Get("http://" + m.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	if want := `noonmark_metrics_connections_total{outcome="displaced"} 1`; err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
		t.Errorf("%s, no %s in %s, %v", r.Status, want, b, err)
	}
	if !r.Close {
		t.Error("a client may keep its place after the answer")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMetricsWithoutAnAddressAreOff(t *testing.T) {
	t.Parallel()
	m := NewMetrics(config.Metrics{}, place, prometheus.NewRegistry())
	if err := m.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
