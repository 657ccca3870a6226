package ntske

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestCertificates(t *testing.T) {
	a := newAuthority(t)
	dirs := [2]string{t.TempDir(), t.TempDir()}
	var pairs [2]Pair
	for i, name := range []string{"first.test", "second.test"} {
		cert, key := a.pem(t, t0.AddDate(90+i, 0, 0), name)
		pairs[i] = writePair(t, dirs[i], cert, key)
	}
	if _, err := LoadCertificates(); err == nil {
		t.Error("no certificate at all is accepted")
	}
	if _, err := LoadCertificates(Pair{filepath.Join(dirs[0], "no"), pairs[0].Key}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	c, err := LoadCertificates(pairs[:]...)
	if err != nil {
		t.Fatal(err)
	}
	if want := t0.AddDate(90, 0, 0); !c.NotAfter().Equal(want) {
		t.Errorf("expires %v, want %v", c.NotAfter(), want)
	}
	leaf := func(name string) []byte {
		t.Helper()
		x, err := c.Get(&tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, SupportedProtos: []string{ALPN},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		})
		if err != nil {
			t.Fatal(err)
		}
		return x.Certificate[0]
	}
	first, second := leaf("first.test"), leaf("second.test")
	if bytes.Equal(first, second) || !bytes.Equal(leaf("unknown.test"), first) || !bytes.Equal(leaf(""), first) {
		t.Error("names do not choose the certificate")
	}

	freshCert, freshKey := a.pem(t, t0.AddDate(95, 0, 0), "first.test")
	oldCert, oldKey := a.pem(t, t0.AddDate(1, 0, 0), "first.test")
	now := t0.AddDate(26, 0, 0)
	for _, b := range []struct {
		name      string
		cert, key []byte
	}{
		{"empty", nil, nil},
		{"garbage", []byte("garbage"), freshKey},
		{"another's key", freshCert, oldKey},
		{"half", freshCert[:len(freshCert)/2], freshKey},
		{"expired", oldCert, oldKey},
	} {
		writePair(t, dirs[0], b.cert, b.key)
		if err := c.Reload(now); err == nil {
			t.Errorf("%s: reloaded", b.name)
		}
		if !bytes.Equal(leaf("first.test"), first) {
			t.Errorf("%s: the old certificate is gone", b.name)
		}
	}
	writePair(t, dirs[0], freshCert, freshKey)
	if err := c.Reload(now); err != nil || bytes.Equal(leaf("first.test"), first) || !bytes.Equal(leaf("second.test"), second) {
		t.Errorf("a good pair: %v", err)
	}
}

// TestReloadWhileServing: a reloaded certificate serves the next client.
func TestReloadWhileServing(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	cert, key := a.pem(t, t0.AddDate(90, 0, 0), "time.test")
	c, err := LoadCertificates(writePair(t, dir, cert, key))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, a, func(cfg *Config) { cfg.TLS = &tls.Config{GetCertificate: c.Get} })
	host, port := loopback(t, s)
	ask := func(x *authority) error {
		_, err := Exchange(t.Context(), ClientConfig{Host: host, Port: port, RootCAs: x.pool})
		return err
	}
	if err := ask(a); err != nil {
		t.Error(err)
	}
	cert, key = b.pem(t, t0.AddDate(90, 0, 0), "time.test")
	writePair(t, dir, cert, key)
	if err := c.Reload(t0); err != nil {
		t.Fatal(err)
	}
	if err := ask(b); err != nil {
		t.Error(err)
	}
	if err := ask(a); err == nil {
		t.Error("the old certificate is still served")
	}
}
