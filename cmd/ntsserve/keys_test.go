package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/server/nts"
)

func TestCookieKeysAreRotatedAndFollowTheirFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	cfg := nts.RingConfig{Rotate: time.Hour, Keep: 3, Renew: nts.NeverRenew}
	ring, err := nts.OpenRing(path, cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	k := newKeyKeeper(ring, path, func() error { return nil }, slog.New(slog.NewTextHandler(&log, nil)))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() error
		log  string // its only line; empty: none
	}{
		{"nothing", func() error { return nil }, ""},
		{"damaged", func() error { return os.WriteFile(path, []byte("{"), 0o600) }, `level=ERROR msg="cookie keys not reloaded, the previous ones stay in use"`},
		{"damaged still", func() error { return nil }, ""},
		{"whole again", func() error { return os.WriteFile(path, good, 0o600) }, `msg="cookie keys reloaded"`},
		{"mode changed", func() error { return os.Chmod(path, 0o400) }, `msg="cookie keys reloaded"`},
		{"an hour later", func() error { now = now.Add(cfg.Rotate); return nil }, `msg="cookie keys rotated"`},
	} {
		log.Reset()
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		k.look(now)
		if got := log.String(); !strings.Contains(got, step.log) || strings.Count(got, "\n") != min(1, len(step.log)) {
			t.Errorf("%s: logged %q, want %q", step.name, got, step.log)
		}
	}
}

func TestCookieSecretIsRenewedWithATrustedClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ring, err := nts.OpenRing(path, nts.RingConfig{}, now)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	wrong := errors.New("nothing is served")
	k := newKeyKeeper(ring, path, func() error { return wrong }, slog.New(slog.NewTextHandler(&log, nil)))
	file := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := file()
	now = now.Add(9 * 24 * time.Hour)
	for range 120 { // twenty minutes
		k.look(now)
		now = now.Add(keyInterval)
	}
	if n := strings.Count(log.String(), "not renewed"); file() != first || n < 1 || n > 6 || !strings.Contains(log.String(), wrong.Error()) {
		t.Errorf("with a clock that is not trusted: changed %v, %d lines:\n%s", file() != first, n, log.String())
	}
	wrong = nil
	log.Reset()
	for range 120 {
		k.look(now)
		now = now.Add(keyInterval)
	}
	if n := strings.Count(log.String(), "new cookie secret drawn"); file() == first || n != 1 {
		t.Errorf("with a trusted clock: %d lines:\n%s", n, log.String())
	}
	if s := ring.Secrets(now); len(s) != 2 || !s[1].Sealing {
		t.Errorf("secrets: %+v", s)
	}
}
