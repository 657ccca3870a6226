package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/observe"
	"noonmark/internal/summary"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// snapshot is of a locked clock at an instant.
func snapshot(mono int64) *status.Snapshot {
	return &status.Snapshot{
		State: status.Locked, Kind: status.SimClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PID: uint32(os.Getpid()), Mono: mono, Clock: 2e18, RefTime: 2e18,
		Bound: 100, BoundRate: 10, Limit: time.Millisecond, TAIOffset: 37, OffsetNS: 5, NoiseNS: 2, FreqPPB: -3, PulseMono: mono, Pulses: 7, Reason: "disciplined", Pulse: "sim", Receiver: "/dev/x",
	}
}

// publish writes a snapshot where a Server reads it.
func publish(t *testing.T, s *status.Snapshot) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	t.Cleanup(func() { w.Close() })
	if err := w.Write(s); err != nil {
		t.Fatal(err)
	}
	return path
}

func newServer(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:9125"), MaxConns: 8, MaxStreams: 1, Snapshot: "/nonexistent/status", Serving: "/nonexistent/serving.json", Mono: phc.MonoRaw,
		Examine: func(context.Context) []doctor.Finding {
			return []doctor.Finding{{ID: "x", Check: "leap", Level: doctor.Warn, What: "it ends", Mend: "renew it"}}
		},
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	var err error
	if s.token, err = cfg.token(); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request and returns the answer.
func ask(s *Server, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://127.0.0.1:9125/healthz", nil)
	change(r)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func at(path string) func(*http.Request) {
	return func(r *http.Request) { r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?") }
}

// A page that needs a token is not served before that can be read.
func TestPageWaitsForItsToken(t *testing.T) {
	t.Parallel()
	missing := errors.New("no such file")
	var wrong error
	s := newServer(t, func(c *Config) {
		c.Listen = netip.MustParseAddrPort("127.0.0.1:0")
		c.ReadToken = func() (*[sha256.Size]byte, error) { return &[sha256.Size]byte{}, wrong }
	})
	wrong = missing
	ready := s.Ready()
	if err := s.Run(t.Context()); !errors.Is(err, missing) {
		t.Errorf("without its token: %v", err)
	}
	select {
	case <-ready:
		t.Error("it has listened")
	default:
	}
	wrong = nil
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready = s.Ready()
	go func() { done <- s.Run(ctx) }()
	select {
	case <-ready:
		if r, err := http.Get("http://" + s.Addr().String() + "/api/v1/live"); err != nil || r.StatusCode != http.StatusUnauthorized {
			t.Errorf("a request without the token: %+v, %v", r, err)
		}
	case err := <-done:
		t.Fatalf("with its token: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whoever takes all places and stays silent keeps out nobody else.
func TestSilentConnectionsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.Listen = netip.MustParseAddrPort("127.0.0.1:0") })
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := s.Ready(), make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Skip("needs a loopback address to listen on: ", err)
	}
	for range s.cfg.MaxConns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	other := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	r, err := other.Get("http://" + s.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	if want := `noonmark_web_connections_total{outcome="displaced"} 1`; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%s, no %s in %s, %v", r.Status, want, b, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRequestsAreRefusedByName(t *testing.T) {
	t.Parallel()
	token := sha256.Sum256([]byte("3jA0Yp9vQm2Lr7Xw8Zk1Tn5B"))
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	auth := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path = "/api/v1/live"; r.Header.Set("Authorization", v) }
	}
	public := func(c *Config) {
		c.Listen, c.Names = netip.MustParseAddrPort("0.0.0.0:9125"), []string{"time.lan"}
		c.ReadToken = func() (*[sha256.Size]byte, error) { return &token, nil }
	}
	for _, c := range []struct {
		name   string
		config func(*Config)
		change func(*http.Request)
		code   int
		reason string
	}{
		{"a hostile name that points here", nil, host("evil.example"), 421, "bad_host"},
		{"a name that begins like ours", nil, host("localhost.evil.example:9125"), 421, "bad_host"},
		{"another address", nil, host("192.0.2.1:9125"), 421, "bad_host"},
		{"no host", nil, host(""), 421, "bad_host"},
		{"a hostile name, in public", public, host("evil.example"), 421, "bad_host"},
		{"a method that writes", nil, func(r *http.Request) { r.Method = "POST" }, 405, "bad_method"},
		{"a script of another site", nil, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "no-cors")
		}, 403, "cross_site"},
		{"no such path", nil, at("/etc/passwd"), 404, "not_found"},
		{"a path that climbs", nil, at("/../web.go"), 404, "not_found"},
		{"an unknown parameter", nil, at("/api/v1/live?x=1"), 400, "bad_query"},
		{"no token", public, at("/api/v1/live"), 401, "no_token"},
		{"no token for metrics", public, at("/metrics"), 401, "no_token"},
		{"another scheme", public, auth("Basic eDp5"), 401, "no_token"},
		{"a wrong token", public, auth("Bearer 3jA0Yp9vQm2Lr7Xw8Zk1Tn5C"), 401, "bad_token"},
		{"the token", public, auth("Bearer 3jA0Yp9vQm2Lr7Xw8Zk1Tn5B"), 200, ""},
		{"the page needs no token", public, at("/"), 200, ""},
		{"a configured name", public, func(r *http.Request) { r.Host, r.URL.Path = "TIME.lan:9125", "/" }, 200, ""},
		{"an address, in public", public, func(r *http.Request) { r.Host, r.URL.Path = "192.0.2.1:9125", "/" }, 200, ""},
		{"localhost", nil, func(r *http.Request) { r.Host, r.URL.Path = "localhost:9125", "/" }, 200, ""},
		{"IPv6", nil, func(r *http.Request) { r.Host, r.URL.Path = "[::1]:9125", "/" }, 200, ""},
		{"a link on another site", nil, func(r *http.Request) {
			r.URL.Path = "/"
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
		}, 200, ""},
	} {
		s := newServer(t, c.config)
		w := ask(s, c.change)
		var p problem
		if c.reason != "" {
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Errorf("%s: %v: %s", c.name, err, w.Body)
			}
			for r := range numRefusals {
				want := uint64(0)
				if r.String() == c.reason {
					want = 1
				}
				if n := s.counts.refused[r].Load(); n != want {
					t.Errorf("%s: %d refusals %v are counted, want %d", c.name, n, r, want)
				}
			}
		}
		if w.Code != c.code || p.Reason != c.reason {
			t.Errorf("%s: %d %q, want %d %q", c.name, w.Code, p.Reason, c.code, c.reason)
		}
		h := w.Header()
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'self'") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: headers %v", c.name, h)
		}
	}
}

// The page needs nothing that is not here.
func TestThePageNamesOnlyFilesThatExist(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for path, a := range s.files {
		octets, err := io.ReadAll(io.NewSectionReader(a.body, 0, a.size))
		if err != nil || len(octets) == 0 {
			t.Fatalf("%s: %d octets, %v", path, len(octets), err)
		}
		body := string(octets)
		for _, quote := range []string{`"`, `'`} {
			for _, attribute := range []string{"src=", "href=", "from ", "import "} {
				for part := range strings.SplitSeq(body, attribute+quote) {
					name, _, _ := strings.Cut(part, quote)
					if !strings.HasPrefix(name, "/") || strings.HasPrefix(body, part) {
						continue
					}
					if w := ask(s, at(name)); w.Code == 404 {
						t.Errorf("%s names %s, which does not exist", path, name)
					}
				}
			}
		}
		if strings.HasPrefix(path, "/uplot/") || path == "/icon.svg" || path == "/api/v1/openapi.json" {
			continue
		}
		if text := strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""); strings.Contains(text, "http://") || strings.Contains(text, "https://") || strings.Contains(text, "style=") {
			t.Errorf("%s names another host, or has a style that the policy forbids", path)
		}
	}
}

func TestStatusIsThatOfTheTool(t *testing.T) {
	t.Parallel()
	now := phc.MonoRaw()
	path := publish(t, snapshot(now))
	s := newServer(t, func(c *Config) { c.Snapshot = path })
	s.live.look()
	var got map[string]any
	w := ask(s, at("/api/v1/status"))
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got["state"] != "locked" || got["offset_ns"] != 5.0 || got["limit_ns"] != 1e6 {
		t.Errorf("%d, %v: %s", w.Code, err, w.Body)
	}
	if w := ask(s, at("/healthz")); w.Code != 200 || !strings.Contains(w.Body.String(), `"synchronised":true`) {
		t.Errorf("healthz: %d %s", w.Code, w.Body)
	}
	var sum summary.Summary
	w = ask(s, at("/api/v1/summary"))
	if err := json.Unmarshal(w.Body.Bytes(), &sum); err != nil || sum.Level != "good" || !strings.HasPrefix(sum.Clock, "Locked, within ") || len(sum.Todo) != 1 || sum.Todo[0].Remedy != "renew it" {
		t.Errorf("summary: %v: %+v", err, sum)
	}
	var l series
	w = ask(s, at("/api/v1/live"))
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || len(l.T) != 1 || *l.OffsetNS[0] != 5 || *l.BoundNS[0] < 100 || l.State[0] != "locked" {
		t.Errorf("live: %v: %s", err, w.Body)
	}
	if w := ask(s, at("/api/v1/doctor")); !strings.Contains(w.Body.String(), `"findings":[{"id":"x"`) {
		t.Errorf("doctor: %s", w.Body)
	}
}

func TestWhatIsAbsentIsNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.live.look()
	for _, path := range []string{"/healthz", "/api/v1/status", "/api/v1/server"} {
		if w := ask(s, at(path)); w.Code != 503 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := ask(s, at("/api/v1/summary"))
	if !strings.Contains(w.Body.String(), `"state":"absent"`) || !strings.Contains(w.Body.String(), "start refclockd") {
		t.Errorf("summary: %s", w.Body)
	}
}

// The stream sends the state at once, and no more pages than allowed get one.
func TestStreamIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.live.look()
	srv := httptest.NewServer(s)
	defer srv.Close()
	get := func() *http.Response {
		r, err := http.Get(srv.URL + "/api/v1/stream")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := get()
	b := make([]byte, 64)
	if _, err := io.ReadFull(first.Body, b); err != nil || first.Header.Get("Content-Type") != "text/event-stream" || !bytes.HasPrefix(b, []byte("event: now\ndata: {\"status\":null,")) {
		t.Errorf("%v: %v: %s", err, first.Header, b)
	}
	second := get()
	if second.StatusCode != 503 || second.Header.Get("Retry-After") == "" || s.counts.refused[noStream].Load() != 1 {
		t.Errorf("a second stream: %d", second.StatusCode)
	}
	second.Body.Close()
	first.Body.Close()
}

// A page that does not read holds up nobody, and gets the newest state.
func TestSlowWatchersGetTheNewestState(t *testing.T) {
	t.Parallel()
	l := newLive(&observe.Machine{Snapshot: "/nonexistent/a", Serving: "/nonexistent/b", Mono: phc.MonoRaw}, nil)
	w := l.watch()
	for range 3 * keptSamples {
		l.look()
	}
	if len(l.ring) != keptSamples || cap(l.ring) > 2*keptSamples {
		t.Errorf("%d samples are kept, capacity %d", len(l.ring), cap(l.ring))
	}
	newest := l.ring[keptSamples-1].mono
	var u update
	_, data, _ := strings.Cut(string(<-w), "data: ")
	if err := json.Unmarshal([]byte(data), &u); err != nil || len(u.Sample.T) != 1 || u.Sample.T[0] != l.now.posix(newest) {
		t.Errorf("%v: %+v", err, u.Sample)
	}
	l.unwatch(w)
	if len(l.watchers) != 0 {
		t.Error("a page that has gone is still fed")
	}
}

// What was predicted at the beginning of a holdover stays until the next one, also for
// a page that is opened later.
func TestPredictionOfAHoldoverIsKept(t *testing.T) {
	t.Parallel()
	l := newLive(&observe.Machine{Snapshot: "/nonexistent/a", Serving: "/nonexistent/b", Mono: phc.MonoRaw}, nil)
	at := int64(1e12)
	bound := int64(400)
	take := func(state string, ahead ...int64) {
		at += 1e9
		s := &report.Status{State: state, BoundNS: &bound}
		if ahead != nil {
			s.Forecast = &report.ForecastDetails{}
			for i, b := range ahead {
				s.Forecast.Ahead = append(s.Forecast.Ahead, report.BoundAhead{InS: float64(10 * (i + 1)), BoundNS: b})
			}
		}
		l.take(moment{View: observe.View{Status: s}, mono: at, at: time.Unix(0, at)})
	}
	want := func(what string, want *heldSeries) {
		t.Helper()
		if got := l.series().Held; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	take("locked", 500, 900)
	want("locked", nil)
	take("holdover")
	want("the forecast is behind the state", nil)
	take("holdover", 510, 910)
	take("holdover", 520, 920)
	first := &heldSeries{T: []float64{1003, 1013, 1023}, BoundNS: []int64{400, 510, 910}}
	want("in holdover", first)
	take("locked", 100, 200)
	want("after it", first)
	take("holdover")
	want("another one", nil)
	take("holdover", 600)
	want("another one, with a forecast", &heldSeries{T: []float64{1007, 1017}, BoundNS: []int64{400, 600}})
	for range keptSamples {
		take("locked")
	}
	want("long ago", nil)
}
