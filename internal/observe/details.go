package observe

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

// Details is the task that writes <runtime_dir>/details.json once a second: what
// refclockctl status shows beyond the snapshot.
type Details struct {
	file   durable.Published
	read   func() *Reference
	log    *slog.Logger
	failed bool // the last write failed, and that was logged
}

// NewDetails returns the task. read is Sources.Read.
func NewDetails(runtimeDir string, read func() *Reference, log *slog.Logger) *Details {
	return &Details{file: durable.Published{Path: filepath.Join(runtimeDir, report.DetailsName), Mode: 0o644}, read: read, log: log}
}

// Run writes until ctx ends, then removes the file.
func (d *Details) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer os.Remove(d.file.Path)
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
func (d *Details) write() {
	r := d.read()
	details := report.NewDetails(r.Report, os.Getpid(), r.Mono)
	details.Alarms = alarmDetails(r)
	if r.Fleet != nil {
		details.Fleet = &r.Fleet.FragmentDetail
	}
	b, err := json.Marshal(details)
	if err == nil {
		err = d.file.Write(append(b, '\n'))
	}
	if err != nil && !d.failed {
		d.log.Warn("details for refclockctl status cannot be written", "error", err)
	}
	d.failed = err != nil
}

// String names the task in logs.
func (d *Details) String() string { return "details" }
