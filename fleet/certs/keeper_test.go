package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, killedNode)) }

var must = fleettest.Must

// site is a fleet: a real etcd, a real ACME server, and nodes.
type site struct {
	t        *testing.T
	endpoint string
	store    *store.Store
	pebble   *certstest.Pebble
	acme     ACME
	names    []string
	shift    time.Duration
	nodes    []*node
}

type node struct {
	name, dir string
	key       *seal.Private
	http      string
	keeper    *Keeper
	presence  *store.Presence
	untrusted error
	last      Result
}

func startEtcd(t *testing.T) (endpoint string) { return fleettest.Etcd(t).Endpoint() }

// newSite makes a fleet in an etcd.
func newSite(t *testing.T, endpoint, fleet string, p *certstest.Pebble, names []string) *site {
	t.Helper()
	s := &site{t: t, endpoint: endpoint, pebble: p, names: names, acme: ACME{Directory: p.Directory, Roots: file(t, p.CA), AcceptTerms: true}}
	s.store = storetest.Found(t, fleettest.Client(t, s.endpoint), fleet, roots.Defaults())
	return s
}

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

func (s *site) entry(action string) store.Entry {
	return store.Entry{Time: time.Now(), Node: "operator", Action: action}
}

// join adds a node that answers challenges at an address.
func (s *site) join(name, address string) *node {
	s.t.Helper()
	n := &node{name: name, dir: s.t.TempDir(), http: address}
	var err error
	n.key, err = seal.OpenKey(filepath.Join(n.dir, "node.key"))
	must(s.t, err)
	must(s.t, s.store.Register(s.t.Context(), name, n.key.Public(), s.entry("join")))
	n.presence = s.store.NewPresence(name, 10*time.Minute)
	must(s.t, n.presence.Show(s.t.Context(), store.Record{}))
	s.nodes = append(s.nodes, n)
	s.open(n)
	return n
}

func (s *site) open(n *node) {
	s.t.Helper()
	a := s.acme
	if len(a.DNS) == 0 {
		a.HTTP = n.http
	}
	var err error
	n.keeper, err = New(s.store, Config{
		Node: n.name, Key: n.key, Names: s.names, ACME: a, PEM: filepath.Join(n.dir, "tls.pem"), TTL: 2 * time.Second,
		Clock: func() (time.Time, error) { return time.Now().Add(s.shift), n.untrusted }, Mono: func() time.Duration { return time.Duration(time.Now().UnixNano()) },
	})
	must(s.t, err)
	s.t.Cleanup(n.keeper.responder.Close)
}

// until makes rounds of all nodes until ok.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	proctest.UntilState(s.t, what, func() (bool, string) {
		state := ""
		for _, n := range s.nodes {
			if n.keeper == nil {
				continue
			}
			var err error
			n.last, err = n.keeper.Round(s.t.Context())
			must(s.t, err)
			if n.last.Act == Finalize {
				s.shift = 0 // the clock of the ACME server has no shift: a new certificate would be due at once
			}
			state += fmt.Sprintf("%s: act %d, server %v, disc %v, %+v; ", n.name, n.last.Act, n.last.Server, n.last.Disc, n.last.State.Order)
		}
		return ok(), state
	}, s.pebble.Proc)
}

func (s *site) generation(want uint64) func() bool {
	return func() bool {
		for _, n := range s.nodes {
			if n.keeper != nil && (n.last.Report.Generation != want || n.last.State.Order != nil) {
				return false
			}
		}
		return true
	}
}

func (s *site) leaf(n *node) *x509.Certificate {
	s.t.Helper()
	c, err := tls.LoadX509KeyPair(filepath.Join(n.dir, "tls.pem"), filepath.Join(n.dir, "tls.pem"))
	must(s.t, err)
	return c.Leaf
}

// served is the certificate that NTS-KE shows.
func served(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ntske/1"}, MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	good := ACME{AcceptTerms: true, HTTP: ":80"}
	for _, c := range []struct {
		name  string
		names []string
		set   func(*ACME)
	}{
		{"no name", nil, func(*ACME) {}},
		{"no name of the DNS", []string{"a_b"}, func(*ACME) {}},
		{"capitals", []string{"Time.example.org"}, func(*ACME) {}},
		{"a name twice", []string{"a", "a"}, func(*ACME) {}},
		{"roots without a certificate", []string{"a"}, func(a *ACME) { a.Roots = "x" }},
		{"terms", []string{"a"}, func(a *ACME) { a.AcceptTerms = false }},
		{"http", []string{"a"}, func(a *ACME) { a.Directory = "http://x" }},
		{"no challenge", []string{"a"}, func(a *ACME) { a.HTTP = "" }},
		{"two challenges", []string{"a"}, func(a *ACME) { a.DNS = []string{"x"} }},
		{"a wildcard over HTTP", []string{"*.a"}, func(*ACME) {}},
		{"an address in DNS", []string{"192.0.2.1"}, func(a *ACME) { a.HTTP, a.DNS = "", []string{"x"} }},
	} {
		a := good
		c.set(&a)
		if err := a.Check(c.names); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	must(t, good.Check([]string{"a", "192.0.2.1"}))
}

func TestRunIsBusyOnlyWithAnOrder(t *testing.T) {
	t.Parallel()
	order := State{Order: &Order{}}
	for _, c := range []struct {
		r    Result
		want time.Duration
	}{
		{Result{}, whileIdle}, {Result{State: order}, whileOrder}, {Result{Act: Authorize, State: order}, whileOrder},
		{Result{Act: Campaign}, 0}, {Result{Act: Begin}, 0}, {Result{Act: Finalize, State: order}, 0},
	} {
		if got := c.r.wait(); got != c.want {
			t.Errorf("act %d, order %v: %v, want %v", c.r.Act, c.r.State.Order, got, c.want)
		}
	}
}

// TestAllNodesGetOneCertificate: every node proves its own address, so each must answer
// what the holder of the lease was asked. A real ntsserve takes over the first and the
// renewed certificate.
func TestAllNodesGetOneCertificate(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	address := func(i int) string { return fmt.Sprintf("127.0.78.%d", i) }
	s := newSite(t, startEtcd(t), "test", p, []string{address(1), address(2), address(3)})
	a := s.join("a", fmt.Sprintf("%s:%d", address(1), p.HTTPPort))
	b := s.join("b", fmt.Sprintf("%s:%d", address(2), p.HTTPPort))
	c := s.join("c", fmt.Sprintf("%s:%d", address(3), p.HTTPPort))

	for _, n := range s.nodes {
		n.untrusted = errors.New("no receiver")
	}
	rounds := 0
	s.until("five rounds", func() bool { rounds++; return rounds == 5 })
	if st := a.last.State; st.Account != (roots.ID{}) || st.Order != nil {
		t.Fatalf("without a trusted clock: %+v", st)
	}
	for _, n := range s.nodes {
		n.untrusted = nil
	}
	s.until("all nodes have the certificate", s.generation(1))
	first := s.leaf(a)
	if !s.leaf(b).Equal(first) || !s.leaf(c).Equal(first) || p.Issued() != 1 {
		t.Errorf("%d certificates were issued", p.Issued())
	}
	for _, n := range s.nodes {
		if answered, _ := n.keeper.Responder().Counts(); answered == 0 {
			t.Errorf("%s answered no challenge", n.name)
		}
		if fi, err := os.Stat(filepath.Join(n.dir, "tls.pem")); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", n.name, fi, err)
		}
		if _, err := net.Dial("tcp", n.http); err == nil {
			t.Errorf("%s still listens for challenges", n.name)
		}
	}
	s.secretsAreSealed(a)

	ports := proctest.FreePorts(t, 2)
	ke := fmt.Sprintf("127.0.0.1:%d", ports[1])
	conf := proctest.Write(t, filepath.Join(a.dir, "ntsserve.toml"), fmt.Sprintf(`[[endpoint]]
address = "127.0.0.1:%d"
[ke]
listen = %q
certificate = %[3]q
key = %[3]q
[keys]
file = %[4]q
`, ports[0], ke, filepath.Join(a.dir, "tls.pem"), filepath.Join(a.dir, "keys")))
	serve := proctest.Start(t, proctest.Program(t, "ntsserve"), "-config", conf)
	proctest.Until(t, "ntsserve shows the certificate", func() bool { c := served(t, ke); return c != nil && c.Equal(first) }, serve)

	// A node that joins later gets the key of the others.
	d := s.join("d", "127.0.0.1:0")
	s.until("the late node has the certificate", s.generation(1))
	if !s.leaf(d).Equal(first) {
		t.Error("the late node has another certificate")
	}

	// A third of its life before the end there is a new one, on all nodes. The server chooses
	// how long it lives.
	due := first.NotAfter.Sub(first.NotBefore) * 2 / 3
	s.shift = due - time.Hour
	rounds = 0
	s.until("five rounds", func() bool { rounds++; return rounds == 5 })
	if p.Issued() != 1 {
		t.Fatal("it was renewed too early")
	}
	s.shift = due + time.Hour
	s.until("all nodes have the new certificate", s.generation(2))
	second := s.leaf(a)
	if second.Equal(first) || !s.leaf(d).Equal(second) || p.Issued() != 2 {
		t.Errorf("renewed: %d certificates were issued", p.Issued())
	}
	proctest.Until(t, "ntsserve shows the new certificate", func() bool { c := served(t, ke); return c != nil && c.Equal(second) }, serve)
	if strings.Count(serve.Output.String(), "ready") > 1 {
		t.Errorf("ntsserve was restarted:\n%s", serve.Output.String())
	}
}

// secretsAreSealed: no value in etcd has the private key or what it is derived from.
func (s *site) secretsAreSealed(n *node) {
	s.t.Helper()
	all, err := s.store.Part(PartName).Client().Get(s.t.Context(), "", clientv3.WithPrefix())
	must(s.t, err)
	for id, secret := range n.keeper.secrets {
		for _, kv := range all.Kvs {
			if bytes.Contains(kv.Value, secret[:]) || bytes.Contains(kv.Value, []byte("PRIVATE")) {
				s.t.Errorf("%s has the secret of %v", kv.Key, id)
			}
		}
	}
	if len(n.keeper.secrets) < 2 {
		s.t.Errorf("the node has %d secrets", len(n.keeper.secrets))
	}
}

// TestSealsFollowTheNodes: one that joins after another was removed gets the key, and one that
// has the name of another gets it for its own.
func TestSealsFollowTheNodes(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	const ip = "127.0.78.20"
	s := newSite(t, startEtcd(t), "test", p, []string{ip})
	a := s.join("a", fmt.Sprintf("%s:%d", ip, p.HTTPPort))
	b := s.join("b", fmt.Sprintf("127.0.78.21:%d", p.HTTPPort))
	s.until("both nodes have the certificate", s.generation(1))
	must(t, s.store.Remove(t.Context(), "b", s.entry("remove")))
	b.keeper = nil
	c := s.join("c", "127.0.0.1:0")
	s.until("the next node has it", s.generation(1))
	again := s.join("b", "127.0.0.1:0")
	s.until("a node with the name of another has it", s.generation(1))
	if !s.leaf(c).Equal(s.leaf(a)) || !s.leaf(again).Equal(s.leaf(a)) || p.Issued() != 1 {
		t.Errorf("%d certificates were issued", p.Issued())
	}
}

func TestWhatTheServerRefusesWaits(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	s := newSite(t, startEtcd(t), "test", p, []string{"blocked.test"})
	a := s.join("a", fmt.Sprintf("127.0.78.9:%d", p.HTTPPort))
	s.until("the order has failed", func() bool { return a.last.State.Failures == 1 })
	rounds := 0
	s.until("five rounds", func() bool { rounds++; return rounds == 5 })
	if st := a.last.State; st.Failures != 1 || st.Order != nil || !strings.Contains(st.Why, "blocked") {
		t.Errorf("%+v", st)
	}
	s.shift = firstWait + time.Second
	s.until("the order has failed again", func() bool { return a.last.State.Failures == 2 })
	if p.Issued() != 0 {
		t.Error("a certificate was issued")
	}
}

// killedNode is a node that orders until it is killed. It writes a line for each act,
// and one between what it does at the server and what it writes to etcd. After the line At
// it waits.
func killedNode() int {
	var c struct{ Endpoint, Fleet, Node, Dir, HTTP, Directory, CA, Name, At string }
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{c.Endpoint}, Logger: zap.NewNop()})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	s, err := store.New(etcd, c.Fleet)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	key, err := seal.OpenKey(filepath.Join(c.Dir, "node.key"))
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	roots, err := os.ReadFile(c.CA)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	k, err := New(s, Config{
		Node: c.Node, Key: key, Names: []string{c.Name}, PEM: filepath.Join(c.Dir, "tls.pem"), TTL: 2 * time.Second,
		ACME:  ACME{Directory: c.Directory, Roots: string(roots), AcceptTerms: true, HTTP: c.HTTP},
		Clock: func() (time.Time, error) { return time.Now(), nil }, Mono: func() time.Duration { return time.Duration(time.Now().UnixNano()) },
	})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	say := func(line string) {
		fmt.Println(line)
		if line == c.At {
			select {}
		}
	}
	k.pause = func(a Act) { say(fmt.Sprint("between ", a)) }
	last := Rest
	for {
		r, err := k.Round(context.Background())
		if err != nil {
			fmt.Println("error:", err)
			return 1
		}
		if r.Act != Rest && r.Act != last {
			last = r.Act
			say(fmt.Sprint("act ", last))
		}
	}
}

// TestAHolderKilledHalfWay: SIGKILL at points of an order. Another process goes on with
// the same order when the lease has ended, and there is one certificate. Only a process
// that is killed while the server checks its challenge leaves an order that fails.
func TestAHolderKilledHalfWay(t *testing.T) {
	t.Parallel()
	p := certstest.Start(t)
	endpoint := startEtcd(t)
	for _, c := range []struct {
		n      int
		where  string
		checks bool // the server may be checking
	}{
		{1, "act 1", false}, {2, "between 2", false}, {3, "between 3", false}, {4, "between 4", false}, {5, "act 4", false},
		{6, "between 5", true}, {7, "between 6", false},
	} {
		before := p.Issued()
		ip := fmt.Sprintf("127.0.79.%d", c.n)
		s := newSite(t, endpoint, fmt.Sprintf("kill%d", c.n), p, []string{ip})
		a := s.join("a", fmt.Sprintf("%s:%d", ip, p.HTTPPort))
		s.nodes = nil
		conf, err := json.Marshal(map[string]string{
			"Endpoint": s.endpoint, "Fleet": fmt.Sprintf("kill%d", c.n), "Node": "a", "Dir": a.dir, "HTTP": a.http, "Directory": p.Directory, "CA": p.CA, "Name": ip, "At": c.where,
		})
		must(t, err)
		if last := proctest.KillAtLine(t, proctest.Self(t, string(conf)), c.where); last != c.where {
			t.Errorf("killed after %q, want %q", last, c.where)
		}
		// b joins after the kill: what was sealed before, only a can open.
		b := s.join("b", fmt.Sprintf("127.0.80.%d:%d", c.n, p.HTTPPort))
		rounds := 0
		s.until("five rounds", func() bool { rounds++; return rounds == 5 })
		s.nodes = append(s.nodes, a)
		s.until("another process finishes what was killed at "+c.where, func() bool {
			if b.last.State.Failures > 0 {
				s.shift = firstWait + time.Second
			}
			return a.last.Report.Generation > 0 && b.last.Report.Generation > 0 && a.last.State.Order == nil
		})
		if n := p.Issued() - before; n != 1 {
			t.Errorf("killed at %s: %d certificates were issued", c.where, n)
		}
		if s.shift > 0 && !c.checks {
			t.Errorf("killed at %s: the order was given up: %s", c.where, a.last.State.Why)
		}
		if !s.leaf(b).Equal(s.leaf(a)) {
			t.Error("the nodes have two certificates")
		}
		for _, n := range s.nodes {
			must(t, n.keeper.Close(t.Context()))
		}
	}
}
