package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"noonmark/fleet/certs"
	"noonmark/fleet/fleettest"
	"noonmark/fleet/health"
	"noonmark/fleet/identity"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, orderingNode)) }

// certNode is a node as its process gets it.
type certNode struct {
	Endpoint, Name, Dir, Conf, HTTP string
	Shift                           time.Duration // of its clock
	At                              string        // it waits after a line of its log with this; empty: nowhere
}

// waiting writes a log, and waits after a line of it.
type waiting struct{ at string }

func (w waiting) Write(b []byte) (int, error) {
	n, err := os.Stdout.Write(b)
	if w.at != "" && strings.Contains(string(b), w.at) {
		select {}
	}
	return n, err
}

// service is what the task of the node needs. ntsserve's configuration says where its
// certificate is.
func (n certNode) service(log *slog.Logger) (*Service, func(), error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{n.Endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return nil, nil, err
	}
	s := &Service{cfg: Config{Dir: identity.Dir(n.Dir), Certificate: certs.Local{HTTP: n.HTTP}, Log: log}, node: identity.Node{Fleet: "test", Name: n.Name}}
	var errs [3]error
	s.own, errs[0] = store.New(c, "test")
	s.key, errs[1] = s.cfg.Dir.SealKey()
	s.cfg.Server, errs[2] = LoadServer(n.Conf)
	return s, func() { c.Close() }, errors.Join(errs[:]...)
}

// orderingNode is a process with the task of a node.
func orderingNode() int {
	err := func() error {
		var n certNode
		if err := json.Unmarshal([]byte(os.Args[1]), &n); err != nil {
			return err
		}
		s, end, err := n.service(slog.New(slog.NewTextHandler(waiting{n.At}, nil)))
		if err != nil {
			return err
		}
		defer end()
		c := newCertTask(s)
		c.every, c.ttl = 100*time.Millisecond, 2*time.Second
		c.clock = func() (time.Time, error) { return time.Now().Add(n.Shift), nil }
		return c.Run(context.Background())
	}()
	fmt.Println("error:", err)
	return 1
}

// certSite is a fleet: a real etcd, a real ACME server and a real ntsserve for each node.
type certSite struct {
	t        *testing.T
	endpoint string
	store    *store.Store
	pebble   *certstest.Pebble
	of       *certs.Fleet
	procs    []*proctest.Process
	shown    map[string]*store.Presence
}

func newCertSite(t *testing.T) *certSite {
	t.Helper()
	s := &certSite{t: t, pebble: certstest.Start(t), shown: map[string]*store.Presence{}}
	s.endpoint = fleettest.Etcd(t).Endpoint()
	s.store = storetest.New(t, fleettest.Client(t, s.endpoint))
	s.of = certs.Of(s.store)
	return s
}

func (s *certSite) entry(action string) store.Entry {
	return store.Entry{Time: time.Now(), Node: "root", Action: action}
}

func (s *certSite) set(replace bool, names ...string) {
	s.t.Helper()
	ca, err := os.ReadFile(s.pebble.CA)
	must(s.t, err)
	must(s.t, s.of.Set(s.t.Context(), certs.Settings{
		Names: names, Directory: s.pebble.Directory, Roots: string(ca), Challenge: certs.HTTP01, AcceptTerms: true,
	}, replace, s.entry("certificate settings")))
}

// join registers a node, and starts its ntsserve, which has no certificate yet. file is where
// it reads it. It returns where NTS-KE listens.
func (s *certSite) join(name, ip, file string) (n certNode, ke string) {
	s.t.Helper()
	dir := s.t.TempDir()
	n = certNode{Endpoint: s.endpoint, Name: name, Dir: dir, HTTP: fmt.Sprintf("%s:%d", ip, s.pebble.HTTPPort)}
	key, err := identity.Dir(dir).SealKey()
	must(s.t, err)
	must(s.t, s.store.Register(s.t.Context(), name, key.Public(), s.entry("join")))
	s.shown[name] = s.store.NewPresence(name, 10*time.Minute)
	must(s.t, s.shown[name].Show(s.t.Context(), store.Record{}))
	ports := proctest.FreePorts(s.t, 2)
	ke = fmt.Sprintf("127.0.0.1:%d", ports[1])
	n.Conf = proctest.Write(s.t, filepath.Join(dir, "ntsserve.toml"), fmt.Sprintf(`[[endpoint]]
address = "127.0.0.1:%d"
workers = 1
[ke]
listen = %q
certificate = %[3]q
key = %[3]q
[keys]
file = %[4]q
renew = "never"
`, ports[0], ke, filepath.Join(dir, file), filepath.Join(dir, "keys")))
	cmd := exec.Command(proctest.Program(s.t, "ntsserve"), "-config", n.Conf)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
	s.procs = append(s.procs, proctest.StartCmd(s.t, cmd))
	return n, ke
}

// process is a node that can be killed.
func (n certNode) process(t *testing.T) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(n)
	must(t, err)
	return proctest.Self(t, string(b))
}

// run runs the task of a node in this process. Its clock is shifted until it has got a
// certificate: one that the ACME server dates by its own clock would be due at once.
func (s *certSite) run(n certNode, shift *atomic.Int64, log *proctest.Output) *certTask {
	s.t.Helper()
	x, end, err := n.service(slog.New(slog.NewTextHandler(log, nil)))
	must(s.t, err)
	c := newCertTask(x)
	c.every, c.ttl = 100*time.Millisecond, 2*time.Second
	c.clock = func() (time.Time, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last.Act == certs.Finalize || c.last.Act == certs.Fetch {
			shift.Store(0)
		}
		d := time.Duration(shift.Load())
		if d < 0 {
			return time.Now(), errors.New("no receiver")
		}
		if c.last.State.Failures > 0 {
			d += 10 * time.Minute // the wait after an order that failed
		}
		return time.Now().Add(d), nil
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			s.t.Errorf("%s: the task ends with %v", n.Name, err)
		}
		end()
	})
	return c
}

func (s *certSite) until(what string, ok func(*certs.Overview) bool) {
	s.t.Helper()
	proctest.UntilState(s.t, what, func() (bool, string) {
		o, err := s.of.Read(s.t.Context())
		must(s.t, err)
		return ok(o), fmt.Sprintf("%+v, order %+v", o, o.State.Order)
	}, append(s.procs, s.pebble.Proc)...)
}

// shows waits until NTS-KE has the certificate that ok accepts, at all addresses.
func (s *certSite) shows(what string, ok func(*x509.Certificate) bool, addresses ...string) (leaf *x509.Certificate) {
	s.t.Helper()
	for _, a := range addresses {
		s.until(what+" at "+a, func(*certs.Overview) bool {
			c, err := tls.Dial("tcp", a, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ntske/1"}, MinVersion: tls.VersionTLS13})
			if err != nil {
				return false
			}
			defer c.Close()
			leaf = c.ConnectionState().PeerCertificates[0]
			return ok(leaf)
		})
		first := leaf
		ok = first.Equal // the others have the same
	}
	return leaf
}

// metrics are those of the health endpoint.
func metrics(s *certSite, c *certTask) string {
	h := health.New(s.store, health.Config{Node: "a", More: []prometheus.Collector{c}, Mono: func() time.Duration { return 0 }})
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// TestTwoNodesServeOneCertificate: from the settings of the manager to what NTS-KE shows, by
// servers that are not restarted. The node that renews it is killed, the other goes on.
func TestTwoNodesServeOneCertificate(t *testing.T) {
	t.Parallel()
	s := newCertSite(t)
	const ip1, ip2 = "127.0.91.1", "127.0.91.2"
	a, keA := s.join("a", ip1, "fleet.pem")
	b, keB := s.join("b", ip2, "fleet.pem")
	alone, _ := s.join("c", "127.0.91.3", "tls.pem")
	var shift, none atomic.Int64
	var log, logC proctest.Output
	shift.Store(-1) // no receiver
	task := s.run(b, &shift, &log)
	left := s.run(alone, &none, &logC)
	if text := metrics(s, task); task.Waiting() != nil || strings.Contains(text, "certificate") {
		t.Errorf("without settings: %v\n%s", task.Waiting(), text)
	}

	s.set(false, ip2)
	s.until("the node that does not take part says so", func(o *certs.Overview) bool {
		return o.Reports["c"].Alone && strings.Contains(o.Reports["c"].Why, "left alone") && left.Waiting() != nil
	})
	s.until("the node follows the settings, and orders nothing without a clock", func(o *certs.Overview) bool {
		_, shown := o.Reports["b"]
		w := task.Waiting()
		return shown && o.State.Order == nil && o.State.Account == (roots.ID{}) && w != nil && strings.Contains(w.Error(), "no certificate yet")
	})
	second := proctest.StartCmd(t, a.process(t))
	shift.Store(0)
	s.until("the first certificate is in force", func(o *certs.Overview) bool { return o.State.Generation > 0 && o.Reports["b"].Generation > 0 })
	first := s.shows("the first certificate", func(c *x509.Certificate) bool { return c.VerifyHostname(ip2) == nil }, keB)

	// Another name is that of the other node, which must answer at its address.
	s.set(false, ip1, ip2)
	both := s.shows("the certificate of both names", func(c *x509.Certificate) bool { return c.VerifyHostname(ip1) == nil && c.VerifyHostname(ip2) == nil }, keA, keB)
	if both.Equal(first) || s.pebble.Issued() != 2 {
		t.Errorf("%d certificates were issued", s.pebble.Issued())
	}
	for _, want := range []string{
		"noonmark_fleet_certificate_failures 0", fmt.Sprintf("noonmark_fleet_certificate_expiry_seconds %g", float64(both.NotAfter.Unix())), "noonmark_fleet_certificate_waits 0",
		"noonmark_fleet_certificate_challenges_total{answered=\"no\"} 0",
	} {
		proctest.UntilState(t, "there is the metric "+want, func() (bool, string) { // ntsserve may have it before the task has noted that
			text := metrics(s, task)
			return strings.Contains(text, want) && !strings.Contains(text, "total{answered=\"yes\"} 0"), text
		})
	}
	if w := task.Waiting(); w != nil {
		t.Errorf("the task waits: %v", w)
	}
	s.closed(ip1, ip2)

	// It is due for a, which is killed as soon as it has the lease. Its address cannot be proved
	// by the other one, and is taken out.
	second.Kill()
	s.set(false, ip2)
	a.Shift = 61 * 24 * time.Hour
	a.At = "this node orders the certificate of the fleet"
	killed := proctest.StartCmd(t, a.process(t))
	killed.WaitFor(t, a.At)
	s.until("a has begun an order", func(*certs.Overview) bool { // by its own line: its lease ends soon, and b may have gone on already
		lines, _, err := s.store.Audit(t.Context(), 100)
		must(t, err)
		return slices.ContainsFunc(lines, func(e store.Entry) bool {
			return e.Node == "a" && e.Action == "certificate order" && strings.HasPrefix(e.Detail, "3 for")
		})
	})
	killed.Kill()
	must(t, s.shown["a"].End(t.Context())) // as that of its agent ends
	shift.Store(int64(a.Shift))
	s.until("b has renewed it", func(o *certs.Overview) bool { return o.State.Order == nil && o.Reports["b"].Generation > 2 })
	a.Shift, a.At = 0, ""
	must(t, s.shown["a"].Show(t.Context(), store.Record{}))
	last := proctest.StartCmd(t, a.process(t))
	s.shows("the renewed certificate", func(c *x509.Certificate) bool { return !c.Equal(both) && c.VerifyHostname(ip2) == nil }, keB, keA)
	if s.pebble.Issued() != 3 {
		t.Errorf("%d certificates were issued", s.pebble.Issued())
	}

	// A node was stolen: account and certificate get new keys.
	o, err := s.of.Read(t.Context())
	must(t, err)
	s.set(true, ip2)
	s.until("all keys are replaced", func(now *certs.Overview) bool {
		return now.State.Account != o.State.Account && now.State.Key != o.State.Key && now.State.Order == nil && now.Reports["a"].Generation == 4 && now.Reports["b"].Generation == 4
	})
	s.until("the server has revoked the certificate and deactivated the account", func(*certs.Overview) bool {
		lines, _, err := s.store.Audit(t.Context(), 100)
		must(t, err)
		audit := fmt.Sprint(lines)
		return strings.Contains(audit, o.State.Account.String()+" is replaced and deactivated") && strings.Contains(s.pebble.Proc.Output.String(), "POST /revoke-cert ")
	})

	if text := log.String() + last.Output.String(); strings.Contains(text, "was not revoked") {
		t.Errorf("the certificate before is valid:\n%s", text)
	}

	must(t, s.of.Off(t.Context(), s.entry("certificate settings")))
	s.until("the upkeep has ended", func(*certs.Overview) bool {
		return strings.Contains(log.String(), "the fleet orders no certificate any more") && !strings.Contains(metrics(s, task), "certificate") && left.Waiting() == nil
	})
	for _, p := range s.procs {
		if strings.Count(p.Output.String(), "msg=ready") > 1 {
			t.Errorf("ntsserve was restarted:\n%s", p.Output.String())
		}
	}
}

// closed requires that no node listens for challenges.
func (s *certSite) closed(ips ...string) {
	s.t.Helper()
	for _, ip := range ips {
		if c, err := (&http.Client{}).Get(fmt.Sprintf("http://%s:%d/", ip, s.pebble.HTTPPort)); err == nil {
			c.Body.Close()
			s.t.Errorf("%s listens for challenges without an order", ip)
		}
	}
}

// TestWhyANodeHasNoCertificate: the state of the task, until it is repaired.
func TestWhyANodeHasNoCertificate(t *testing.T) {
	t.Parallel()
	s := newCertSite(t)
	n, _ := s.join("a", "127.0.91.9", "fleet.pem")
	var shift atomic.Int64
	var log proctest.Output
	task := s.run(n, &shift, &log)
	waits := func(what, text string) {
		t.Helper()
		proctest.UntilState(t, what, func() (bool, string) {
			w := task.Waiting()
			return w != nil && strings.Contains(w.Error(), text), fmt.Sprint(w)
		}, s.procs...)
	}
	part := s.store.Part(certs.PartName)
	_, err := part.Client().Put(t.Context(), part.Key("settings"), `{"names":["a.test"],"challenge":"http-01","directory":"http://x","accept_terms":true}`)
	must(t, err)
	waits("settings that are damaged", `directory "http://x" is no https URL`)

	dns := certs.Settings{Names: []string{"a.test"}, Directory: s.pebble.Directory, Challenge: certs.DNS01, AcceptTerms: true}
	must(t, s.of.Set(t.Context(), dns, false, s.entry("certificate settings")))
	waits("no command", "no command for dns-01")

	s.set(false, "blocked.test")
	waits("the server refuses the name", "no certificate after")
	s.until("the reason is in etcd", func(o *certs.Overview) bool { return strings.Contains(o.State.Why, "blocked") })
	if s.pebble.Issued() != 0 {
		t.Error("a certificate was issued")
	}
}
