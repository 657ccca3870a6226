package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"noonmark/internal/durable"
	"noonmark/refclock/report"
)

// details is the task that writes <runtime_dir>/details.json once a second: what
// refclockctl status shows beyond the snapshot.
type details struct {
	path   string
	mono   func() int64
	latest func() *report.Report
	log    *slog.Logger
	failed bool // the last write failed, and that was logged
}

func newDetails(runtimeDir string, mono func() int64, latest func() *report.Report, log *slog.Logger) *details {
	return &details{path: filepath.Join(runtimeDir, report.DetailsName), mono: mono, latest: latest, log: log}
}

// Run writes until ctx ends, then removes the file.
func (d *details) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer os.Remove(d.path)
	for {
		d.write()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// write writes the file. The first of several failures is logged.
func (d *details) write() {
	b, err := json.Marshal(report.NewDetails(d.latest(), os.Getpid(), d.mono()))
	if err == nil {
		err = durable.Publish(d.path, append(b, '\n'), 0o644)
	}
	if err != nil && !d.failed {
		d.log.Warn("details for refclockctl status cannot be written", "error", err)
	}
	d.failed = err != nil
}

// Ready returns nil: it is ready at once.
func (d *details) Ready() <-chan struct{} { return nil }

// String names the task in logs.
func (d *details) String() string { return "details" }
