package cookiekeys

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/durable"
	"noonmark/server/nts"
)

func TestCookieKeysAreRotatedAndFollowTheirFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	cfg := nts.RingConfig{Rotate: time.Hour, Keep: 3, Renew: nts.NeverRenew}
	var log bytes.Buffer
	k := NewKeeper(Config{Path: path, Ring: cfg, Opened: func(*nts.Ring) {}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := k.Open(now); err != nil {
		t.Fatal(err)
	}
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
		if bad := strings.HasPrefix(step.name, "damaged"); bad != (k.Waiting() != nil) || k.Missing() != nil {
			t.Errorf("%s: waits for %v, missing %v", step.name, k.Waiting(), k.Missing())
		}
		if got := log.String(); !strings.Contains(got, step.log) || strings.Count(got, "\n") != min(1, len(step.log)) {
			t.Errorf("%s: logged %q, want %q", step.name, got, step.log)
		}
	}
}

func TestCookieSecretIsRenewedWithATrustedClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	wrong := errors.New("nothing is served")
	k := NewKeeper(Config{Path: path, Opened: func(*nts.Ring) {}, Trust: func() error { return wrong }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := k.Open(now); err != nil {
		t.Fatal(err)
	}
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
		now = now.Add(interval)
	}
	if n := strings.Count(log.String(), "not renewed"); file() != first || n < 1 || n > 6 || !strings.Contains(log.String(), wrong.Error()) {
		t.Errorf("with a clock that is not trusted: changed %v, %d lines:\n%s", file() != first, n, log.String())
	}
	wrong = nil
	log.Reset()
	for range 120 {
		k.look(now)
		now = now.Add(interval)
	}
	if n := strings.Count(log.String(), "new cookie secret drawn"); file() == first || n != 1 {
		t.Errorf("with a trusted clock: %d lines:\n%s", n, log.String())
	}
	if s := k.Ring().Secrets(now); len(s) != 2 || !s[1].Sealing {
		t.Errorf("secrets: %+v", s)
	}
}

// A key file that cannot be used is never used and stays as it is. It is opened as soon
// as it can be.
func TestAKeyFileThatCannotBeUsedIsOpenedOnceItCan(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	good, err := nts.FormatKeyFile([]nts.RootSecret{{Since: now, Secret: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte, mode os.FileMode) func(string) error {
		return func(path string) error { return errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode)) }
	}
	for _, c := range []struct {
		name          string
		spoil, repair func(path string) error
		want, remedy  string
		secret        bool // it is that of the file
	}{
		{"others may read it", write(good, 0o644), func(p string) error { return os.Chmod(p, 0o600) }, "mode 0644", "chmod 600", true},
		{"damaged", write(good[:20], 0o600), write(good, 0o600), "is not usable: JSON", "restore it", true},
		{"deleted after damage", write([]byte("{"), 0o600), os.Remove, "is not usable: JSON", "delete it", false},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, os.Remove, "a directory", "delete it", false},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := c.spoil(path); err != nil {
			t.Fatal(err)
		}
		before := durable.FingerprintOf(path)
		var opened *nts.Ring
		k := NewKeeper(Config{Path: path, Place: "t.toml:3: keys.file", Opened: func(r *nts.Ring) { opened = r }, Log: slog.New(slog.DiscardHandler)})
		for range 2 {
			err := k.Open(now)
			if err == nil || !strings.HasPrefix(err.Error(), "t.toml:3: keys.file: ") || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.remedy) {
				t.Errorf("%s: %v, want %q and %q", c.name, err, c.want, c.remedy)
			}
			if err := k.Run(t.Context()); err == nil {
				t.Errorf("%s: the task runs", c.name)
			}
			if opened != nil || k.Ring() != nil || k.Missing() == nil || k.Waiting() == nil || len(k.Opened()) != 0 {
				t.Errorf("%s: it is used", c.name)
			}
		}
		if durable.FingerprintOf(path) != before {
			t.Errorf("%s: the file was changed", c.name)
		}
		if err := c.repair(path); err != nil {
			t.Fatal(err)
		}
		if err := k.Reload(now); err != nil || opened == nil || k.Ring() != opened || k.Missing() != nil || k.Waiting() != nil || len(k.Opened()) != 1 {
			t.Fatalf("%s: repaired: %v, missing %v", c.name, err, k.Missing())
		}
		list, err := nts.ReadKeyFile(path)
		if err != nil || (list[0].Secret == [32]byte{1}) != c.secret {
			t.Errorf("%s: the file has another secret: %v", c.name, err)
		}
	}
}
