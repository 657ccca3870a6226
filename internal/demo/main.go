// Command demo runs the whole appliance on this machine: a simulated receiver,
// pulse and oscillator, refclockd, ntsserve on loopback with a private
// certificate authority, the web page, and ntsquery as its client. It shows the states until
// the clock is locked, and the true error of each reading beside the bound that
// was published for it.
package main

import (
	"context"
	"flag"
	"os"

	"noonmark/internal/command"
)

func main() {
	p := commandLine()
	os.Exit(p.Main(os.Args[1:], command.Standard()))
}

// exitFailed is the exit code when there was no valid reading.
const exitFailed = 1

func commandLine() command.Command {
	return command.Command{
		Name: "demo", About: "run the whole appliance on loopback, simulated", Code: func(error) int { return exitFailed },
		Prepare: command.NoArgs(func(fl *flag.FlagSet, c command.Console) func() error {
			d := newDemo(c.Out)
			fl.BoolVar(&d.once, "once", false, "stop after the first authenticated reading of a locked clock and print it as JSON")
			fl.BoolVar(&d.story, "story", false, "five minutes of an appliance's life: an antenna failure, recovery, jamming")
			fl.StringVar(&d.bin, "bin", "bin", "the `DIRECTORY` of the programs")
			fl.Uint64Var(&d.seed, "seed", 1, "seed of the simulated noise")
			return func() error {
				ctx, stop := command.Interruptible()
				defer stop()
				return d.show(ctx)
			}
		}),
	}
}

// show runs until ctx ends, which is no error, except with -once before there was a reading.
func (d *demo) show(ctx context.Context) error {
	err := d.run(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case d.once && !d.done:
		return &command.ExitError{Code: exitFailed}
	}
	return nil
}
