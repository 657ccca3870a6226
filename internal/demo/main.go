// Command demo runs the whole appliance on this machine: a simulated receiver,
// pulse and oscillator, refclockd, ntsserve on loopback with a private
// certificate authority, the web page, and ntsquery as its client. It shows the states until
// the clock is locked, and the true error of each reading beside the bound that
// was published for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"noonmark/internal/exitcode"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// exitFailed is the exit code when there was no valid reading.
const exitFailed = 1

func run(args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("demo", flag.ContinueOnError)
	fl.SetOutput(stderr)
	d := newDemo(stdout)
	fl.BoolVar(&d.once, "once", false, "stop after the first authenticated reading of a locked clock and print it as JSON")
	fl.BoolVar(&d.story, "story", false, "five minutes of an appliance's life: an antenna failure, recovery, jamming")
	fl.StringVar(&d.bin, "bin", "bin", "the `DIRECTORY` of the programs")
	fl.Uint64Var(&d.seed, "seed", 1, "seed of the simulated noise")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitcode.OK
		}
		return exitcode.Usage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := d.run(ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, "demo:", err)
		return exitFailed
	}
	if d.once && !d.done {
		return exitFailed // interrupted before there was a reading
	}
	return exitcode.OK
}
