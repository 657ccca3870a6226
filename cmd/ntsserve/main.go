// Command ntsserve answers NTP and Network Time Security requests from the clock
// that refclockd publishes.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"noonmark/internal/cardsetup"
	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/keyexchange"
	"noonmark/internal/privileges"
	"noonmark/refclock/status"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == keyexchange.Argument {
		os.Exit(keyexchange.Main("ntsserve"))
	}
	os.Exit(start(os.Args[1:], command.Standard()))
}

func commandLine() command.Command {
	p := daemon.Program{
		Name: "ntsserve", Config: ntsserve.DefaultPath, Load: load,
		About: "answer NTP and NTS requests from the clock that refclockd publishes",
		Text: `
ntsserve answers NTP requests, and those of Network Time Security (NTS, RFC 8915), from the clock
that refclockd publishes, or from a system clock that chronyd keeps. An answer never promises more
than the error bound of the clock. Without a usable clock the answer is "not synchronised".

It runs in the foreground, under systemd as a service of type notify. SIGHUP reads the
configuration again. The log goes to standard error, or to the journal. Keys of the
configuration: ntsserve.toml(5).
`,
		Files: []command.File{
			{Path: ntsserve.DefaultPath, Text: "the configuration: ntsserve.toml(5)"},
			{Path: status.DefaultPath, Text: "the state of the clock, from refclockd"},
		},
		SeeAlso: []string{"ntsserve.toml(5)", "refclockd(8)", "refclockctl(1)", "ntsquery(1)"},
	}
	return p.Command()
}

// run is the whole program; it returns the exit code.
func run(args []string, out io.Writer) int {
	return start(args, command.Console{Out: out, Err: out})
}

// start runs the program, or the process beside it that keeps a capability.
func start(args []string, c command.Console) int {
	if len(args) > 0 && args[0] == cardsetup.Argument {
		return cardsetup.Main(args[1:])
	}
	p := commandLine()
	return p.Main(args, c)
}

func load(path string) (*daemon.Loaded, error) {
	s, err := ntsserve.Load(path)
	if err != nil {
		return nil, err
	}
	limit, file := daemon.MemoryLimit()
	ntsserve.CheckMemory(s, limit, file)
	return &daemon.Loaded{Warnings: s.Warnings, Log: s.Log, Serve: func(ctx context.Context, log *slog.Logger) error {
		if err := privileges.ForbidDumps(); err != nil {
			log.Warn("keys can get into core dumps", "error", err)
		}
		user, ok, err := findUser(ctx, s, log)
		if err != nil || !ok {
			return err
		}
		return serve(ctx, path, s, &privileges.Plan{User: user, Keep: s.Capabilities(), Log: log}, log)
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
