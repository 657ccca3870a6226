//go:build unix

package mac

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"noonmark/internal/durable"
)

// A named pipe without a writer would keep the reload of the keys waiting for ever.
func TestNamedPipeInThePlaceOfKeysIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("keys: %v", err)
	}
	if _, err := ReadSecret(path); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("one key: %v", err)
	}
}
