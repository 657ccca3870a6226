package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"noonmark/internal/simulate"
	"noonmark/refclock/discipline"
)

const servoHelp = `usage: refclockctl servo -stdio [-servo kalman|pi]
       refclockctl servo -bench [-scenario NAME,...] [-seeds FIRST-LAST] [-servo kalman|pi]

-stdio runs the daemon's discipline in lock step with a simulator on standard input
and output. Each line "t_s offset_ns" (nan: no edge) is answered by one line
"freq_ppb step_ns". -bench runs the simulator in this process and compares the
discipline with the theoretical limit.

`

// runServo is the servo command.
func runServo(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("servo", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, servoHelp); fl.PrintDefaults() }
	stdio := fl.Bool("stdio", false, "speak the lock-step interface on standard input and output")
	bench := fl.Bool("bench", false, "print a table of the discipline beside the theoretical limit, over scenarios and seeds")
	names := fl.String("scenario", "all", "with -bench: scenario `NAMES`, separated by commas")
	seeds := fl.String("seeds", "1-20", "with -bench: seeds `FIRST-LAST`")
	kind := fl.String("servo", "kalman", "the estimator: kalman or pi")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fl.NArg() > 0 || *stdio == *bench {
		fl.Usage()
		return exitUsage
	}
	fail := func(code int, err error) int {
		fmt.Fprintf(stderr, "refclockctl: servo: %v\n", err)
		return code
	}
	cfg := discipline.Config{Servo: *kind, GivenSecond: true, Confirm: 2}
	if err := cfg.Check(); err != nil {
		return fail(exitUsage, err)
	}
	if *bench {
		lo, hi, err := simulate.ParseSeeds(*seeds)
		if err == nil {
			err = simulate.Bench(stdout, cfg, *names, lo, hi)
		}
		if err != nil {
			return fail(exitUsage, err)
		}
		return exitOK
	}
	switch err := simulate.ServeLockStep(cfg, stdin, stdout); {
	case errors.Is(err, simulate.ErrStep):
		return fail(exitDataErr, err)
	case err != nil:
		return fail(exitIO, err)
	}
	return exitOK
}
