package main

import (
	"errors"
	"flag"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/simulate"
	"noonmark/refclock/discipline"
)

func servoCommand() command.Command {
	return command.Command{
		Name: "servo", About: "speak the servo bench's lock-step interface", Prepare: prepareServo, Code: servoCode,
		Usage: []string{"-stdio [-servo kalman|pi]", "-bench [-scenario NAME,...] [-seeds FIRST-LAST] [-servo kalman|pi]"},
		Text: `
-stdio runs the daemon's discipline in lock step with a simulator on standard input
and output. Each line "t_s offset_ns" (nan: no edge) is answered by one line
"freq_ppb step_ns". -bench runs the simulator in this process and compares the
discipline with the theoretical limit.
`,
	}
}

// prepareServo is the servo command.
func prepareServo(fl *flag.FlagSet, c command.Console) func([]string) error {
	stdio := fl.Bool("stdio", false, "speak the lock-step interface on standard input and output")
	bench := fl.Bool("bench", false, "print a table of the discipline beside the theoretical limit, over scenarios and seeds")
	names := fl.String("scenario", "all", "with -bench: scenario `NAMES`, separated by commas")
	seeds := fl.String("seeds", "1-20", "with -bench: seeds `FIRST-LAST`")
	kind := fl.String("servo", "kalman", "the estimator: kalman or pi")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		if *stdio == *bench {
			return command.Usagef("want either -stdio or -bench")
		}
		cfg := discipline.Config{Servo: *kind, GivenSecond: true, Confirm: 2}
		if err := cfg.Check(); err != nil {
			return command.Usagef("%w", err)
		}
		if *stdio {
			return simulate.ServeLockStep(cfg, c.In, c.Out)
		}
		lo, hi, err := simulate.ParseSeeds(*seeds)
		if err != nil {
			return command.Usagef("%w", err)
		}
		return scenarioError(simulate.Bench(c.Out, cfg, *names, lo, hi))
	}
}

func servoCode(err error) int {
	if errors.Is(err, simulate.ErrStep) {
		return exitcode.DataErr
	}
	return exitcode.IO
}
