package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteFile(path, []byte("1"), 0o600, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("2"), 0o600, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing file: %v", err)
	}
	left := filepath.Join(dir, ".f"+newSuffix+"killed")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("3"), 0o644, true); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, 1234, 2345); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(path, []byte("4"), 0o644, true); err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if fi, err := os.Stat(path); err == nil {
			fmt.Fprintf(&buf, "%+v", fi.Sys())
		}
		if !strings.Contains(buf.String(), "Uid:1234 Gid:2345") {
			t.Errorf("the owner is lost: %s", &buf)
		}
	}
	b, err := os.ReadFile(path)
	entries, rerr := os.ReadDir(dir)
	if err != nil || rerr != nil || len(entries) != 1 || len(b) != 1 || b[0] < '3' {
		t.Errorf("%q, %d files (%v, %v)", b, len(entries), err, rerr)
	}
	if err := WriteFile(filepath.Join(dir, "none", "f"), nil, 0o600, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestPublishReplacesTheFileAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "details.json")
	for _, text := range []string{"1", "22"} {
		if err := Publish(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		entries, rerr := os.ReadDir(dir)
		if err != nil || rerr != nil || string(b) != text || len(entries) != 1 {
			t.Errorf("%q, %d files (%v, %v), want %q alone", b, len(entries), err, rerr, text)
		}
	}
	// Links under names that the writer once used are not followed.
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), os.Symlink(victim, filepath.Join(dir, ".details.json.new")),
		os.Remove(path), os.Symlink(victim, path), Publish(path, []byte("333"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("a link was followed: %q, %v", b, err)
	}
	if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() || fi.Mode().Perm() != 0o644 {
		t.Errorf("published: %v, %v", fi, err)
	}
	if err := Publish(filepath.Join(dir, "none", "f"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
