// Command refclockd steers a clock of this machine by a satellite receiver and
// its pulse, and publishes the clock's state and error bound.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/daemon"
	"noonmark/internal/observe"
	"noonmark/internal/privileges"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

func main() {
	p := commandLine()
	os.Exit(p.Main(os.Args[1:], command.Standard()))
}

func commandLine() command.Command {
	p := daemon.Program{
		Name: "refclockd", Config: refclockd.DefaultPath, Load: load,
		About: "steer a clock by a satellite receiver and its pulse",
		Text: `
refclockd reads the time messages of a GNSS receiver and its pulses. It steers the PTP hardware
clock of a network card, or the system clock, and publishes the state of the clock and a bound of
its error in a small file that ntsserve and other programs read.

It runs in the foreground, under systemd as a service of type notify. SIGHUP reads the
configuration again; SIGUSR1 discards the lock. The log goes to standard error, or to the
journal. Keys of the configuration: refclockd.toml(5).
`,
		Files: []command.File{
			{Path: refclockd.DefaultPath, Text: "the configuration: refclockd.toml(5)"},
			{Path: status.DefaultPath, Text: "the state of the clock, for other programs"},
		},
		SeeAlso: []string{"refclockd.toml(5)", "ntsserve(8)", "refclockctl(1)"},
	}
	return p.Command()
}

// run is the whole program; it returns the exit code.
func run(args []string, out io.Writer) int {
	p := commandLine()
	return p.Main(args, command.Console{Out: out, Err: out})
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

// dropPrivileges drops the capabilities that the unit gives and the configuration does
// not need. Root, without which files and devices of others stay closed, keeps them.
func dropPrivileges(s *refclockd.Settings, log *slog.Logger) error {
	need, err := s.Capabilities()
	if err != nil || os.Geteuid() == 0 {
		return err
	}
	return (&privileges.Plan{Keep: need, Log: log}).Drop()
}

// gcPercent makes the heap, of which less than a megabyte lives, grow to 2 MB instead of 4 between two
// collections. One comes every ten seconds and takes one to three milliseconds of processor time.
const gcPercent = 50

// serve publishes until a signal or ctx ends it. path is the file that a reload
// reads again.
func serve(ctx context.Context, path string, s *refclockd.Settings, log *slog.Logger) error {
	daemon.LimitHeap(gcPercent, 0)
	if err := dropPrivileges(s, log); err != nil {
		return err
	}
	published := filepath.Join(s.RuntimeDir, "status")
	earlier := report.ReadEarlier(published)
	w, err := status.Create(published)
	if err != nil {
		return refclockd.RuntimeDirError(s, err)
	}
	defer w.Close()
	file := observe.NewPublished(w, log)
	p, err := assemble(s, file.Publish, earlier, log)
	if err != nil {
		return err
	}
	defer p.close()
	p.tasks = append(p.tasks, file)
	d := daemon.Daemon{Log: log, Alive: p.alive, Describe: p.describe, States: &p.states, StateFile: filepath.Join(s.RuntimeDir, daemon.StateFileName), Reload: func(context.Context) error { return p.reload(path) }}
	return d.Run(ctx, p.tasks...)
}
