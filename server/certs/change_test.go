package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A pair goes through valid and invalid changes, in virtual time.
func TestChangedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		first, firstKey := f.make(nil, nil, "a.test")
		p := f.put(f.pair("a"), first, firstKey)
		other, otherKey := f.make(nil, nil, "b.test")
		q := f.put(f.pair("b"), other, otherKey)
		var ev events
		s, err := New(Config{Pairs: []Pair{p, q}, Event: ev.add})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		// step lets the source check n times, then compares events and certificates.
		step := func(what string, n int, cert []byte, want ...string) {
			t.Helper()
			time.Sleep(time.Duration(n) * DefaultPoll)
			synctest.Wait()
			if w := ev.take(); !slices.Equal(w, want) {
				t.Errorf("%s: events %q, want %q", what, w, want)
			}
			if !bytes.Equal(got(t, s, "a.test"), leafOf(cert)) {
				t.Errorf("%s: another certificate is served", what)
			}
			if !bytes.Equal(got(t, s, "b.test"), leafOf(other)) {
				t.Errorf("%s: the other pair changed", what)
			}
		}
		step("start", 1, first, "loaded", "loaded")
		step("nothing", 3, first)

		second, secondKey := f.make(nil, nil, "a.test")
		f.put(p, second, nil)
		step("half of a pair", 1, first) // the other half may follow
		f.put(p, nil, secondKey)
		step("the other half", 1, second, "loaded")

		f.put(p, first, nil)
		step("a pair that stays invalid, first reading", 1, second)
		step("second reading", 1, second, "refused key_mismatch")
		step("later", 5, second)
		f.put(p, []byte("garbage"), nil)
		step("invalid in another way", 3, second, "refused bad_certificate")
		if err := os.Remove(p.Cert); err != nil {
			t.Fatal(err)
		}
		step("file removed", 3, second, "refused unreadable")
		f.put(p, second, secondKey)
		step("file restored", 3, second)

		early, earlyKey := f.make(nil, func(c *x509.Certificate) { c.NotBefore = f.now.AddDate(0, 1, 0) }, "a.test")
		f.put(p, early, earlyKey)
		step("not valid yet", 3, second, "refused not_yet_valid")
		late, lateKey := f.make(nil, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = f.now.AddDate(-2, 0, 0), f.now.AddDate(-1, 0, 0) }, "a.test")
		f.put(p, late, lateKey)
		step("expired", 3, second, "refused expired")

		// Written in place, with the same size and inode: only the modification time differs.
		third, thirdKey := f.make(nil, nil, "a.test")
		for len(third) != len(second) { // signatures vary in length
			third, thirdKey = f.make(nil, nil, "a.test")
		}
		f.put(p, second, secondKey)
		step("valid again", 1, second)
		for path, b := range map[string][]byte{p.Cert: third, p.Key: thirdKey} {
			if err := os.WriteFile(path, b, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, f.now, f.now.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		step("in place", 1, third, "loaded")

		if n := s.Refusals(); n["key_mismatch"] != 1 || n["bad_certificate"] != 1 || n["expired"] != 1 || n["not_yet_valid"] != 1 || n["unreadable"] != 1 {
			t.Errorf("counts %v", n)
		}
	})
}

func TestReloadReadsAndReportsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cert, key := f.make(nil, nil, "a.test")
	p := f.put(f.pair("a"), cert, key)
	cert2, key2 := f.make(nil, nil, "b.test")
	q := f.put(f.pair("b"), cert2, key2)
	var ev events
	s, err := New(Config{Pairs: []Pair{p, q}, Event: ev.add})
	if err != nil {
		t.Fatal(err)
	}
	ev.take()
	freshP, freshPKey := f.make(nil, nil, "a.test")
	freshQ, freshQKey := f.make(nil, nil, "b.test")
	f.put(p, freshP, nil)
	f.put(q, freshQ, freshQKey)
	if err := s.Reload(); ReasonOf(err) != KeyMismatch || !strings.Contains(err.Error(), p.Cert) {
		t.Errorf("an invalid pair: %v", err)
	}
	if w := ev.take(); !slices.Equal(w, []string{"refused key_mismatch", "loaded"}) {
		t.Errorf("events %q", w)
	}
	if !bytes.Equal(got(t, s, "a.test"), leafOf(cert)) || !bytes.Equal(got(t, s, "b.test"), leafOf(freshQ)) {
		t.Error("the invalid pair changed, or the valid one did not")
	}
	f.put(p, nil, freshPKey)
	if err := s.Reload(); err != nil || !bytes.Equal(got(t, s, "a.test"), leafOf(freshP)) {
		t.Errorf("a valid pair: %v", err)
	}
	if err := os.Chmod(p.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err = New(Config{Pairs: []Pair{p}, Event: ev.add})
	if err != nil {
		t.Fatal(err)
	}
	if w := ev.take(); !slices.Contains(w, "key_exposed") {
		t.Errorf("a key that all users may read: events %q", w)
	}
	_ = s
}

func TestExpiryIsReportedOnceADay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		life, expiry time.Duration // from the start of the test to the first report
	}{
		{"90 days", 90 * 24 * time.Hour, 76 * 24 * time.Hour},
		{"6 days", 6 * 24 * time.Hour, 6*24*time.Hour - 6*24*time.Hour/5},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				cert, key := f.make(nil, func(x *x509.Certificate) {
					x.NotBefore = f.now
					x.NotAfter = f.now.Add(c.life)
				}, "a.test")
				p := f.put(f.pair("a"), cert, key)
				var ev events
				s, err := New(Config{Pairs: []Pair{p}, Event: ev.add, Poll: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.Run(ctx)
				count := func(d time.Duration) (n map[string]int) {
					time.Sleep(d)
					synctest.Wait()
					n = map[string]int{}
					for _, w := range ev.take() {
						n[w]++
					}
					return n
				}
				if n := count(c.expiry - 2*time.Hour); n["loaded"] != 1 || len(n) != 1 || s.Status()[0].Alarm {
					t.Errorf("before: events %v", n)
				}
				if n := count(4 * time.Hour); n["expiring"] != 1 || len(n) != 1 || !s.Status()[0].Alarm {
					t.Errorf("at the threshold: events %v", n)
				}
				if n := count(24 * time.Hour); n["expiring"] != 1 {
					t.Errorf("a day later: events %v", n)
				}
				count(c.life - c.expiry - 30*time.Hour)
				if n := count(6 * time.Hour); n["expired"] != 1 || n["expiring"] > 1 {
					t.Errorf("at the end: events %v", n)
				}
				fresh, freshKey := f.make(nil, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(c.life) }, "a.test")
				f.put(p, fresh, freshKey)
				if n := count(2 * time.Hour); n["loaded"] != 1 || len(n) != 1 || s.Status()[0].Alarm {
					t.Errorf("renewed: events %v", n)
				}
			})
		})
	}
}

// The certificate changes under a running TLS server: no handshake fails, and
// clients see the new certificate.
func TestCertificateChangesUnderHandshakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := f.make(key, nil, "a.test", "127.0.0.1")
	p := f.put(f.pair("a"), cert, keyFile)
	s, err := New(Config{Pairs: []Pair{p}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: s.Get, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(f.ca.Cert)
	seen := map[string]bool{}
	for i := range 40 {
		if i%10 == 5 {
			cert, _ := f.make(key, nil, "a.test", "127.0.0.1")
			f.put(p, cert, nil)
			if err := s.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		name := []string{"a.test", "127.0.0.1"}[i%2] // the client sends no name for an address
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Fatalf("handshake %d: %v", i, err)
		}
		seen[c.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
		c.Close()
	}
	if len(seen) != 5 {
		t.Errorf("clients saw %d certificates, want 5", len(seen))
	}
}
