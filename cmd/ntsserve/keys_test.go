package main

import (
	"bytes"
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
	cfg := nts.RingConfig{Rotate: time.Hour, Keep: 3}
	ring, err := nts.OpenRing(path, cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	k := newKeyKeeper(ring, path, slog.New(slog.NewTextHandler(&log, nil)))
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
