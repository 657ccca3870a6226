//go:build unix

package doctor

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"noonmark/internal/durable"
	"noonmark/server/certs"
)

// A named pipe in the place of a file is a fact like any other, and holds up no examination.
func TestNamedPipesAreFacts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := certificates("ntsserve", []certs.Pair{{Cert: path, Key: path}}); !errors.Is(c[0].Err, durable.ErrNotRegular) {
		t.Errorf("certificate: %v", c[0].Err)
	}
	if l := readLeapFile(path, nil); !errors.Is(l.Err, durable.ErrNotRegular) {
		t.Errorf("leap table: %v", l.Err)
	}
}
