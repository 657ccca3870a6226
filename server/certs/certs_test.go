package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/internal/durable"
)

// fixture is an authority and a directory to put pairs into.
type fixture struct {
	t   *testing.T
	ca  *Authority
	dir string
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	now := time.Now()
	ca, err := NewAuthority(AuthorityConfig{Name: "test", Life: 100 * ServerLife}, now)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t, ca, t.TempDir(), now}
}

// make signs a certificate for names, as changed by edit.
func (f *fixture) make(key crypto.Signer, edit func(*x509.Certificate), names ...string) (cert, keyFile []byte) {
	f.t.Helper()
	if key == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			f.t.Fatal(err)
		}
		key = k
	}
	id, err := rootKeyID(f.ca.Cert)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial(), NotBefore: f.now.Add(-time.Hour), NotAfter: f.now.Add(90 * 24 * time.Hour), ExtraExtensions: []pkix.Extension{id}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	if edit != nil {
		edit(c)
	}
	s, err := sign(c, f.ca.Cert, key.Public(), f.ca.key)
	if err != nil {
		f.t.Fatal(err)
	}
	k, err := keyPEM(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return certPEM(s), k
}

func (f *fixture) pair(name string) Pair {
	return Pair{filepath.Join(f.dir, name+".pem"), filepath.Join(f.dir, name+".key")}
}

// put replaces the files of a pair by rename; nil: not this one.
func (f *fixture) put(p Pair, cert, key []byte) Pair {
	f.t.Helper()
	for _, x := range [...]struct {
		path string
		b    []byte
		mode os.FileMode
	}{{p.Cert, cert, 0o644}, {p.Key, key, 0o600}} {
		if x.b == nil {
			continue
		}
		if err := durable.WriteFile(x.path, x.b, x.mode, true); err != nil {
			f.t.Fatal(err)
		}
	}
	return p
}

// leafOf returns the first certificate of a PEM file.
func leafOf(b []byte) []byte {
	block, _ := pem.Decode(b)
	return block.Bytes
}

// got returns the certificate that a client for name gets.
func got(t *testing.T, s *Source, name string) []byte {
	t.Helper()
	h := anyClient
	h.ServerName = name
	c, err := s.Get(&h)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificate[0]
}

// events collects the events of a source.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(x Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, x)
}

// take returns the events since the last call as "kind reason".
func (e *events) take() (words []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.list {
		w := x.Kind.String()
		if x.Kind == Refused || x.Kind == OrderFailed {
			w += " " + x.Reason.String()
		}
		words = append(words, w)
	}
	e.list = nil
	return words
}

func TestUnusablePairsAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := f.make(nil, nil, "a.test")
	_, other := f.make(nil, nil, "a.test")
	client, clientKey := f.make(nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "a.test")
	oldCert, oldKey := f.make(nil, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = f.now.AddDate(-2, 0, 0), f.now.AddDate(-1, 0, 0) }, "a.test")
	weak, weakKey := f.make(p224, nil, "a.test")
	edCert, edKey := f.make(ed, nil, "a.test")
	rsaCert, rsaKey := f.make(rs, nil, "a.test")
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)})
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecCert, _ := f.make(ec, nil, "a.test")
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})

	for _, c := range []struct {
		name      string
		cert, key []byte
		want      Reason
	}{
		{"empty", []byte{}, key, BadCertificate},
		{"garbage", []byte("garbage\n"), key, BadCertificate},
		{"a key as certificate", key, key, BadCertificate},
		{"truncated", cert[:len(cert)/2], key, BadCertificate},
		{"broken X.509", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafOf(cert)[:99]}), key, BadCertificate},
		{"broken issuer", append(slices.Clone(cert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})...), key, BadCertificate},
		{"too long", bytes.Repeat([]byte("\n"), maxFile+1), key, Unreadable},
		{"no key", cert, []byte{}, BadKey},
		{"a certificate as key", cert, cert, BadKey},
		{"damaged key", cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), BadKey},
		{"encrypted key", cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), BadKey},
		{"encrypted key in the old form", cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")}), BadKey},
		{"a curve that TLS 1.3 does not have", weak, weakKey, BadKey},
		{"key of another certificate", cert, other, KeyMismatch},
		{"another kind of key", cert, rsaKey, KeyMismatch},
		{"for clients only", client, clientKey, WrongUse},

		{"expired", oldCert, oldKey, Good}, // there is no better one, and the clock may be wrong
		{"ECDSA", cert, key, Good},
		{"SEC 1", ecCert, sec1, Good},
		{"Ed25519", edCert, edKey, Good},
		{"RSA", rsaCert, rsaKey, Good},
		{"PKCS 1", rsaCert, pkcs1, Good},
		{"with text around", append([]byte("subject=a\n"), cert...), append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), key...), Good},
	} {
		p := f.put(f.pair("t"), c.cert, c.key)
		s, err := use(p)
		if r := ReasonOf(err); r != c.want || (err == nil) != (c.want == Good) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && !bytes.Equal(got(t, s, "a.test"), leafOf(c.cert[bytes.Index(c.cert, []byte("-----")):])) {
			t.Errorf("%s: another certificate", c.name)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte("MI")) {
			t.Errorf("%s: the error quotes the file: %v", c.name, err)
		}
	}
	both := filepath.Join(f.dir, "both.pem")
	f.put(Pair{both, both}, append(slices.Clone(key), cert...), nil)
	if _, err := use(Pair{both, both}); err != nil {
		t.Errorf("key and certificate in one file: %v", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("neither files nor ACME are accepted")
	}
	if _, err := use(Pair{filepath.Join(f.dir, "none"), both}); !errors.Is(err, fs.ErrNotExist) || ReasonOf(err) != Unreadable {
		t.Errorf("missing file: %v", err)
	}
	if _, err := use(Pair{f.dir, both}); ReasonOf(err) != Unreadable {
		t.Errorf("directory: %v", err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(both, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := use(Pair{both, both}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("forbidden file: %v", err)
		}
	}
}

// use returns a Source of one pair, and why the pair is not in use.
func use(p Pair) (*Source, error) {
	s, err := New(Config{Pairs: []Pair{p}})
	if err != nil {
		return nil, err
	}
	return s, s.Missing()
}

// conn is a connection to a local address.
type conn struct {
	net.Conn
	local string
}

func (c conn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.local), Port: 4460} }

func TestGetChoosesTheBestCertificate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = f.now.AddDate(-2, 0, 0), f.now.AddDate(-1, 0, 0) }
	var pairs []Pair
	var ders [][]byte
	for i, x := range []struct {
		key   crypto.Signer
		edit  func(*x509.Certificate)
		names []string
	}{
		0: {nil, nil, []string{"a.test", "127.0.0.1"}},
		1: {nil, past, []string{"b.test", "old.test"}},
		2: {nil, nil, []string{"b.test", "192.0.2.1", "2001:db8::1"}},
		3: {nil, nil, []string{"*.wild.test"}},
		4: {ed, nil, []string{"ed.test"}},
	} {
		cert, key := f.make(x.key, x.edit, x.names...)
		pairs = append(pairs, f.put(f.pair(fmt.Sprint(i)), cert, key))
		ders = append(ders, leafOf(cert))
	}
	s, err := New(Config{Pairs: pairs})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, local string
		want        int
	}{
		{"unknown.test", "", 0},
		{"", "", 0},
		{"", "192.0.2.9", 0},
		{"old.test", "", 1}, // there is no other one
		{"b.test", "", 2},   // rather than 1, which has expired
		{"B.TEST", "", 2},
		{"b.test", "127.0.0.1", 2},
		{"x.wild.test", "", 3},
		{"wild.test", "", 0},
		{"ed.test", "", 4},
		{"", "192.0.2.1", 2},
		{"", "::ffff:192.0.2.1", 2},
		{"", "2001:db8::1", 2},
	} {
		h := anyClient
		h.ServerName = c.name
		if c.local != "" {
			h.Conn = conn{local: c.local}
		}
		x, err := s.Get(&h)
		if err != nil || !bytes.Equal(x.Certificate[0], ders[c.want]) {
			t.Errorf("%q on %q: not certificate %d (%v)", c.name, c.local, c.want, err)
		}
	}
	h := anyClient
	h.ServerName, h.SignatureSchemes = "ed.test", []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	if x, err := s.Get(&h); err != nil || !bytes.Equal(x.Certificate[0], ders[0]) {
		t.Errorf("a client without Ed25519 does not get another certificate (%v)", err)
	}
	if n := s.NotAfter(); !n.Before(f.now) {
		t.Errorf("first expiry at %v, want that of the expired one", n)
	}
	if st := s.Status(); len(st) != 5 || st[0].Alarm || !st[1].Alarm || !slices.Equal(st[2].Names, []string{"b.test", "192.0.2.1", "2001:db8::1"}) {
		t.Errorf("status %+v", st)
	}
}

// The files are either a usable pair or refused with a reason.
func FuzzPair(f *testing.F) {
	ca, err := NewAuthority(AuthorityConfig{Name: "fuzz"}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	l, err := ca.Issue([]string{"a.test"}, 0, nil, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	key, err := keyPEM(l.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(certPEM(l.Cert), key)
	f.Add([]byte{}, []byte("-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		chain, leaf, err := parseChain(cert)
		k, kerr := parseKey(key)
		if err != nil || kerr != nil {
			return
		}
		c := &tls.Certificate{Certificate: chain, PrivateKey: k, Leaf: leaf}
		if r, err := checkPair(c); (r == Good) != (err == nil) {
			t.Errorf("%v with %v", r, err)
		}
		namesOf(leaf)
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", ".", "a.test", "A.Test.", "*.a", "10.0.0.1", "10.0.0.256", "::1", "fe80::1%e", "xn--bcher-kva.example", "-a", "a..b", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := cleanName(s)
		if err != nil {
			return
		}
		if again, err := cleanName(c); err != nil || again != c {
			t.Errorf("%q becomes %q becomes %q (%v)", s, c, again, err)
		}
		if strings.ContainsAny(c, " /\\\x00\n\"'%") {
			t.Errorf("%q is accepted", c)
		}
	})
}
