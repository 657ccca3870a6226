package main

import (
	"flag"

	"noonmark/internal/command"
	"noonmark/internal/observe"
	"noonmark/internal/top"
	"noonmark/refclock/status"
)

func topCommand() command.Command {
	return command.Command{
		Name: "top", About: "show clock, sky and server live in the terminal", Prepare: prepareTop, Code: statusCode,
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
func prepareTop(fl *flag.FlagSet, c command.Console) func([]string) error {
	n := fl.Int("n", 0, "end after `COUNT` pictures, one a second; 0: when interrupted")
	snapshot := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	counters := fl.String("counters", observe.DefaultServing, "the `FILE` that ntsserve writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		if *n < 0 {
			return command.Usagef("-n %d is negative; want a number of pictures, or 0", *n)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		return command.Written(top.Show(ctx, c.Out, func() top.State { return top.Look(*snapshot, *counters) }, *n))
	}
}
