package durable

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatchNoticesEveryKindOfChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "g")
	stamp := time.Unix(1795435200, 0)
	write := func(t *testing.T, p, text string) {
		t.Helper()
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	w := NewWatch(other, path)
	if w.Changed() {
		t.Error("a file that stays missing has changed")
	}
	for _, step := range []struct {
		name string
		root bool
		do   func() error
	}{
		{"made", false, func() error { write(t, path, "1"); return nil }},
		{"same size and time, another file", false, func() error { write(t, path+".new", "2"); return os.Rename(path+".new", path) }},
		{"another size", false, func() error { write(t, path, "22"); return nil }},
		{"another time", false, func() error { return os.Chtimes(path, stamp, stamp.Add(time.Nanosecond)) }},
		{"another mode", false, func() error { return os.Chmod(path, 0o640) }},
		{"another owner", true, func() error { return os.Chown(path, 1234, -1) }},
		{"another group", true, func() error { return os.Chown(path, -1, 2345) }},
		{"removed", false, func() error { return os.Remove(path) }},
	} {
		if step.root && os.Getuid() != 0 {
			t.Logf("%s: needs root", step.name)
			continue
		}
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if !w.Changed() {
			t.Errorf("%s: not noticed", step.name)
		}
		if w.Changed() {
			t.Errorf("%s: noticed twice", step.name)
		}
	}
}

func TestFingerprintSettlesAfterATickOfTheCoarsestStamp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if !FingerprintOf(path).Settled(time.Now()) {
		t.Error("a missing file is not settled")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1795435200, 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]bool{0: false, settle - 1: false, 1 - settle: false, settle: true, -time.Hour: true} {
		if got := FingerprintOf(path).Settled(at.Add(age)); got != want {
			t.Errorf("age %v: settled %v, want %v", age, got, want)
		}
	}
}
