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
	opt, err := daemon.ParseOptions("refclockd", refclockd.DefaultPath, args, stderr)
	if err != nil {
		return daemon.Exit(err)
	}
	s, err := refclockd.Load(opt.Config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return daemon.Exit(err)
	}
	if opt.Check {
		for _, w := range s.Warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		fmt.Fprintf(stderr, "%s: good\n", opt.Config)
		return exitcode.OK
	}
	log := daemon.New("refclockd", s.Log)
	if err := serve(context.Background(), opt.Config, s, log); err != nil {
		log.Error("refclockd ends", "error", err)
		return daemon.Exit(err)
	}
	return exitcode.OK
}

// serve publishes until a signal or ctx ends it. path is the file that a reload
// reads again.
func serve(ctx context.Context, path string, s *refclockd.Settings, log *slog.Logger) error {
	for _, w := range s.Warnings {
		log.Warn(w)
	}
	w, err := status.Create(filepath.Join(s.RuntimeDir, "status"))
	if err != nil {
		return fmt.Errorf("%w: %w", exitcode.ErrUnavailable, err)
	}
	defer w.Close()
	p, err := assemble(s, w.Write, log)
	if err != nil {
		return err
	}
	defer p.close()
	d := daemon.Daemon{Log: log, Alive: p.alive, Reload: func(context.Context) error { return p.reload(path) }}
	return d.Run(ctx, p.tasks...)
}
