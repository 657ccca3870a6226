package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/server/certs/certstest"
)

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
	p := certstest.Start(t)
	pool := p.Roots(t)
	addr := func(ip string, port int) string { return fmt.Sprintf("%s:%d", ip, port) }
	for _, c := range []struct {
		name  string
		names []string // ADDRESS is replaced by the one of the test
		set   func(a *ACME, ip string)
		want  Reason
		days  int // life of the certificate; 0: chosen by the server
	}{
		{"blocked name", []string{"blocked.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, p.HTTPPort) }, OrderRefused, 0},
		{"unknown profile", []string{"prof.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.HTTPPort), "none" }, OrderRefused, 0},
		{"nobody listens at the address", []string{"lost.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, 0) }, ChallengeFailed, 0},
		{"port taken", []string{"port.test"}, func(a *ACME, ip string) {
			a.HTTP = strings.TrimPrefix(strings.TrimSuffix(p.Directory, "/dir"), "https://")
		}, ChallengePort, 0},
		{"untrusted server", []string{"trust.test"}, func(a *ACME, ip string) { a.HTTP, a.CAFile = addr(ip, p.HTTPPort), "" }, Unreachable, 0},

		{"http-01", []string{"http.test", "www.http.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.HTTPPort), "default" }, Good, 90},
		{"tls-alpn-01", []string{"alpn.test"}, func(a *ACME, ip string) { a.TLS, a.Email, a.Profile = addr(ip, p.TLSPort), "me@example.org", "brief" }, Good, 6},
		{"one kind fails, the other succeeds", []string{"both.test"}, func(a *ACME, ip string) { a.HTTP, a.TLS = addr(ip, 0), addr(ip, p.TLSPort) }, Good, 0},
		{"address by http-01", []string{"ADDRESS", "addr.test"}, func(a *ACME, ip string) { a.HTTP = addr(ip, p.HTTPPort) }, Good, 0},
		{"address by tls-alpn-01", []string{"ADDRESS"}, func(a *ACME, ip string) { a.TLS = addr(ip, p.TLSPort) }, Good, 0},
		{"profile", []string{"brief.test"}, func(a *ACME, ip string) { a.HTTP, a.Profile = addr(ip, p.HTTPPort), "brief" }, Good, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ip := p.Host(c.names...)
			if l, err := net.Listen("tcp", ip+":0"); err != nil {
				t.Skipf("%s is not a local address here: %v", ip, err)
			} else {
				l.Close()
			}
			names := append([]string(nil), c.names...)
			for i := range names {
				names[i] = strings.Replace(names[i], "ADDRESS", ip, 1)
			}
			a := ACME{Directory: p.Directory, CAFile: p.CA, Names: names, AcceptTerms: true, Dir: filepath.Join(t.TempDir(), "acme")}
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
			if c.name == "http-01" {
				renew(t, p, s, a, &now, &ev, pool, first)
			}
		})
	}
}

// renew continues with a source that has its first certificate: restart, renewal,
// another restart, and one more name.
func renew(t *testing.T, p *certstest.Pebble, s *Source, a ACME, now *time.Time, ev *events, pool *x509.CertPool, first *x509.Certificate) {
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
	p.Alias("more.test", a.Names[0])
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
