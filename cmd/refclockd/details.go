package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"noonmark/refclock"
)

// details is a task that writes, once a second, what the snapshot has no room
// for: <runtime_dir>/details.json, which refclockctl status shows.
type details struct {
	path   string
	mono   func() int64
	engine *refclock.Engine
	log    *slog.Logger
	said   bool
}

// Run writes until ctx ends, and takes the file away then.
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

// write writes the file; that it cannot is said once.
func (d *details) write() {
	b, err := json.Marshal(refclock.NewDetails(d.engine.Stats(), os.Getpid(), d.mono()))
	if err == nil {
		err = writeFile(d.path, append(b, '\n'))
	}
	if err != nil && !d.said {
		d.log.Warn("details for refclockctl status cannot be written", "error", err)
	}
	d.said = err != nil
}

// Ready says that it is ready at once.
func (d *details) Ready() <-chan struct{} { return nil }

// String names the task.
func (d *details) String() string { return "details" }

func detailsPath(runtimeDir string) string {
	return filepath.Join(runtimeDir, refclock.DetailsName)
}
