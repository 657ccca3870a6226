//go:build unix

package identity

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"noonmark/internal/durable"
)

// Handshakes read the pair again: a named pipe would keep each of them waiting for ever.
func TestNamedPipeInThePlaceOfAPairIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPair(path, path); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("got %v", err)
	}
}
