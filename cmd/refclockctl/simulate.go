package main

import (
	"errors"
	"flag"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/simulate"
	"noonmark/refclock/discipline"
)

func simulateCommand() command.Command {
	return command.Command{
		Name: "simulate", About: "run the discipline on a virtual appliance or a recorded series",
		Prepare: command.NoArgs(prepareSimulate), Code: simulateCode,
		Usage: []string{
			"-scenario NAME|FILE.toml [-seed N] [-duration D] [-csv FILE] [-json]",
			"-scenario NAME|FILE.toml|all -seeds FIRST-LAST [-duration D]",
			"-series FILE.csv [-csv FILE] [-json]",
			"-scenario list",
		},
		Text: `
Runs the daemon's engine and discipline against a virtual appliance, or against a
recorded series of an oscillator and its pulses, in virtual time, and compares the
result with the truth. -json prints one object a second (t, state, reason, served,
error_ns, bound_ns, stratum), then a summary.
`,
		Manual: command.Manual{Examples: []command.Example{
			{For: "an hour of a Compute Module with a ZED-F9T, one line a second in run.csv", Line: "refclockctl simulate -scenario cm4-f9t -duration 1h -csv run.csv"},
		}},
	}
}

// prepareSimulate is the simulate command.
func prepareSimulate(fl *flag.FlagSet, c command.Console) func() error {
	var q simulate.Request
	fl.StringVar(&q.Scenario, "scenario", "", "a scenario's `NAME`, or a FILE.toml; list prints the names, all runs all of them")
	fl.StringVar(&q.Series, "series", "", "a recorded `FILE.csv` ("+simulate.SeriesHeader+")")
	fl.Uint64Var(&q.Seed, "seed", 1, "seed of the noise")
	fl.StringVar(&q.Seeds, "seeds", "", "seeds `FIRST-LAST`: print one line of figures for each scenario")
	fl.DurationVar(&q.Duration, "duration", 0, "length of the run, instead of the scenario's own")
	fl.StringVar(&q.CSV, "csv", "", "write one line a second to `FILE` (- is standard output, the default with -series)")
	fl.BoolVar(&q.JSON, "json", false, "print one JSON object a second, then a summary")
	fl.StringVar(&q.Servo, "servo", "kalman", "the estimator: kalman or pi")
	return func() error {
		switch {
		case (q.Scenario == "") == (q.Series == ""):
			return command.Usagef("want either -scenario or -series")
		case q.Many() && (q.Series != "" || q.JSON || q.CSV != ""):
			return command.Usagef("a table of many runs has no -series, -json or -csv")
		case q.JSON && q.CSV == "-":
			return command.Usagef("-json and -csv - both write to standard output")
		case q.Scenario == "list":
			return simulate.List(c.Out)
		}
		return q.Run(c.Out, c.Err)
	}
}

// simulateCode: a series that cannot be used is like a device that is missing.
func simulateCode(err error) int {
	if errors.Is(err, simulate.ErrSeries) {
		return exitcode.Unavailable
	}
	return exitcode.Of(err)
}

func servoCommand() command.Command {
	return command.Command{
		Name: "servo", About: "speak the servo bench's lock-step interface", Prepare: command.NoArgs(prepareServo), Code: servoCode,
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
func prepareServo(fl *flag.FlagSet, c command.Console) func() error {
	stdio := fl.Bool("stdio", false, "speak the lock-step interface on standard input and output")
	bench := fl.Bool("bench", false, "print a table of the discipline beside the theoretical limit, over scenarios and seeds")
	names := fl.String("scenario", "all", "with -bench: scenario `NAMES`, separated by commas")
	seeds := fl.String("seeds", "1-20", "with -bench: seeds `FIRST-LAST`")
	kind := fl.String("servo", "kalman", "the estimator: kalman or pi")
	return func() error {
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
		return simulate.Bench(c.Out, cfg, *names, *seeds)
	}
}

func servoCode(err error) int {
	if errors.Is(err, simulate.ErrStep) {
		return exitcode.DataErr
	}
	return exitcode.IO
}
