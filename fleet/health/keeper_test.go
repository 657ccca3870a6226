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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/embedded"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

var must = fleettest.Must

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
	s := &site{t: t, etcd: fleettest.Etcd(t)}
	s.store = storetest.New(t, fleettest.Client(t, s.etcd.Endpoint()))
	for i, name := range names {
		must(t, s.store.Register(t.Context(), name, seal.Generate().Public(), storetest.Entry("join")))
		n := &node{name: name, facts: good()}
		n.keeper = New(s.store, Config{
			Node: name, Reached: func() Peer { return Peer{Address: fmt.Sprintf("192.0.2.%d:4460", i)} }, Metrics: []string{fmt.Sprintf("192.0.2.%d:9123", i)}, TTL: 10 * time.Minute, Timeout: time.Minute,
			Facts: func(context.Context) Facts { return n.facts }, Mono: func() time.Duration { return s.now },
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

	// A node that has drained itself is withdrawn, and says why.
	a.facts, c.facts = good(), good()
	s.round()
	must(t, s.store.Drain(t.Context(), "a", "deviates", store.Entry{Time: time.Now(), Node: "a", Action: "drain"}))
	a.facts.Deviates = "2 of 2 witnesses"
	s.round()
	if code, body := a.get(t, "GET", "/health"); code != 503 || !strings.Contains(body, `"deviates","detail":"2 of 2 witnesses"`) || a.last.Verdict.Announce {
		t.Errorf("a has drained itself: %d %s", code, body)
	}
	s.targetsAndMetrics(a, c)
}

func (s *site) targetsAndMetrics(a, c *node) {
	t := s.t
	if code, _ := c.get(t, "GET", "/targets"); code != 503 || len(c.last.Nodes) > 0 {
		t.Errorf("a list that nobody has asked for: %d, %d nodes", code, len(c.last.Nodes))
	}
	c.keeper.counted = never
	s.round()
	code, body := c.get(t, "GET", "/targets")
	want := `[{"targets":["192.0.2.0:9123"],"labels":{"node":"a"}},{"targets":["192.0.2.1:9123"],"labels":{"node":"b"}},{"targets":["192.0.2.2:9123"],"labels":{"node":"c"}}]`
	if code != 200 || strings.TrimSpace(body) != want {
		t.Errorf("targets, with one that is gone: %d %s", code, body)
	}
	trust := NewTrust(s.store, TrustConfig{Node: "c", Timeout: time.Minute})
	if _, got, err := trust.read(t.Context()); err != nil || got != nil {
		t.Errorf("a deviates and b is gone, and c has the witnesses %v, %v", got, err)
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
		r := Result{another: "a", up: up, Verdict: Verdict{Problems: []Problem{{NotLocked, ""}}}}
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

// TestALargeFleetIsNotReadEachTime: names once an hour, and a limited number of records, however
// many nodes there are.
func TestALargeFleetIsNotReadEachTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Duration(0)
	trust := NewTrust(s.store, TrustConfig{Node: "self", Timeout: time.Minute, Mono: func() time.Duration { return now }})
	entry := storetest.Entry("join")
	names := []string{"self"}
	for i := range maxExamined + 20 {
		names = append(names, fmt.Sprint("n", i))
	}
	for _, n := range names {
		must(t, s.store.Register(t.Context(), n, seal.Generate().Public(), entry))
	}
	part := s.store.Part(PartName)
	shows := func(name string, healthy bool) {
		t.Helper()
		b, err := json.Marshal(Record{Healthy: healthy, NTSKE: "127.0.0.1:4460"})
		must(t, err)
		must(t, part.Commit(t.Context(), store.Entry{}, nil, clientv3.OpPut(part.Key("at", name), string(b))))
	}
	read := func() (list []string) {
		t.Helper()
		_, peers, err := trust.read(t.Context())
		must(t, err)
		for _, p := range peers {
			list = append(list, p.Name)
		}
		return list
	}
	order := Order("self", names)
	for i, n := range order {
		shows(n, i >= maxExamined)
	}
	if got := read(); len(got) > 0 {
		t.Errorf("records beyond the limit were read: %v", got)
	}
	for _, n := range order[maxExamined-2 : maxExamined] {
		shows(n, true)
	}
	if got := read(); !slices.Equal(got, order[maxExamined-2:maxExamined]) {
		t.Errorf("witnesses %v, want the last two that are looked at", got)
	}

	// One that joins is asked when the names are read again.
	var late string
	var all []string
	for i := 0; late == "" || slices.Index(all, late) >= maxExamined; i++ {
		late = fmt.Sprint("late", i)
		all = Order("self", append(slices.Clone(names), late))
	}
	must(t, s.store.Register(t.Context(), late, seal.Generate().Public(), entry))
	for _, n := range all {
		shows(n, n == late)
	}
	if got := read(); len(got) > 0 {
		t.Errorf("the names were read again: %v", got)
	}
	now += orderFor
	if got := read(); !slices.Equal(got, []string{late}) {
		t.Errorf("after an hour %v, want %s", got, late)
	}
}
