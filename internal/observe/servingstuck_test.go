package observe

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server"
)

// starting is a server whose clock is synchronised from an instant on.
type starting struct{ from time.Time }

func (s starting) Stats() server.Counted {
	return server.Counted{Synchronised: !time.Now().Before(s.from), Stratum: 1}
}

// A server that starts is not one that has no clock: who watches it would report a fault that
// is none.
func TestCountersOfAStartAreNotPublished(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		synced, ends time.Duration // after the start
		first        time.Duration // of the file; negative: there is none
	}{
		{"at once", 0, time.Hour, 0},
		{"within the first second", 350 * time.Millisecond, time.Hour, 400 * time.Millisecond},
		{"at the second look", 1050 * time.Millisecond, time.Hour, 1100 * time.Millisecond},
		{"never", 2 * time.Hour, time.Hour, settleTime},
		{"it ends before", 2 * time.Hour, time.Second, -1},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			mono := func() int64 { return 1 + int64(time.Since(start)) }
			task := NewServingTask(filepath.Join(dir, ServingName), nil, NTS{}, mono, slog.New(slog.DiscardHandler))
			task.ntp = starting{start.Add(c.synced)}
			ctx, cancel := context.WithTimeout(t.Context(), c.ends)
			defer cancel()
			ended := make(chan struct{})
			go func() { task.Run(ctx); close(ended) }()
			for at := time.Duration(0); at <= settleTime; at += 50 * time.Millisecond {
				synctest.Wait()
				s, err := ReadServing(task.file.Path, mono())
				if published := c.first >= 0 && at >= c.first; published != (err == nil) || published && s.Synchronised != (c.synced < settleTime) {
					t.Fatalf("%s: after %v: %+v, %v", c.name, at, s, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			cancel()
			<-ended
		})
	}
}

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
