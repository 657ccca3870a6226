// Command refclockd steers a clock of this machine by a satellite receiver and
// its pulse, and publishes the clock's state and error bound.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/daemon"
	"noonmark/internal/exitcode"
	"noonmark/refclock/status"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run is the whole program; it returns the exit code.
func run(args []string, stderr io.Writer) int {
	return daemon.Main(daemon.Program{Name: "refclockd", Config: refclockd.DefaultPath, Load: load}, args, stderr)
}

func load(path string) (*daemon.Loaded, error) {
	s, err := refclockd.Load(path)
	if err != nil {
		return nil, err
	}
	return &daemon.Loaded{Warnings: s.Warnings, Log: s.Log, Serve: func(ctx context.Context, log *slog.Logger) error {
		return serve(ctx, path, s, log)
	}}, nil
}

// serve publishes until a signal or ctx ends it. path is the file that a reload
// reads again.
func serve(ctx context.Context, path string, s *refclockd.Settings, log *slog.Logger) error {
	published := filepath.Join(s.RuntimeDir, "status")
	locked := lockedThisBoot(published)
	w, err := status.Create(published)
	if err != nil {
		return fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	defer w.Close()
	file := &snapshotFile{writer: w, log: log}
	p, err := assemble(s, file.publish, locked, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.tasks = append(p.tasks, file)
	d := daemon.Daemon{Log: log, Alive: p.alive, States: &p.states, StateFile: filepath.Join(s.RuntimeDir, daemon.StateFileName), Reload: func(context.Context) error { return p.reload(path) }}
	return d.Run(ctx, p.tasks...)
}
