//go:build unix

package history

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"noonmark/internal/durable"
)

// A named pipe without a reader would keep the writer, and with it the history, waiting for ever.
func TestNamedPipeInThePlaceOfADayIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "day")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAppend(path); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("got %v", err)
	}
}
