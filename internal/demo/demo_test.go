package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	if err := writeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in ca.pem")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "example.org"}); err == nil {
		t.Error("the certificate is good for example.org")
	}
	if fi, err := os.Stat(filepath.Join(dir, "server.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("server.key: %v, %v", fi.Mode(), err)
	}
}

func TestRefusals(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"-nope"}, &out, &errs); code != 64 {
		t.Errorf("unknown option: exit code %d", code)
	}
	if code := run([]string{"-h"}, &out, &errs); code != 0 {
		t.Errorf("help: exit code %d", code)
	}
	errs.Reset()
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Skip("needs a loopback address:", err)
	} else {
		l.Close()
	}
	if code := run([]string{"-once", "-bin", t.TempDir()}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "make build") {
		t.Errorf("without the programs: exit code %d: %s", code, &errs)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "noonmark-demo-*")); len(left) > 0 {
		t.Logf("other demos run: %q", left)
	}
}
