package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/embedded"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a fleet in a real etcd. The facts of the nodes are given.
type site struct {
	t     *testing.T
	etcd  *embedded.Server
	store *store.Store
	now   time.Duration
	nodes []*node
}

type node struct {
	name   string
	facts  Facts
	keeper *Keeper
	last   Result
}

func newSite(t *testing.T, names ...string) *site {
	t.Helper()
	const loopback = "http://127.0.0.1:0"
	e, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), Name: "a", Client: loopback, Peer: loopback, Unsafe: true})
	must(t, err)
	t.Cleanup(e.Close)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Endpoint()}, Logger: zap.NewNop()})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s := &site{t: t, etcd: e}
	s.store, err = store.New(c, "test")
	must(t, err)
	p, err := roots.New(roots.Defaults(), time.Now())
	must(t, err)
	entry := store.Entry{Time: time.Now(), Node: "operator", Action: "init"}
	must(t, s.store.Init(t.Context(), p, entry))
	for i, name := range names {
		must(t, s.store.Register(t.Context(), name, seal.Generate().Public(), entry))
		n := &node{name: name, facts: good()}
		n.keeper = New(s.store, Config{
			Node: name, NTSKE: fmt.Sprintf("192.0.2.%d:4460", i), Metrics: []string{fmt.Sprintf("192.0.2.%d:9123", i)}, TTL: 10 * time.Minute, Timeout: time.Minute,
			Facts: func(context.Context) Facts { return n.facts }, Mono: func() time.Duration { return s.now }, Now: time.Now,
		})
		s.nodes = append(s.nodes, n)
	}
	return s
}

// round makes a round of every node, all at once.
func (s *site) round() (up int) {
	s.t.Helper()
	s.now += 10 * time.Second
	var wg sync.WaitGroup
	for _, n := range s.nodes {
		wg.Go(func() { n.last = n.keeper.Round(s.t.Context()) })
	}
	wg.Wait()
	for _, n := range s.nodes {
		if n.last.Etcd != nil {
			s.t.Fatalf("%s: %v", n.name, n.last.Etcd)
		}
		if n.last.Verdict.Announce {
			up++
		}
	}
	return up
}

func (n *node) get(t *testing.T, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	n.keeper.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	b, err := io.ReadAll(w.Result().Body)
	must(t, err)
	return w.Code, string(b)
}

func TestNodesAreWithdrawnButTheLast(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b", "c")
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	if code, body := a.get(t, "GET", "/health"); code != 503 || !strings.Contains(body, `"stale"`) {
		t.Errorf("before the first round: %d %s", code, body)
	}
	if code, _ := a.get(t, "GET", "/targets"); code != 503 {
		t.Errorf("targets before the first round: %d", code)
	}
	if up := s.round(); up != 3 {
		t.Fatalf("%d of 3 are announced", up)
	}
	s.round()
	if a.last.Others != 2 {
		t.Errorf("a sees %d others", a.last.Others)
	}

	// All lose their reference at once: one stays.
	for _, n := range s.nodes {
		n.facts.Usable, n.facts.State = false, "acquiring"
	}
	for range 3 {
		if up := s.round(); up < 1 {
			t.Fatal("no node is announced")
		}
	}
	if up := s.round(); up != 1 {
		t.Errorf("%d are announced, want the last one", up)
	}
	for _, n := range s.nodes {
		code, body := n.get(t, "GET", "/health")
		var x answer
		must(t, json.Unmarshal([]byte(body), &x))
		if (code == 200) != n.last.Verdict.Announce || x.Kept != n.last.Verdict.Kept || x.Healthy || x.Reasons[0].Reason != "not-locked" || x.Record.State != "acquiring" {
			t.Errorf("%s: %d %s", n.name, code, body)
		}
	}

	// One comes back: the last one may go. Then it dies, and its record with it.
	b.facts = good()
	s.round()
	if up := s.round(); up != 1 || !b.last.Verdict.Announce {
		t.Errorf("%d are announced, b %t", up, b.last.Verdict.Announce)
	}
	must(t, b.keeper.Leave(t.Context()))
	s.nodes = []*node{a, c}
	if up := s.round(); up < 1 {
		t.Error("the others do not come back")
	}

	// A node whose time deviates is withdrawn and drains itself, and only itself.
	a.facts, c.facts = good(), good()
	s.round()
	a.facts.Deviates = "2 of 2 witnesses agree that the clock is 1s fast or more: b, c"
	s.round()
	snap, err := s.store.Read(t.Context())
	must(t, err)
	if d := snap.Node("a").Drain; !strings.HasPrefix(d, "deviates: 2 of 2 witnesses") || snap.Node("c").Drain != "" || a.last.Verdict.Announce {
		t.Errorf("a is drained %q, c %q, announced %t", d, snap.Node("c").Drain, a.last.Verdict.Announce)
	}
	a.facts.Deviates = ""
	s.round()
	if code, body := a.get(t, "GET", "/health"); code != 503 || !strings.Contains(body, "undrain NODE") {
		t.Errorf("it undrains itself: %d %s", code, body)
	}
	s.targetsAndMetrics(a, c)
}

func (s *site) targetsAndMetrics(a, c *node) {
	t := s.t
	code, body := c.get(t, "GET", "/targets")
	want := `[{"targets":["192.0.2.0:9123"],"labels":{"node":"a"}},{"targets":["192.0.2.1:9123"],"labels":{"node":"b"}},{"targets":["192.0.2.2:9123"],"labels":{"node":"c"}}]`
	if code != 200 || strings.TrimSpace(body) != want {
		t.Errorf("targets, with one that is gone: %d %s", code, body)
	}
	if got := fmt.Sprint(c.last.Witnesses("c")); got != "[]" {
		t.Errorf("a is drained and b is gone, and c has the witnesses %s", got)
	}
	c.get(t, "POST", "/health")
	c.get(t, "GET", "/etc/passwd")
	code, body = c.get(t, "GET", "/metrics")
	for _, line := range []string{
		"noonmark_fleet_announced 1", `noonmark_fleet_nodes{state="drained"} 1`, `noonmark_fleet_nodes{state="gone"} 1`, `noonmark_fleet_nodes{state="announced"} 1`,
		`noonmark_fleet_problem{reason="not-locked"} 0`, `noonmark_fleet_http_refused_total{reason="method"} 1`, `noonmark_fleet_http_refused_total{reason="path"} 1`,
		`noonmark_fleet_rounds_total{etcd="no"} 0`,
	} {
		if code != 200 || !strings.Contains(body, line+"\n") {
			t.Errorf("metrics: %d, no %q", code, line)
		}
	}
	s.now += 2 * staleAfter
	if code, body := c.get(t, "GET", "/health"); code != 503 || !strings.Contains(body, `"stale"`) {
		t.Errorf("an agent that hangs: %d %s", code, body)
	}
	if code, _ := a.get(t, "HEAD", "/health"); code != 503 {
		t.Errorf("HEAD: %d", code)
	}
}

// TestSomeNodeIsAlwaysAnnounced: over random failures, of all nodes at once too, with
// rounds that run against each other.
func TestSomeNodeIsAlwaysAnnounced(t *testing.T) {
	t.Parallel()
	const seed = 6
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	s := newSite(t, "a", "b", "c", "d")
	s.round()
	withdrawn, kept := 0, 0
	for range 150 {
		for _, n := range s.nodes {
			if rng.IntN(3) == 0 {
				n.facts.Usable = rng.IntN(4) == 0
			}
		}
		if up := s.round(); up == 0 {
			t.Fatal("no node is announced")
		}
		got, err := s.store.Part(PartName).Client().Get(t.Context(), s.store.Part(PartName).Key("up", ""), clientv3.WithPrefix(), clientv3.WithCountOnly())
		must(t, err)
		up := int64(0)
		for _, n := range s.nodes {
			if n.last.Verdict.Announce {
				up++
			}
			if n.last.Verdict.Kept {
				kept++
			}
			if !n.last.Verdict.Announce {
				withdrawn++
			}
		}
		if got.Count != up {
			t.Fatalf("etcd has %d announced nodes, %d are", got.Count, up)
		}
	}
	if withdrawn < 100 || kept < 20 {
		t.Errorf("%d withdrawn, %d kept: one-sided", withdrawn, kept)
	}
}

// TestAWithdrawnNodeStaysSo: it read that a is announced, and a has withdrawn before it
// writes. b, which a's withdrawal needs, is announced. A node that is announced stays.
func TestAWithdrawnNodeStaysSo(t *testing.T) {
	t.Parallel()
	for _, up := range []bool{true, false} {
		s := newSite(t, "a", "b", "c")
		r := Result{Nodes: []Entry{{Name: "a", Up: true}, {Name: "b", Up: true}, {Name: "c", Up: up}}, Verdict: Verdict{Problems: []Problem{{NotLocked, ""}}}}
		must(t, s.nodes[2].keeper.put(t.Context(), &r))
		if r.Verdict.Announce != up || r.Verdict.Kept != up || r.Record.Announced != up {
			t.Errorf("announced before %t: %+v", up, r.Verdict)
		}
	}
}

func TestWithoutEtcdANodeStaysAsItWas(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b")
	a, b := s.nodes[0], s.nodes[1]
	b.facts.Usable = false
	s.round()
	s.round()
	if !a.last.Verdict.Announce || b.last.Verdict.Announce {
		t.Fatalf("a %t, b %t", a.last.Verdict.Announce, b.last.Verdict.Announce)
	}
	s.etcd.Close()
	for _, n := range s.nodes {
		n.keeper.cfg.Timeout = 50 * time.Millisecond
		n.facts.Usable = false
		if n.last = n.keeper.Round(t.Context()); n.last.Etcd == nil || n.last.Others != -1 {
			t.Errorf("%s: %v, %d others", n.name, n.last.Etcd, n.last.Others)
		}
	}
	if !a.last.Verdict.Kept || b.last.Verdict.Announce {
		t.Errorf("a kept %t, b announced %t", a.last.Verdict.Kept, b.last.Verdict.Announce)
	}
	b.facts = good()
	if b.last = b.keeper.Round(t.Context()); !b.last.Verdict.Announce {
		t.Error("a healthy node without etcd is not announced")
	}
	a.facts.Answer = errors.New("dead")
	if a.last = a.keeper.Round(t.Context()); a.last.Verdict.Announce {
		t.Error("a node that does not answer is announced")
	}
	srv := httptest.NewServer(a.keeper.Handler())
	defer srv.Close()
	r, err := http.Get(srv.URL + "/health")
	must(t, err)
	defer r.Body.Close()
	if r.StatusCode != 503 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("over HTTP: %d, %v", r.StatusCode, r.Header)
	}
}

// TestANodeThatEndsIsWithdrawn: its record goes at once, not with the lease.
func TestANodeThatEndsIsWithdrawn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	ctx, stop := context.WithCancel(t.Context())
	announced := false
	err := s.nodes[0].keeper.Run(ctx, func(r Result) {
		announced = r.Verdict.Announce
		stop()
	})
	if !errors.Is(err, context.Canceled) || !announced {
		t.Errorf("%v, announced %t", err, announced)
	}
	part := s.store.Part(PartName)
	got, err := part.Client().Get(t.Context(), part.Key("up", "a"))
	if err != nil || len(got.Kvs) != 0 {
		t.Errorf("still announced: %v", err)
	}
}
