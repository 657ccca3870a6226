package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
)

func TestCertificatesAreForLocalhostOnly(t *testing.T) {
	t.Parallel()
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
		t.Error("the certificate is valid for example.org")
	}
	if fi, err := os.Stat(filepath.Join(dir, "server.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("server.key: %v, %v", fi.Mode(), err)
	}
}

func TestConfigurationsAreGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(writeCertificates(dir), writeConfigs(dir, 7, 12300, 4461)); err != nil {
		t.Fatal(err)
	}
	if s, err := refclockd.Load(filepath.Join(dir, "refclockd.toml")); err != nil || s.Sim.Seed != 7 || s.RuntimeDir != dir {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ntsserve.Load(filepath.Join(dir, "ntsserve.toml")); err != nil || len(s.Warnings) > 0 || !s.ServesKE || s.NTPPort != 12300 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-nope"}, exitcode.Usage, "not defined: -nope"},
		{[]string{"-once", "-bin", t.TempDir()}, exitFailed, "make build"},
		{[]string{"-h"}, exitcode.OK, "-seed"},
	} {
		var out, errs bytes.Buffer
		if code := run(x.args, &out, &errs); code != x.code || !strings.Contains(errs.String(), x.text) {
			t.Errorf("%q: exit code %d, want %d and %q: %s", x.args, code, x.code, x.text, &errs)
		}
	}
}

func TestProgramThatEndsIsReported(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "refclockd"), []byte("#!/bin/sh\necho odd >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"-once", "-bin", bin}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "refclockd ended: exit status 3") || !strings.Contains(out.String(), "--- output of refclockd:\nodd\n") {
		t.Errorf("exit code %d: %s%s", code, &out, &errs)
	}
}
