package observe

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server"
)

// The task hangs while it collects what it writes.
func TestHangingServingTaskIsStuck(t *testing.T) {
	t.Parallel()
	ntp, err := server.New(server.Config{Snapshot: "/nonexistent/status"})
	if err != nil {
		t.Fatal(err)
	}
	defer ntp.Close()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hold := make(chan struct{})
		mono := func() int64 {
			if time.Since(start) > time.Hour {
				<-hold
			}
			return 1 + int64(time.Since(start))
		}
		task := NewServingTask(filepath.Join(dir, ServingName), ntp, NTS{}, mono, slog.New(slog.DiscardHandler))
		task.writing.Clock = func() int64 { return 1 + int64(time.Since(start)) }
		proctest.Hangs(t, proctest.Hanging{Run: task.Run, Hanging: task.Hanging, After: servingStuckAfter + 3*time.Second, Release: func() { close(hold) }})
	})
}
