// Command ntsserve answers NTP and Network Time Security requests from the clock
// that refclockd publishes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

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
		return explain(err)
	}
	defer d.close()
	return explain(d.run(ctx))
}

// explain adds a remedy to what the system refuses most often.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; ports below 1024 need a capability: run under the systemd unit, or setcap cap_net_bind_service+ep on the program", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another time server uses the port: stop it (chronyd, ntpd, ntpsec, systemd-timesyncd), or choose another port", err)
	}
	return err
}
