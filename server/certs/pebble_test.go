package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/internal/proctest"

	"golang.org/x/net/dns/dnsmessage"
)

// pebble is a real ACME server (Let's Encrypt's, for tests) on loopback. It resolves
// names by hosts.
type pebble struct {
	dir, ca, roots    string // directory URL, its CA file, URL of the issuing root
	httpPort, tlsPort int
	client            *http.Client
	mu                sync.Mutex // guards hosts
	hosts             map[string][4]byte
	lastHost          byte
}

const pebbleInstall = "GOBIN=$HOME/bin go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"

func startPebble(t *testing.T) *pebble {
	t.Helper()
	prog := os.Getenv("NOONMARK_PEBBLE")
	if prog == "" {
		var err error
		if prog, err = exec.LookPath("pebble"); err != nil {
			t.Skipf("pebble, an ACME server, is missing: it is neither in PATH nor named by NOONMARK_PEBBLE; to install: %s", pebbleInstall)
		}
	}
	dir := t.TempDir()
	p := &pebble{ca: filepath.Join(dir, AuthorityCert), hosts: map[string][4]byte{}}
	now := time.Now()
	ca, err := NewAuthority(AuthorityConfig{Name: "pebble's own"}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue([]string{"localhost", "127.0.0.1"}, time.Hour, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := leaf.Save(dir); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 4)
	p.httpPort, p.tlsPort = ports[2], ports[3]
	p.dir, p.roots = fmt.Sprintf("https://127.0.0.1:%d/dir", ports[0]), fmt.Sprintf("https://127.0.0.1:%d/roots/0", ports[1])
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", ports[0]), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"certificate": filepath.Join(dir, ServerCert), "privateKey": filepath.Join(dir, ServerKey),
		"httpPort": p.httpPort, "tlsPort": p.tlsPort, "keyAlgorithm": "ecdsa",
		"domainBlocklist": []string{"blocked.test"}, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{
			"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 86400},
			"brief":   map[string]any{"description": "6 days", "validityPeriod": 6 * 86400},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pebble.json"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(prog, "-strict", "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", p.serveDNS(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5", "PEBBLE_CHAIN_LENGTH=2")
	proc := proctest.StartCmd(t, cmd)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	proctest.Until(t, "pebble answers", func() bool {
		r, err := p.client.Get(p.dir)
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	}, proc)
	return p
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Skipf("no socket: %v", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// serveDNS answers A queries from p.hosts, others without records; over TCP, which
// pebble uses.
func (p *pebble) serveDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for p.answerDNS(c) == nil {
				}
			}()
		}
	}()
	return l.Addr().String()
}

func (p *pebble) answerDNS(c net.Conn) error {
	var n [2]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil || len(m.Questions) != 1 {
		return fmt.Errorf("%d questions: %w", len(m.Questions), err)
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	p.mu.Lock()
	a, ok := p.hosts[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
	p.mu.Unlock()
	if ok && q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: a}}}
	}
	out, err := m.AppendPack([]byte{0, 0})
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	_, err = c.Write(out)
	return err
}

// host gives names a loopback address that no other test has, because pebble uses the
// same ports for all.
func (p *pebble) host(names ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastHost++
	a := [4]byte{127, 0, 77, p.lastHost}
	for _, n := range names {
		p.hosts[n] = a
	}
	return net.IP(a[:]).String()
}

func (p *pebble) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	r, err := p.client.Get(p.roots)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatalf("pebble's root: %v, %q", err, b)
	}
	return pool
}

// visit does a TLS 1.3 handshake with the source, trusting only the pool.
func visit(t *testing.T, s *Source, pool *x509.CertPool, name string) *x509.Certificate {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: s.Get, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name})
	if err != nil {
		t.Errorf("handshake for %s: %v", name, err)
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestOrdersFromPebble(t *testing.T) {
	t.Parallel()
	p := startPebble(t)
	pool := p.pool(t)
	addr := func(ip string, port int) string { return fmt.Sprintf("%s:%d", ip, port) }
	for _, c := range []struct {
		name  string
		names []string // ADDRESS is replaced by the one of the test
		set   func(a *ACME, ip string)
		want  Reason
		days  int // life of the certificate; 0: chosen by the server
	}{
		{"blocked name", []string{"blocked.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, p.httpPort) }, OrderRefused, 0},
		{"unknown profile", []string{"prof.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.httpPort), "none" }, OrderRefused, 0},
		{"nobody listens at the address", []string{"lost.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, 0) }, ChallengeFailed, 0},
		{"port taken", []string{"port.test"}, func(a *ACME, ip string) { a.HTTP = strings.TrimPrefix(strings.TrimSuffix(p.dir, "/dir"), "https://") }, ChallengePort, 0},
		{"untrusted server", []string{"trust.test"}, func(a *ACME, ip string) { a.HTTP, a.CAFile = addr(ip, p.httpPort), "" }, Unreachable, 0},

		{"http-01", []string{"http.test", "www.http.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.httpPort), "default" }, Good, 90},
		{"tls-alpn-01", []string{"alpn.test"}, func(a *ACME, ip string) { a.TLS, a.Email, a.Profile = addr(ip, p.tlsPort), "me@example.org", "brief" }, Good, 6},
		{"one kind fails, the other succeeds", []string{"both.test"}, func(a *ACME, ip string) { a.HTTP, a.TLS = addr(ip, 0), addr(ip, p.tlsPort) }, Good, 0},
		{"address by http-01", []string{"ADDRESS", "addr.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, p.httpPort) }, Good, 0},
		{"address by tls-alpn-01", []string{"ADDRESS"}, func(a *ACME, ip string) { a.TLS = addr(ip, p.tlsPort) }, Good, 0},
		{"profile", []string{"brief.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.httpPort), "brief" }, Good, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ip := p.host(c.names...)
			if l, err := net.Listen("tcp", ip+":0"); err != nil {
				t.Skipf("%s is not a local address here: %v", ip, err)
			} else {
				l.Close()
			}
			names := append([]string(nil), c.names...)
			for i := range names {
				names[i] = strings.Replace(names[i], "ADDRESS", ip, 1)
			}
			a := ACME{Directory: p.dir, CAFile: p.ca, Names: names, AcceptTerms: true, Dir: filepath.Join(t.TempDir(), "acme")}
			c.set(&a, ip)
			var ev events
			now := time.Now()
			s, err := New(Config{ACME: &a, Event: ev.add, now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			s.stepACME(t.Context())
			if c.want != Good {
				if w := ev.list; len(w) == 0 || w[len(w)-1].Kind != OrderFailed || w[len(w)-1].Reason != c.want {
					t.Errorf("events %v, want %v", w, c.want)
				}
				return
			}
			if list := fmt.Sprint(ev.list); strings.Join(ev.take(), ",") != "acme_registered,loaded" {
				t.Fatalf("events %s", list)
			}
			var first *x509.Certificate
			for _, n := range names {
				if first = visit(t, s, pool, n); first == nil {
					return
				}
			}
			if life := first.NotAfter.Sub(first.NotBefore).Round(time.Hour); c.days != 0 && life != time.Duration(c.days)*24*time.Hour {
				t.Errorf("it lives for %v, want %d days", life, c.days)
			}
			s.stepACME(t.Context()) // nothing is due
			if w := ev.take(); len(w) != 0 {
				t.Errorf("events %q without a change", w)
			}
			if c.name == "tls-alpn-01" {
				renewOnFullDisc(t, s, a, &now, &ev, pool, first)
			}
			if c.name == "http-01" {
				renew(t, p, s, a, &now, &ev, pool, first)
			}
		})
	}
}

// renewOnFullDisc continues with a source whose files cannot be written for a while:
// the renewed certificate is used, no other one is ordered, and it is written later.
func renewOnFullDisc(t *testing.T, s *Source, a ACME, now *time.Time, ev *events, pool *x509.CertPool, first *x509.Certificate) {
	t.Helper()
	dir := s.acme.dir
	if err := os.Rename(dir, dir+".away"); err != nil { // as good as full, for root too
		t.Fatal(err)
	}
	*now = first.NotAfter.Add(-first.NotAfter.Sub(first.NotBefore) / 4)
	s.acme.cfg.Profile = "default" // pebble's clock stands still: another short one would be due at once
	s.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "acme_registered,loaded,acme_not_stored" {
		t.Fatalf("events %s", w)
	}
	second := visit(t, s, pool, a.Names[0])
	if second == nil || second.Equal(first) {
		t.Fatal("the renewed certificate is not used")
	}
	for range 20 { // three minutes
		*now = now.Add(DefaultPoll)
		s.stepACME(t.Context())
	}
	if w := strings.Join(ev.take(), ","); w != "acme_not_stored,acme_not_stored,acme_not_stored" {
		t.Errorf("while nothing can be written: events %s", w)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(saveAgain)
	s.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "acme_stored" {
		t.Errorf("once there is room: events %s", w)
	}
	again, err := New(Config{ACME: &a, Event: ev.add, now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	if c := visit(t, again, pool, a.Names[0]); c == nil || !c.Equal(second) {
		t.Error("after a restart another certificate is served")
	}
	again.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "loaded" {
		t.Errorf("after a restart: events %s", w)
	}
}

// renew continues with a source that has its first certificate: restart, renewal,
// another restart, and one more name.
func renew(t *testing.T, p *pebble, s *Source, a ACME, now *time.Time, ev *events, pool *x509.CertPool, first *x509.Certificate) {
	clock := func() time.Time { return *now }
	again, err := New(Config{ACME: &a, Event: ev.add, now: clock})
	if err != nil {
		t.Fatal(err)
	}
	again.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "loaded" {
		t.Errorf("restart: events %s", w)
	}
	if c := visit(t, again, pool, a.Names[0]); c == nil || !c.Equal(first) {
		t.Error("after a restart another certificate is served")
	}
	var kept []string
	filepath.WalkDir(a.Dir, func(path string, d os.DirEntry, err error) error {
		if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
		kept = append(kept, filepath.Base(path))
		return err
	})
	if len(kept) != 4 {
		t.Errorf("files %q", kept)
	}

	*now = first.NotAfter.Add(-first.NotAfter.Sub(first.NotBefore)/3 - time.Hour)
	s.stepACME(t.Context())
	if w := ev.take(); len(w) != 0 {
		t.Errorf("an hour before it is due: events %q", w)
	}
	*now = first.NotAfter.Add(-first.NotAfter.Sub(first.NotBefore) / 4)
	s.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "loaded" {
		t.Fatalf("renewal: events %s", w)
	}
	second := visit(t, s, pool, a.Names[0])
	if second == nil || second.Equal(first) {
		t.Error("the certificate has not been renewed")
	}
	*now = time.Now()

	// One more name: the old certificate serves until there is a new one.
	p.mu.Lock()
	p.hosts["more.test"] = p.hosts[a.Names[0]]
	p.mu.Unlock()
	a.Names = append(a.Names, "more.test")
	more, err := New(Config{ACME: &a, Event: ev.add, now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if c := visit(t, more, pool, a.Names[0]); c == nil || !c.Equal(second) {
		t.Error("with one more name, the old certificate is not served until then")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	more.stepACME(ctx) // being stopped is no failure
	ev.take()
	more.stepACME(t.Context())
	if w := strings.Join(ev.take(), ","); w != "loaded" {
		t.Errorf("one more name: events %s", w)
	}
	visit(t, more, pool, "more.test")
}
