package main

import (
	"context"
	"flag"
	"slices"
	"strings"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/nearest"
	"noonmark/internal/observe"
	"noonmark/refclock/status"
)

func waitCommand() command.Command {
	return command.Command{
		Name: "wait", About: "wait until refclockd is locked, or in another state", Prepare: prepareWait, Code: statusCode,
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
func prepareWait(fl *flag.FlagSet, c command.Console) func([]string) error {
	what := fl.String("for", status.Locked.String(), "the state to wait for, or `WHAT` else: synchronised, system-clock")
	timeout := fl.Duration("timeout", 0, "how long to wait at most; 0: for ever")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		words := observe.Awaitable()
		if !slices.Contains(words, *what) {
			if n := nearest.Word(*what, words); n != "" {
				return command.Usagef("-for %s is not known; did you mean %s?", *what, n)
			}
			return command.Usagef("-for %s is not known; want one of %s", *what, strings.Join(words, ", "))
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
