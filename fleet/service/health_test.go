package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/access"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/health"
	"noonmark/fleet/identity"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/proctest"
	"noonmark/server"
	"noonmark/server/transport/sockets"
)

var must = fleettest.Must

func TestWhereThisMachineGetsPlainNTP(t *testing.T) {
	t.Parallel()
	at := func(text string) server.Endpoint {
		return server.Endpoint{Socket: sockets.Config{Addr: netip.MustParseAddrPort(text)}}
	}
	only, bound := at("0.0.0.0:123"), at("0.0.0.0:123")
	only.Policy, bound.Socket.Interface = server.NoPlain, "eth0"
	for _, c := range []struct {
		name string
		list []server.Endpoint
		want string
	}{
		{"none", nil, "invalid AddrPort"},
		{"NTS only", []server.Endpoint{only}, "invalid AddrPort"},
		{"an interface", []server.Endpoint{bound}, "invalid AddrPort"},
		{"a port of the system's choice", []server.Endpoint{at("127.0.0.1:0")}, "invalid AddrPort"},
		{"all of IPv4", []server.Endpoint{at("0.0.0.0:123")}, "127.0.0.1:123"},
		{"all of IPv6", []server.Endpoint{at("[::]:123")}, "[::1]:123"},
		{"one address", []server.Endpoint{only, at("192.0.2.1:123"), at("192.0.2.2:123")}, "192.0.2.1:123"},
		{"loopback first", []server.Endpoint{at("192.0.2.1:123"), at("127.0.0.1:1123")}, "127.0.0.1:1123"},
	} {
		if got := plain(c.list).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWhatTheAgentKnows(t *testing.T) {
	t.Parallel()
	for r, want := range map[roots.Readiness]health.Facts{
		roots.Serves: {}, roots.IsDrained: {Drained: true}, roots.NoRoot: {Unready: "no-root"}, roots.ClockUntrusted: {Unready: "clock-untrusted"},
	} {
		var f health.Facts
		admit(&f, r)
		if f != want {
			t.Errorf("%v: %+v, want %+v", r, f, want)
		}
	}
}

// task is the task of a node whose etcd does not answer.
func task(t *testing.T, facts func(context.Context) health.Facts) *healthTask {
	t.Helper()
	c, err := access.Connect([]string{"http://127.0.0.1:1"}, nil)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	own, err := store.New(c, "test")
	must(t, err)
	listen := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(proctest.FreePorts(t, 1)[0]))
	log := slog.New(slog.DiscardHandler)
	s := &Service{
		cfg: Config{
			Server: &Server{NTP: netip.MustParseAddrPort("127.0.0.1:1")}, Health: &Health{Listen: listen}, Log: log,
		},
		node: identity.Node{Fleet: "test", Name: "a"}, etcd: c, own: own,
	}
	return &healthTask{Service: s, facts: facts, log: observer{log: log, now: time.Now}}
}

// TestAFaultOfTheHealthTaskIsAnError: the daemon repeats the task, and the agent goes on.
func TestAFaultOfTheHealthTaskIsAnError(t *testing.T) {
	t.Parallel()
	h := task(t, func(context.Context) health.Facts { panic("test") })
	if err := h.Run(t.Context()); !errors.Is(err, errPanic) {
		t.Errorf("a fault: %v", err)
	}
	l, err := net.Listen("tcp4", h.cfg.Health.Listen.String()) // it has closed its listener
	must(t, err)
	defer l.Close()
	if err := h.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another program uses the port") {
		t.Errorf("a port in use: %v", err)
	}
	h.cfg.Server.NTP = netip.AddrPort{}
	if err := h.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "-health off") {
		t.Errorf("no plain NTP: %v", err)
	}
}

// TestTheEndpointIsGoneWithTheTask: it answers while the task runs, also without etcd,
// and says why the node is withdrawn.
func TestTheEndpointIsGoneWithTheTask(t *testing.T) {
	t.Parallel()
	h := task(t, func(context.Context) health.Facts {
		return health.Facts{Bound: -1, Usable: true, Answer: errors.New("nothing"), Drained: true}
	})
	if err := h.Waiting(); err != nil {
		t.Errorf("before the first round: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() (int, error) {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.cfg.Health.Listen.String()+"/health", nil)
		must(t, err)
		r, err := client.Do(q)
		if err != nil {
			return 0, err
		}
		return r.StatusCode, r.Body.Close()
	}
	proctest.UntilState(t, "the task says why the node is withdrawn", func() (bool, string) {
		code, err := get()
		why := h.Waiting()
		return code == http.StatusServiceUnavailable && err == nil && why != nil && strings.Contains(why.Error(), "no-answer, drained"), http.StatusText(code)
	})
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the end: %v", err)
	}
	if code, err := get(); err == nil {
		t.Errorf("the endpoint answers %d after the end", code)
	}
	if err := h.Waiting(); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
