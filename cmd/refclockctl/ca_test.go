package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The whole way: authority, certificate, a client that trusts it, renewal under a
// running source.
func TestCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, srv := filepath.Join(dir, "ca"), filepath.Join(dir, "srv")
	must(t, "ca", "init", "-name", "Our time", ca)
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
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	at := serveKE(t, src)
	exchange := func() error {
		_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: at.Port, RootCAs: trust(t, filepath.Join(ca, certs.AuthorityCert))})
		return err
	}
	if err := exchange(); err != nil {
		t.Error(err)
	}
	keyBefore, certBefore := read(t, srv, certs.ServerKey), read(t, srv, certs.ServerCert)
	if out := must(t, "ca", "renew", ca); !strings.Contains(out, "renewed from ") || read(t, srv, certs.ServerCert) != certBefore {
		t.Errorf("renewed too early:\n%s", out)
	}
	if out := must(t, "ca", "renew", ca, "-force"); !strings.Contains(out, "renewed, good until") || read(t, srv, certs.ServerCert) == certBefore || read(t, srv, certs.ServerKey) != keyBefore {
		t.Errorf("forced renewal: the certificate should change and the key not:\n%s", out)
	}
	certBefore = read(t, srv, certs.ServerCert)
	must(t, "ca", "renew", ca, "-out", srv, "-force", "-new-key")
	if read(t, srv, certs.ServerCert) == certBefore || read(t, srv, certs.ServerKey) == keyBefore {
		t.Error("-new-key: certificate and key should change")
	}
	if err := src.Reload(); err != nil {
		t.Error(err)
	}
	if err := exchange(); err != nil {
		t.Error(err)
	}

	// When a third is left it is renewed without force.
	short := filepath.Join(dir, "short")
	must(t, "ca", "issue", ca, "-host", "short.lan", "-days", "1", "-out", short) // and a day backdated: half is left
	certBefore = read(t, short, certs.ServerCert)
	r := renewal{out: new(bytes.Buffer), now: time.Now().Add(9 * time.Hour), dir: ca, life: certs.ServerLife}
	if err := r.run(nil); err != nil || read(t, short, certs.ServerCert) == certBefore {
		t.Errorf("not renewed when it was time: %v\n%s", err, r.out)
	}
	// A line that a crash has cut off is left out.
	f, err := os.OpenFile(filepath.Join(ca, certs.IssuedFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"serial":"1","na`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var shown authority
	if err := json.Unmarshal([]byte(must(t, "ca", "show", ca, "-json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Name != "Our time" || len(shown.Fingerprint) != 64 || len(shown.Issued) != 2 || shown.Issued[0].Out != srv ||
		!slices.Equal(shown.Issued[0].Names, []string{"time.lan", "127.0.0.1", "fd00::1"}) || shown.Issued[1].NotAfter.Before(time.Now().AddDate(1, 0, 0)) {
		t.Errorf("show: %+v", shown)
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
