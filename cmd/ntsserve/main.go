// Command ntsserve answers NTP and Network Time Security requests from the clock
// that refclockd publishes.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/privileges"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run is the whole program; it returns the exit code.
func run(args []string, stderr io.Writer) int {
	return daemon.Main(daemon.Program{Name: "ntsserve", Config: ntsserve.DefaultPath, Load: load}, args, stderr)
}

func load(path string) (*daemon.Loaded, error) {
	s, err := ntsserve.Load(path)
	if err != nil {
		return nil, err
	}
	return &daemon.Loaded{Warnings: s.Warnings, Log: s.Log, Serve: func(ctx context.Context, log *slog.Logger) error {
		if err := privileges.ForbidDumps(); err != nil {
			log.Warn("keys can get into core dumps", "error", err)
		}
		return serve(ctx, path, s, &privileges.Plan{User: s.RunAs, KeepLowPorts: s.NeedsLowPorts(), Log: log}, log)
	}}, nil
}

// serve answers until a signal or ctx ends it. path is the file that a reload
// reads again; a nil plan keeps all privileges.
func serve(ctx context.Context, path string, s *ntsserve.Settings, plan *privileges.Plan, log *slog.Logger) error {
	d, err := assemble(ctx, path, s, plan, log)
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx)
}
