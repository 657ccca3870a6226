//go:build unix

package durable

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// A named pipe without a writer would keep its reader waiting for ever.
func TestNamedPipeIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFile(path, 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("got %v", err)
	}
}
