package observe

import (
	"context"
	"log/slog"
	"sync/atomic"

	"noonmark/internal/retry"
	"noonmark/refclock/status"
)

// Published is the task that shows whether the snapshot can be published. The
// engine itself publishes, four times a second.
type Published struct {
	writer *status.Writer
	log    *slog.Logger
	back   retry.Backoff // counts failures; for the engine's goroutine
	failed atomic.Pointer[error]
}

// NewPublished returns the task of a file of snapshots.
func NewPublished(w *status.Writer, log *slog.Logger) *Published {
	return &Published{writer: w, log: log}
}

// Publish publishes a snapshot; it is for the engine's goroutine. A failure is logged at a limited rate; the next
// snapshot is written anyway.
func (f *Published) Publish(s *status.Snapshot) {
	err := f.writer.Write(s)
	if err == nil {
		if f.failed.Swap(nil) != nil {
			f.log.Info("snapshot is published again")
			f.back.Reset()
		}
		return
	}
	f.failed.Store(&err)
	if n, log := f.back.Failed(); log {
		f.log.Error("snapshot cannot be published, servers of time have none", "error", err, "attempt", n)
	}
}

// Run waits until ctx ends.
func (f *Published) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Waiting returns why the last snapshot was not published.
func (f *Published) Waiting() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// String names the task in logs.
func (f *Published) String() string { return "snapshot" }
