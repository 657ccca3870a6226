package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// newCA makes an authority and returns its directory and one for certificates.
func newCA(t *testing.T) (ca, srv string) {
	t.Helper()
	dir := t.TempDir()
	ca, srv = filepath.Join(dir, "ca"), filepath.Join(dir, "srv")
	must(t, "ca", "init", "-name", "Our time", ca)
	return ca, srv
}

func TestCAIssuePrintsWhatServerAndClientsNeed(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	out := must(t, "ca", "issue", ca, "-ip", "127.0.0.1", "-host", "Time.LAN.", "-ip", "fd00::1", "-host", "time.lan", "-out", srv)
	for _, want := range []string{"for time.lan, 127.0.0.1, fd00::1 until ", "server time.lan nts certset 1 iburst\n", "address = \"time.lan\"\n", "server time.lan nts ca ", fmt.Sprintf("key = %q\n", filepath.Join(srv, certs.ServerKey))} {
		if !strings.Contains(out, want) {
			t.Errorf("issue does not print %q:\n%s", want, out)
		}
	}
	for path, mode := range map[string]os.FileMode{
		ca: 0o700, filepath.Join(ca, certs.AuthorityKey): 0o600, filepath.Join(ca, certs.AuthorityCert): 0o644,
		filepath.Join(srv, certs.ServerKey): 0o600, filepath.Join(srv, certs.ServerCert): 0o644,
	} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, fi, err, mode)
		}
	}
}

func TestCAIssuesCertificatesOfNodesOfAFleet(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	if out := must(t, "ca", "issue", ca, "-fleet", "a", "-out", srv); !strings.Contains(out, filepath.Join(srv, certs.ServerCert)+": of a until ") || strings.Contains(out, "ntsserve") {
		t.Errorf("it prints:\n%s", out)
	}
	l, err := certs.OpenLeaf(srv)
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Cert; c.Subject.CommonName != "a" || !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		t.Errorf("certificate of %q for %v", c.Subject.CommonName, c.ExtKeyUsage)
	}
}

// A certificate is renewed under a server that uses it, and a client that trusts
// the authority goes on.
func TestCARenewsUnderARunningServer(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	must(t, "ca", "issue", ca, "-ip", "127.0.0.1", "-host", "time.lan", "-out", srv)
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	at := serveKE(t, src)
	exchange := func() {
		t.Helper()
		if _, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: at.Port, RootCAs: trust(t, filepath.Join(ca, certs.AuthorityCert))}); err != nil {
			t.Error(err)
		}
	}
	exchange()
	for _, x := range []struct {
		args      []string
		says      string
		cert, key bool // is changed
	}{
		{nil, "renewed from ", false, false}, // it is not time yet
		{[]string{"-force"}, "renewed, good until", true, false},
		{[]string{"-out", srv, "-force", "-new-key"}, "renewed, good until", true, true},
	} {
		cert, key := read(t, srv, certs.ServerCert), read(t, srv, certs.ServerKey)
		out := must(t, append([]string{"ca", "renew", ca}, x.args...)...)
		if !strings.Contains(out, x.says) || (read(t, srv, certs.ServerCert) != cert) != x.cert || (read(t, srv, certs.ServerKey) != key) != x.key {
			t.Errorf("renew %q: want a new certificate %v, a new key %v:\n%s", x.args, x.cert, x.key, out)
		}
	}
	if err := src.Reload(); err != nil {
		t.Error(err)
	}
	exchange()
}

func TestCARenewsWhenAThirdIsLeft(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	must(t, "ca", "issue", ca, "-host", "short.lan", "-days", "1", "-out", srv) // it begins a day ago, so half is left
	before := read(t, srv, certs.ServerCert)
	r := renewal{out: new(bytes.Buffer), now: time.Now().Add(9 * time.Hour), dir: ca, life: certs.ServerLife}
	if err := r.run(nil); err != nil || read(t, srv, certs.ServerCert) == before {
		t.Errorf("not renewed when it was time: %v\n%s", err, r.out)
	}
}

func TestCAShow(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	other := srv + "2"
	must(t, "ca", "issue", ca, "-host", "time.lan", "-ip", "fd00::1", "-out", srv)
	must(t, "ca", "issue", ca, "-host", "short.lan", "-days", "1", "-out", other)
	var x authority
	if err := json.Unmarshal([]byte(must(t, "ca", "show", ca, "-json")), &x); err != nil {
		t.Fatal(err)
	}
	if x.Name != "Our time" || len(x.Fingerprint) != 64 || len(x.Issued) != 2 || x.Issued[0].Out != srv || !slices.Equal(x.Issued[0].Names, []string{"time.lan", "fd00::1"}) {
		t.Errorf("%+v", x)
	}
	if out := must(t, "ca", "show", ca, "-clients"); !strings.Contains(out, "Our time\n") || !strings.Contains(out, "short.lan nts certset") {
		t.Errorf("show:\n%s", out)
	}
}

func trust(t *testing.T, path string) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, path))) {
		t.Fatalf("%s holds no certificate", path)
	}
	return pool
}

// serveKE runs NTS-KE with certificates from src on a free port of loopback.
func serveKE(t *testing.T, src *certs.Source) *net.TCPAddr {
	t.Helper()
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ntske.NewServer(ntske.Config{TLS: &tls.Config{GetCertificate: src.Get}, Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l.Addr().(*net.TCPAddr)
}
