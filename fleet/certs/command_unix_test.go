//go:build unix

package certs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
)

// TestACommandIsJudgedByItsEnd: not by a process that it has left, which keeps its output open.
func TestACommandIsJudgedByItsEnd(t *testing.T) {
	t.Parallel()
	hold := filepath.Join(t.TempDir(), "hold")
	must(t, syscall.Mkfifo(hold, 0o600))
	left, err := os.OpenFile(hold, os.O_RDWR, 0)
	must(t, err)
	defer left.Close() // the process ends
	a := ACME{DNS: []string{proctest.Require(t, "sh"), "-c", `cat <"$0" & [ "$1" = set ]`, hold}}
	if err := a.record(t.Context(), "set"); err != nil {
		t.Errorf("a command that ends well: %v", err)
	}
	if err := a.record(t.Context(), "clear"); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("a command that fails: %v", err)
	}
}
