package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"

	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/top"
	"noonmark/phc"
	"noonmark/refclock/status"
)

func statusCommand() command.Command {
	return command.Command{
		Name: "status", About: "show what refclockd publishes", Prepare: command.NoArgs(prepareStatus), Code: statusCode,
		Text: `
Shows what refclockd publishes: its state, the measured offset and its bound, the
inputs and the clock; and why clients do not get this clock from ntsserve, where that is
so. -watch redraws it every second; with -json, or if the output
is no terminal, it prints again instead. Of a refclockd that has stopped, the last state
is shown.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "one JSON object a second", Line: "refclockctl status -json -watch"}},
			Exits: []command.Exit{
				{Code: exitcode.OK, When: "refclockd publishes"},
				{Code: exitcode.Usage},
				{Code: exitcode.Unavailable, When: "refclockd does not publish, or has stopped"},
				{Code: exitcode.Software},
				{Code: exitcode.Permission},
			},
		},
	}
}

// prepareStatus is the status command.
func prepareStatus(fl *flag.FlagSet, c command.Console) func() error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "show it every second until interrupted")
	machine := machineFlags(fl)
	return func() error {
		redraw := !*asJSON && command.IsTerminal(c.Out)
		return c.Show(*watch, redraw, func(w io.Writer) error { return observe.ShowStatus(w, machine, *asJSON) })
	}
}

// machineFlags declares the flags that say where the daemons of this machine publish, and where
// they are configured. The Machine that it returns is complete once the flags are parsed.
func machineFlags(fl *flag.FlagSet) *observe.Machine {
	m := &observe.Machine{Mono: phc.MonoRaw}
	fl.StringVar(&m.Snapshot, "snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	fl.StringVar(&m.Serving, "counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	fl.StringVar(&m.Refclockd, "config", refclockd.DefaultPath, "configuration `FILE` of refclockd; without it ntsserve serves another clock")
	fl.StringVar(&m.Ntsserve, "server", ntsserve.DefaultPath, "configuration `FILE` of ntsserve; where it exists, and the unit is enabled, ntsserve is expected to answer")
	return m
}

// statusCode is the exit code of the commands that show what a daemon publishes, or what a
// device does: any other failure is theirs.
func statusCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, command.ErrOutput):
		return exitcode.Software
	case errors.Is(err, observe.ErrNoClients):
		return exitcode.Config
	}
	return exitcode.Unavailable
}

func waitCommand() command.Command {
	return command.Command{
		Name: "wait", About: "wait until refclockd is locked, or in another state", Prepare: command.NoArgs(prepareWait), Code: statusCode,
		Text: `
-for is one of:

    locked, holdover,     the state that status shows, published now
    acquiring, unlocked,
    faulty
    synchronised          locked or in holdover, with the error bound within its limit:
                          servers of time answer with it
    system-clock          the kernel reports that the system clock is synchronised

A refclockd that does not run yet, or not any more, is waited for.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "at most ten minutes until the clock is locked", Line: "refclockctl wait -for locked -timeout 10m"}},
			Exits: []command.Exit{
				{Code: exitcode.OK, When: "it is so"},
				{Code: exitcode.Usage},
				{Code: exitcode.Unavailable, When: "it is not within -timeout"},
			},
		},
	}
}

// prepareWait is the wait command.
func prepareWait(fl *flag.FlagSet, c command.Console) func() error {
	what := fl.String("for", status.Locked.String(), "the state to wait for, or `WHAT` else: synchronised, system-clock")
	timeout := fl.Duration("timeout", 0, "how long to wait at most; 0: for ever")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func() error {
		if err := observe.CheckAwaited(*what); err != nil {
			return command.Usagef("-for %w", err)
		}
		if *timeout < 0 {
			return command.Usagef("-timeout %v is negative", *timeout)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		if *timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *timeout)
			defer cancel()
		}
		return observe.WaitFor(ctx, *what, *path)
	}
}

func topCommand() command.Command {
	return command.Command{
		Name: "top", About: "show clock, sky and server live in the terminal", Prepare: command.NoArgs(prepareTop), Code: statusCode,
		Text: `
Shows the clock and its server live: the state in sentences, the offset of the last
minutes, the bound as a part of its limit, satellites and requests. Ctrl-C ends it.
Without a terminal it prints one picture after the other.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "one picture", Line: "refclockctl top -n 1"}},
		},
	}
}

// prepareTop is the top command.
func prepareTop(fl *flag.FlagSet, c command.Console) func() error {
	n := fl.Int("n", 0, "end after `COUNT` pictures, one a second; 0: when interrupted")
	machine := machineFlags(fl)
	return func() error {
		if *n < 0 {
			return command.Usagef("-n %d is negative; want a number of pictures, or 0", *n)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		return command.Written(top.Show(ctx, c.Out, machine.Look, *n))
	}
}

func relockCommand() command.Command {
	return command.Command{
		Name: "relock", About: "make refclockd discard its lock and acquire anew", Prepare: command.NoArgs(prepareRelock), Code: statusCode,
		Text: `
Makes refclockd discard its lock and acquire phase and second anew, and says what
is discarded. What was learned of the oscillator stays. Needs the right to signal
refclockd: run it as root or as its user.
`,
	}
}

// prepareRelock is the relock command.
func prepareRelock(fl *flag.FlagSet, c command.Console) func() error {
	dry := fl.Bool("n", false, "only say what would be discarded")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func() error {
		ctx, stop := command.Interruptible()
		defer stop()
		return observe.Relock(ctx, c.Out, *path, *dry)
	}
}
