package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/certs"
	"noonmark/server/certs/certstest"
	"noonmark/server/ntske"
)

// newCA makes an authority and returns its directory and one for certificates.
func newCA(t *testing.T) (ca, srv string) {
	t.Helper()
	dir := t.TempDir()
	ca, srv = filepath.Join(dir, "ca"), filepath.Join(dir, "srv")
	out := said(t, func(w io.Writer) error { return Create(w, ca, certs.AuthorityConfig{Name: "Our time"}, time.Now()) })
	if !strings.HasPrefix(out, filepath.Join(ca, certs.AuthorityCert)+`: "Our time" until `) {
		t.Errorf("Create says:\n%s", out)
	}
	return ca, srv
}

// said returns what something writes that must not fail.
func said(t *testing.T, do func(io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	if err := do(&b); err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	return b.String()
}

// issue issues a certificate.
func issue(t *testing.T, r Request) string {
	t.Helper()
	return said(t, func(w io.Writer) error { return r.Issue(w, time.Now()) })
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "10.0.0.0", "lan", "10.0.0.0/33"} {
		if nets, err := Networks([]string{"fd00::/8", bad}); err == nil || nets != nil || !strings.Contains(err.Error(), strconv.Quote(bad)+" is no network") {
			t.Errorf("%q: %v, %v", bad, nets, err)
		}
	}
	if nets, err := Networks([]string{"10.0.0.0/8", "fd00::/8"}); err != nil || !slices.Equal(nets, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}) {
		t.Errorf("%v, %v", nets, err)
	}
}

func TestAnAuthorityWithoutANameHasThatOfTheMachine(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	said(t, func(w io.Writer) error { return Create(w, dir, certs.AuthorityConfig{}, time.Now()) })
	host, _ := os.Hostname()
	if x, err := Describe(dir); err != nil || x.Name != certs.AuthorityName(host) {
		t.Errorf("%v, %+v", err, x)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	issue(t, Request{Dir: ca, Out: srv, Names: []string{"time.lan"}})
	key, cert := proctest.Read(t, ca, certs.AuthorityKey), proctest.Read(t, srv, certs.ServerCert)
	if err := Create(io.Discard, ca, certs.AuthorityConfig{Name: "Another"}, time.Now()); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "ca issue "+ca) {
		t.Errorf("a second authority: %v", err)
	}
	for _, r := range []Request{{Dir: ca, Out: srv, Names: []string{"time.lan"}}, {Dir: ca, Out: srv, Node: "a"}} {
		if err := r.Issue(io.Discard, time.Now()); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "ca renew") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if proctest.Read(t, ca, certs.AuthorityKey) != key || proctest.Read(t, srv, certs.ServerCert) != cert {
		t.Error("a file is another")
	}
	if all, err := certs.ReadIssued(ca); err != nil || len(all) != 1 {
		t.Errorf("%v: %+v", err, all)
	}
}

func TestIssueSaysWhatServerAndClientsNeed(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	out := issue(t, Request{Dir: ca, Out: srv, Names: []string{"127.0.0.1", "Time.LAN.", "fd00::1", "time.lan"}})
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
	if out := issue(t, Request{Dir: ca, Out: srv + "6", Names: []string{"fd00::1"}}); !strings.Contains(out, "# ntpd-rs: it cannot ask an IPv6 address for keys") || !strings.Contains(out, "server fd00::1 nts certset 1") {
		t.Errorf("an IPv6 address alone:\n%s", out)
	}
}

func TestCertificatesOfNodesOfAFleet(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	if out := issue(t, Request{Dir: ca, Out: srv, Node: "a"}); !strings.Contains(out, filepath.Join(srv, certs.ServerCert)+": of a until ") || strings.Contains(out, "ntsserve") {
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
func TestRenewalUnderARunningServer(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	issue(t, Request{Dir: ca, Out: srv, Names: []string{"127.0.0.1", "time.lan"}})
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	at := certstest.ServeKE(t, src.Get, nil)
	exchange := func() {
		t.Helper()
		if _, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: at.Port, RootCAs: trust(t, filepath.Join(ca, certs.AuthorityCert))}); err != nil {
			t.Error(err)
		}
	}
	exchange()
	for _, x := range []struct {
		r         Renewal
		outs      []string
		says      string
		cert, key bool // is changed
	}{
		{Renewal{}, nil, "renewed from ", false, false}, // it is not time yet
		{Renewal{Force: true}, nil, "renewed, good until", true, false},
		{Renewal{Force: true, NewKey: true}, []string{srv}, "renewed, good until", true, true},
	} {
		cert, key := proctest.Read(t, srv, certs.ServerCert), proctest.Read(t, srv, certs.ServerKey)
		x.r.Dir = ca
		out := said(t, func(w io.Writer) error { return x.r.Renew(w, x.outs, time.Now()) })
		if !strings.Contains(out, x.says) || (proctest.Read(t, srv, certs.ServerCert) != cert) != x.cert || (proctest.Read(t, srv, certs.ServerKey) != key) != x.key {
			t.Errorf("%+v: want a new certificate %v, a new key %v:\n%s", x.r, x.cert, x.key, out)
		}
	}
	if err := src.Reload(); err != nil {
		t.Error(err)
	}
	exchange()
}

func TestRenewalWhenAThirdIsLeft(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	r := Renewal{Dir: ca}
	if err := r.Renew(io.Discard, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "nothing was issued yet") {
		t.Errorf("of nothing: %v", err)
	}
	issue(t, Request{Dir: ca, Out: srv, Names: []string{"short.lan"}, Life: 24 * time.Hour}) // it begins a day ago, so half is left
	before := proctest.Read(t, srv, certs.ServerCert)
	out := said(t, func(w io.Writer) error { return r.Renew(w, nil, time.Now().Add(9*time.Hour)) })
	if proctest.Read(t, srv, certs.ServerCert) == before || strings.Contains(out, "the authority itself ends") {
		t.Errorf("not renewed when it was time:\n%s", out)
	}
	out = said(t, func(w io.Writer) error {
		return r.Renew(w, nil, time.Now().Add(certs.AuthorityLife-certs.ServerLife+time.Hour))
	})
	if !strings.Contains(out, "the authority itself ends on ") {
		t.Errorf("an authority that is about to end:\n%s", out)
	}
}

// A directory without a certificate does not keep the others from being renewed.
func TestRenewalGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	issue(t, Request{Dir: ca, Out: srv, Names: []string{"time.lan"}})
	before := proctest.Read(t, srv, certs.ServerCert)
	r := Renewal{Dir: ca, Force: true}
	if err := r.Renew(io.Discard, []string{srv + "-none", srv}, time.Now()); !errors.Is(err, fs.ErrNotExist) || proctest.Read(t, srv, certs.ServerCert) == before {
		t.Errorf("%v; renewed %v", err, proctest.Read(t, srv, certs.ServerCert) != before)
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	ca, srv := newCA(t)
	other := srv + "2"
	issue(t, Request{Dir: ca, Out: srv, Names: []string{"time.lan", "fd00::1"}})
	issue(t, Request{Dir: ca, Out: other, Names: []string{"short.lan"}, Life: 24 * time.Hour})
	x, err := Describe(ca)
	if err != nil {
		t.Fatal(err)
	}
	if x.Name != "Our time" || len(x.Fingerprint) != 64 || len(x.Issued) != 2 || x.Issued[0].Out != srv || !slices.Equal(x.Issued[0].Names, []string{"time.lan", "fd00::1"}) {
		t.Errorf("%+v", x)
	}
	var b strings.Builder
	x.WriteText(&b, time.Now().Add(48*time.Hour))
	for _, want := range []string{"Our time\n", " until 20", " for time.lan, fd00::1\n", "  EXPIRED 20"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "only for") || strings.Count(b.String(), "EXPIRED") != 1 {
		t.Errorf("constraints, or not one expired certificate:\n%s", &b)
	}
	if out := said(t, x.WriteClients); !strings.Contains(out, "short.lan nts certset") {
		t.Errorf("clients:\n%s", out)
	}
}

func trust(t *testing.T, path string) *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(proctest.Read(t, path))) {
		t.Fatalf("%s holds no certificate", path)
	}
	return pool
}
