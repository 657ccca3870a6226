package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// signed makes a certificate; by nil: it signs itself.
func signed(t *testing.T, name string, key crypto.Signer, by *x509.Certificate, byKey crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: serial(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: name},
		BasicConstraintsValid: true, DNSNames: []string{"a.test"},
	}
	if edit != nil {
		edit(c)
	}
	if by == nil {
		by, byKey = c, key
	}
	c, err := sign(c, by, key.Public(), byKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What makes clients refuse a certificate that can be used is found: in the chain, the
// key, the demand of a staple.
func TestConcerns(t *testing.T) {
	t.Parallel()
	key := func() crypto.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rsaKey := func(bits int) crypto.Signer {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	authority := func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }
	staple := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidTLSFeature, Value: []byte{0x30, 3, 2, 1, statusRequest}}}
	}
	rootKey, middleKey := key(), key()
	root := signed(t, "root", rootKey, nil, nil, authority)
	middle := signed(t, "middle", middleKey, root, rootKey, authority)
	leaf := signed(t, "leaf", key(), middle, middleKey, nil)
	direct := signed(t, "direct", key(), root, rootKey, nil)
	ours, err := NewAuthority(AuthorityConfig{Name: "test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	byOurs, err := ours.Issue([]string{"a.test", "192.0.2.1"}, 0, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(root)
	claims := func(issuer *x509.Certificate) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			id, err := rootKeyID(issuer)
			if err != nil {
				t.Fatal(err)
			}
			c.ExtraExtensions = []pkix.Extension{id}
		}
	}
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		roots *x509.CertPool
		want  []Concern
	}{
		{"cert.pem instead of fullchain.pem", []*x509.Certificate{leaf}, trusted, []Concern{NoIssuer}},
		{"the same, roots unknown", []*x509.Certificate{leaf}, nil, []Concern{NoIssuer}},
		{"its issuer's certificate is of another", []*x509.Certificate{signed(t, "leaf", key(), middle, middleKey, claims(root))}, nil, []Concern{NoIssuer}},
		{"a root that nothing shows", []*x509.Certificate{direct}, nil, []Concern{NoIssuer}},
		{"wrong order", []*x509.Certificate{leaf, root, middle}, trusted, []Concern{OtherIssuer}},
		{"another intermediate", []*x509.Certificate{leaf, signed(t, "middle", key(), root, rootKey, authority)}, trusted, []Concern{OtherIssuer}},
		{"short key", []*x509.Certificate{signed(t, "leaf", rsaKey(1024), middle, middleKey, nil), middle}, trusted, []Concern{WeakKey}},
		{"must-staple", []*x509.Certificate{signed(t, "leaf", key(), middle, middleKey, staple), middle}, trusted, []Concern{StapleDemand}},
		{"all of it", []*x509.Certificate{signed(t, "leaf", rsaKey(1024), middle, middleKey, staple)}, nil, []Concern{WeakKey, StapleDemand, NoIssuer}},
		{"whole chain", []*x509.Certificate{leaf, middle}, trusted, nil},
		{"whole chain with its root", []*x509.Certificate{leaf, middle, root}, nil, nil},
		{"long key", []*x509.Certificate{signed(t, "leaf", rsaKey(2048), middle, middleKey, nil), middle}, trusted, nil},
		{"signs itself", []*x509.Certificate{signed(t, "self", key(), nil, nil, nil)}, nil, nil},
		{"trusted root", []*x509.Certificate{direct}, trusted, nil},
		{"a root that its extension shows", []*x509.Certificate{signed(t, "leaf", key(), root, rootKey, claims(root))}, nil, nil},
		{"refclockctl ca", []*x509.Certificate{byOurs.Cert}, nil, nil},
	} {
		pair := &tls.Certificate{Leaf: c.chain[0]}
		for _, x := range c.chain {
			pair.Certificate = append(pair.Certificate, x.Raw)
		}
		if got := Concerns(pair, c.roots); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for c := range numOfConcerns {
		if c.What(leaf) == c.String() || c.Remedy() == "" {
			t.Errorf("%v has no description", c)
		}
	}
}

// A doubtful certificate is used, and reported with its remedy at each load.
func TestDoubtfulCertificateIsReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	unmarked := func(c *x509.Certificate) { c.ExtraExtensions = nil }
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := f.make(k, unmarked, "a.test")
	pair := Pair{filepath.Join(f.dir, "c.pem"), filepath.Join(f.dir, "k.pem")}
	f.put(pair, cert, keyFile)
	var events []Event
	s, err := New(Config{Pairs: []Pair{pair}, Event: func(e Event) {
		if e.Kind == Doubtful {
			events = append(events, e)
		}
	}})
	if err != nil || s.Missing() != nil {
		t.Fatalf("%v, %v", err, s.Missing())
	}
	if len(events) != 2 || events[0].Concern != WeakKey || events[1].Concern != NoIssuer || !strings.Contains(events[1].Remedy, "fullchain.pem") {
		t.Errorf("events at the start: %+v", events)
	}
	cert, keyFile = f.make(nil, unmarked, "a.test")
	f.put(pair, cert, keyFile)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if len(events) != 3 || events[2].Concern != NoIssuer || !strings.Contains(events[2].What, "CN=test") {
		t.Errorf("events after a reload: %+v", events)
	}
}
