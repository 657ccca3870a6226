package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/embedded"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

var must = fleettest.Must

var params = roots.Params{
	Rotate: time.Hour, Keep: 4, Renew: 6 * time.Hour, Horizon: 24 * time.Hour,
	Lead: time.Hour, Ack: 30 * time.Minute, Tolerance: 5 * time.Minute,
}

// step is how far the clocks of all nodes go between two rounds.
const step = 20 * time.Minute

// site is a fleet: a real etcd, agents, and the cookie rings that ntsserve makes of their
// key files. All clocks read the system clock plus shift.
type site struct {
	t      *testing.T
	etcd   *embedded.Server
	store  *store.Store
	shift  time.Duration
	nodes  []*node
	params roots.Params
	rng    *rand.Rand

	cookie  []byte
	refused int
	asked   int
}

type node struct {
	name      string
	dir       string
	store     *store.Store // nil: that of the site
	every     time.Duration
	ttl       time.Duration // 0: long, because presence is in real time, the test is not
	agent     *Agent        // nil: killed; ntsserve runs on
	ring      *nts.Ring
	untrusted error
	off       time.Duration // of its clock
	last      Report
}

func newSite(t *testing.T) *site { return newSiteWith(t, params) }

func newSiteWith(t *testing.T, params roots.Params) *site {
	return newSiteOn(t, params, fleettest.Etcd(t))
}

func newSiteOn(t *testing.T, params roots.Params, etcd *embedded.Server) *site {
	t.Helper()
	const seed = 1
	t.Logf("seed %d", seed)
	s := &site{t: t, params: params, rng: rand.New(rand.NewPCG(seed, seed)), etcd: etcd}
	s.store = storetest.Found(t, fleettest.Client(t, s.etcd.Endpoint()), storetest.Name, params)
	return s
}

func (s *site) now() time.Time { return time.Now().Add(s.shift) }

func (s *site) entry(action string) store.Entry {
	return store.Entry{Time: s.now(), Node: "operator", Action: action}
}

func (s *site) join(name string) *node {
	s.t.Helper()
	return s.add(&node{name: name, dir: s.t.TempDir()})
}

func (s *site) add(n *node) *node {
	s.t.Helper()
	key, err := seal.OpenKey(filepath.Join(n.dir, "node.key"))
	must(s.t, err)
	must(s.t, s.store.Register(s.t.Context(), n.name, key.Public(), s.entry("join")))
	s.nodes = append(s.nodes, n)
	s.start(n)
	return n
}

// start starts the agent of a node, with what is on its disc.
func (s *site) start(n *node) {
	s.t.Helper()
	key, err := seal.OpenKey(filepath.Join(n.dir, "node.key"))
	must(s.t, err)
	own, ttl := s.store, 10*time.Minute
	if n.store != nil {
		own, ttl = n.store, n.ttl
	}
	n.agent, err = New(own, Config{
		Node: n.name, Key: key, Copy: filepath.Join(n.dir, "copy"), KeyFile: filepath.Join(n.dir, "keys"),
		Clock: func() (time.Time, error) { return s.now().Add(n.off), n.untrusted },
		Every: n.every, TTL: ttl,
	})
	must(s.t, err)
}

// kill ends the agent of a node, and its lease as if that had lasted: it is in real time.
// ntsserve runs on.
func (s *site) kill(n *node) {
	s.t.Helper()
	must(s.t, n.agent.presence.End(s.t.Context()))
	n.agent = nil
}

func (n *node) serves() bool { return n.agent != nil && n.agent.Readiness() == roots.Serves }

// load is ntsserve, which reads its key file again.
func (s *site) load(n *node) {
	s.t.Helper()
	path := filepath.Join(n.dir, "keys")
	if _, err := os.Stat(path); err != nil {
		return
	}
	if n.ring == nil {
		var err error
		n.ring, err = nts.OpenRing(path, nts.RingConfig{Rotate: s.params.Rotate, Keep: s.params.Keep, Renew: nts.NeverRenew}, s.now())
		must(s.t, err)
		return
	}
	must(s.t, n.ring.Reload(s.now()))
}

// round makes a round of each agent that runs, then a request to each node that serves,
// with the cookie of the one before.
func (s *site) round() {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.agent == nil {
			continue
		}
		var err error
		if n.last, err = n.agent.Round(s.t.Context()); err != nil {
			s.t.Fatalf("%s: %v", n.name, err)
		}
		if len(n.last.Bad) > 0 {
			s.t.Fatalf("%s refuses %v", n.name, n.last.Bad)
		}
		s.load(n)
	}
	for _, i := range s.rng.Perm(len(s.nodes)) {
		if s.nodes[i].serves() {
			s.ask(s.nodes[i])
		}
	}
}

func (s *site) ask(n *node) {
	s.t.Helper()
	n.ring.Rotate(s.now())
	var keys nts.SessionKeys
	var scratch nts.Scratch
	if s.cookie != nil {
		s.asked++
		if n.ring.Load().OpenCookie(s.cookie, &keys, &scratch) != nil {
			s.refused++
		}
	}
	keys = nts.SessionKeys{AEAD: aead.AESSIVCMAC256}
	var err error
	s.cookie, err = n.ring.Load().SealCookie(nil, &keys, &scratch)
	must(s.t, err)
}

// during lets time pass.
func (s *site) during(d time.Duration) {
	s.t.Helper()
	for ; d > 0; d -= step {
		s.shift += step
		s.round()
	}
}

// settle makes rounds at one instant until the plan does not change any more: not in the
// round in which the others acknowledge, and not in the next one.
func (s *site) settle() roots.Plan {
	s.t.Helper()
	quiet := 0
	for range 20 {
		before := s.plan().Version
		s.round()
		quiet++
		if s.plan().Version != before {
			quiet = 0
		}
		if quiet == 2 {
			return s.plan()
		}
	}
	s.t.Fatal("the plan changes in each round")
	return roots.Plan{}
}

// plansNext gives the turn to a node.
func (s *site) plansNext(n *node) {
	s.t.Helper()
	for _, x := range s.nodes {
		if x != n && x.agent != nil {
			must(s.t, x.agent.planner.Give(s.t.Context()))
		}
	}
	var err error
	n.last, err = n.agent.Round(s.t.Context())
	must(s.t, err)
	if !n.last.Plans {
		s.t.Fatalf("%s does not plan", n.name)
	}
}

func (s *site) plan() roots.Plan {
	s.t.Helper()
	snap, err := s.store.Read(s.t.Context())
	must(s.t, err)
	return snap.Plan
}

func (s *site) allServe(when string) {
	s.t.Helper()
	for _, n := range s.nodes {
		if r := n.agent.Readiness(); r != roots.Serves {
			s.t.Errorf("%s: %s does not serve: %v", when, n.name, r)
		}
	}
}

func TestCookiesAreGoodOnAllNodesThroughRotationsAndFailures(t *testing.T) {
	s := newSite(t)
	a, b := s.join("a"), s.join("b")
	s.join("c")
	p := s.settle()
	s.allServe("after the start")
	if until := time.Unix(p.Until(), 0).Sub(s.now()); until < params.Horizon {
		t.Errorf("the plan reaches %v ahead, less than %v", until, params.Horizon)
	}
	first, _ := p.Sealing(s.now().Unix())

	s.kill(b)
	s.during(3 * time.Hour)
	s.start(b)
	s.during(13 * time.Hour)
	s.allServe("after two rotations")
	if x, _ := s.plan().Sealing(s.now().Unix()); x.ID == first.ID {
		t.Error("no rotation")
	}

	d := s.join("d")
	if d.serves() {
		t.Error("a node without secrets serves")
	}
	s.settle()
	s.allServe("after a node has joined")

	// A clock that is not trusted plans nothing, and its node does not serve.
	a.untrusted = errors.New("no receiver")
	s.round()
	if a.serves() || a.last.Plans || a.last.Clock == nil {
		t.Errorf("without a trusted clock: serves %t, plans %t", a.serves(), a.last.Plans)
	}
	a.untrusted = nil

	s.during(12 * time.Hour)
	if s.refused > 0 || s.asked < 200 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
	list, _, err := s.store.Audit(t.Context(), 1000)
	must(t, err)
	count := map[string]int{}
	for _, e := range list {
		count[e.Action]++
	}
	if count["activated"] < 8 || count["removed"] < 2 || count["join"] != 4 {
		t.Errorf("audit record: %v", count)
	}
	t.Logf("%d requests, audit record %v", s.asked, count)
}

func TestANodeThatCannotWriteAcknowledgesNothingAndIsDrained(t *testing.T) {
	s := newSite(t)
	s.join("a")
	b := s.join("b")
	s.join("c")
	s.settle()
	away := b.dir + ".away"
	must(t, os.Rename(b.dir, away))
	s.during(6*time.Hour + time.Hour)
	if b.last.Disc == nil || b.serves() {
		t.Errorf("without its disc: %v, serves %t", b.last.Disc, b.serves())
	}
	snap, err := s.store.Read(t.Context())
	must(t, err)
	if n := snap.Node("b"); n.Drain != "laggard" {
		t.Errorf("drain of b: %q, record %+v", n.Drain, n.Record)
	}
	if until := time.Unix(snap.Plan.Until(), 0).Sub(s.now()); until < params.Horizon {
		t.Errorf("the others do not go on: the plan reaches %v ahead", until)
	}
	must(t, os.Rename(away, b.dir))
	must(t, s.store.Undrain(t.Context(), "b", s.entry("undrain")))
	s.settle()
	s.allServe("after the repair")
	if s.refused > 0 {
		t.Errorf("%d of %d cookies are refused", s.refused, s.asked)
	}
}

func TestRevokedRootsAreRefusedEverywhere(t *testing.T) {
	s := newSite(t)
	s.join("a")
	s.join("b")
	old := s.settle()
	stolen := s.cookie
	snap, err := s.store.Read(t.Context())
	must(t, err)
	p, err := snap.Plan.Condemn()
	must(t, err)
	must(t, s.store.Commit(t.Context(), snap, store.Change{Plan: p, Audit: []store.Entry{s.entry("revoke")}}))
	s.settle()
	s.allServe("after the revocation")
	for _, n := range s.nodes {
		var keys nts.SessionKeys
		var scratch nts.Scratch
		if err := n.ring.Load().OpenCookie(stolen, &keys, &scratch); err == nil {
			t.Errorf("%s opens a cookie of a revoked root", n.name)
		}
		for _, file := range []string{"copy", "keys"} {
			b, err := os.ReadFile(filepath.Join(n.dir, file))
			must(t, err)
			for _, r := range old.Roots {
				if strings.Contains(string(b), r.ID.String()) {
					t.Errorf("%s: %s has revoked root %v", n.name, file, r.ID)
				}
			}
		}
		seals, _, err := s.store.Seals(t.Context(), n.name)
		must(t, err)
		if slices.ContainsFunc(seals, func(x store.Seal) bool { return x.Root == old.Roots[0].ID }) {
			t.Errorf("etcd has a seal of a revoked root for %s", n.name)
		}
	}
}

func TestANodeServesWithoutEtcdUntilItsPlanEnds(t *testing.T) {
	s := newSite(t)
	a := s.join("a")
	s.settle()
	s.etcd.Close()
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := a.agent.Round(ctx); err == nil {
		t.Fatal("a round without etcd succeeds")
	}
	s.start(a) // a restart, from the disc
	end := time.Unix(a.agent.disc.plan.Until(), 0).Add(-params.Lead / 2)
	for range 200 {
		s.load(a)
		want := roots.Serves
		if left := end.Sub(s.now()); left <= 0 {
			want = roots.PlanEnded
		}
		if got := a.agent.Readiness(); got != want {
			t.Fatalf("%v before the end: %v, want %v", end.Sub(s.now()), got.Word(), want.Word())
		}
		s.shift += step
	}
}

func TestDamagedCopiesAreRefused(t *testing.T) {
	t.Parallel()
	p, err := roots.New(params, time.Unix(1_800_000_000, 0))
	must(t, err)
	one := secret{1}
	id := roots.Fingerprint(&one)
	path := filepath.Join(t.TempDir(), "copy")
	must(t, kept{plan: p.Add(time.Unix(1_800_000_000, 0), id), secrets: map[roots.ID]secret{id: one}}.write(path))
	good, err := os.ReadFile(path)
	must(t, err)
	if k, err := readCopy(path); err != nil || k.secrets[id] != one || len(k.plan.Roots) != 1 {
		t.Errorf("the good one: %v", err)
	}
	for _, c := range []struct {
		name, old, new string
		mode           os.FileMode
		want           string
	}{
		{"others may read it", "", "", 0o644, "chmod 600"},
		{"another format", copyFormat, "x", 0o600, "the format is not"},
		{"another secret", ":\"01", ":\"02", 0o600, "is damaged"},
		{"a short secret", "00\"}", "\"}", 0o600, "is damaged"},
		{"a damaged plan", roots.Format, "x", 0o600, "plan is not usable"},
		{"cut", "}\n", "", 0o600, "invalid JSON"},
		{"text behind", "}\n", "} {}", 0o600, "invalid JSON"},
	} {
		text := strings.Replace(string(good), c.old, c.new, 1)
		if c.old != "" && text == string(good) {
			t.Errorf("%s: nothing is damaged", c.name)
		}
		path := filepath.Join(t.TempDir(), "copy")
		must(t, os.WriteFile(path, []byte(text), c.mode))
		_, err := readCopy(path)
		if !errors.Is(err, ErrCopy) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), fmt.Sprintf("%x", one)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
