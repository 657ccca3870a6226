package certs

import (
	"crypto/x509"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCertificatesOfNodes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	a, err := NewAuthority(AuthorityConfig{Name: "fleet"}, now)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	for _, c := range []struct {
		node  string
		hosts []string
		ok    bool
	}{
		{"", nil, false},
		{" a", nil, false},
		{strings.Repeat("a", 65), nil, false},
		{"a", []string{"10.0.0.256"}, false},
		{"a", nil, true},
		{"a", []string{"192.0.2.1", "a.example"}, true},
	} {
		l, err := a.NewNode(c.node, c.hosts, time.Hour, now)
		if (err == nil) != c.ok {
			t.Errorf("%q %v: %v", c.node, c.hosts, err)
		}
		if err != nil {
			continue
		}
		if l.Cert.Subject.CommonName != c.node || !slices.Equal(namesOf(l.Cert), reversed(c.hosts)) {
			t.Errorf("%q %v: name %q, hosts %v", c.node, c.hosts, l.Cert.Subject.CommonName, namesOf(l.Cert))
		}
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := l.Cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("%q, use %v: %v", c.node, use, err)
			}
		}
	}
	server, err := a.Issue([]string{"a"}, 0, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the certificate of a time server opens etcd as the node of its name")
	}
}

// reversed puts names before addresses, as certificates have them.
func reversed(hosts []string) []string {
	list := slices.Clone(hosts)
	slices.Reverse(list)
	return list
}

func TestARenewedCertificateIsThatOfTheSameNode(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := NewAuthority(AuthorityConfig{Name: "fleet"}, now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.NewNode("root", []string{"192.0.2.1"}, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	if err := l.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, newKey := range []bool{false, true} {
		r, err := a.Renew(dir, 0, newKey, now)
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Cert; c.Subject.CommonName != "root" || len(c.IPAddresses) != 1 || len(c.ExtKeyUsage) != 2 || c.SerialNumber.Cmp(l.Cert.SerialNumber) == 0 {
			t.Errorf("new key %t: %q, %v, %v", newKey, c.Subject.CommonName, c.IPAddresses, c.ExtKeyUsage)
		}
	}
}

func TestRevocationListNamesTheSerials(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, err := NewAuthority(AuthorityConfig{Name: "fleet"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		var serials []*big.Int
		for i := range n {
			serials = append(serials, big.NewInt(int64(i+1)))
		}
		b, err := a.RevocationList(serials, int64(n+1), now)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(b)
		if err != nil || list.CheckSignatureFrom(a.Cert) != nil || len(list.RevokedCertificateEntries) != n || list.Number.Int64() != int64(n+1) {
			t.Errorf("%d serials: %v, %+v", n, err, list)
		}
	}
}
