package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/simulate"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
)

func simulateCommand() command.Command {
	return command.Command{
		Name: "simulate", About: "run the discipline on a virtual appliance or a recorded series", Prepare: prepareSimulate,
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
func prepareSimulate(fl *flag.FlagSet, con command.Console) func([]string) error {
	c := simulateOptions{Console: con}
	fl.StringVar(&c.scenario, "scenario", "", "a scenario's `NAME`, or a FILE.toml; list prints the names, all runs all of them")
	fl.StringVar(&c.series, "series", "", "a recorded `FILE.csv` ("+simulate.SeriesHeader+")")
	fl.Uint64Var(&c.seed, "seed", 1, "seed of the noise")
	fl.StringVar(&c.seeds, "seeds", "", "seeds `FIRST-LAST`: print one line of figures for each scenario")
	fl.DurationVar(&c.duration, "duration", 0, "length of the run, instead of the scenario's own")
	fl.StringVar(&c.csv, "csv", "", "write one line a second to `FILE` (- is standard output, the default with -series)")
	fl.BoolVar(&c.json, "json", false, "print one JSON object a second, then a summary")
	fl.StringVar(&c.servo, "servo", "kalman", "the estimator: kalman or pi")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		many := c.seeds != "" || c.scenario == "all"
		switch {
		case (c.scenario == "") == (c.series == ""):
			return command.Usagef("want either -scenario or -series")
		case many && (c.series != "" || c.json || c.csv != ""):
			return command.Usagef("a table of many runs has no -series, -json or -csv")
		case c.json && c.csv == "-":
			return command.Usagef("-json and -csv - both write to standard output")
		case c.scenario == "list":
			for _, s := range sim.Scenarios() {
				fmt.Fprintf(c.Out, "%-17s %8v  %s\n", s.Name, s.Duration, s.About)
			}
			return nil
		case many:
			return c.table()
		}
		return c.one()
	}
}

// simulateOptions is a command with its options.
type simulateOptions struct {
	scenario, series, seeds, csv, servo string
	seed                                uint64
	duration                            time.Duration
	json                                bool
	command.Console
}

// one runs one scenario or series with one seed.
func (c *simulateOptions) one() error {
	r := simulate.Run{Seed: c.seed}
	var err error
	if c.series != "" {
		r.Scenario, r.T0, err = simulate.ReadSeries(c.series)
		if err != nil {
			return &command.ExitError{Code: exitcode.Unavailable, Err: err}
		}
		if c.csv == "" && !c.json {
			c.csv = "-"
		}
	} else if r.Scenario, err = simulate.FindScenario(c.scenario); err != nil {
		return scenarioError(err)
	}
	if err := c.configure(&r.Scenario); err != nil {
		return err
	}
	text := c.Out
	switch {
	case c.json:
		r.JSON, text = c.Out, io.Discard
	case c.csv == "-":
		r.CSV, text = c.Out, c.Err
	}
	if c.csv != "" && c.csv != "-" {
		f, err := os.Create(c.csv)
		if err != nil {
			return err
		}
		defer f.Close()
		r.CSV = f
	}
	st, err := r.Play()
	if err != nil {
		return err
	}
	return st.Print(text)
}

// table prints a table of scenarios over seeds.
func (c *simulateOptions) table() error {
	all := sim.Scenarios()
	if c.scenario != "all" {
		s, err := simulate.FindScenario(c.scenario)
		if err != nil {
			return scenarioError(err)
		}
		all = []sim.Scenario{s}
	}
	lo, hi := c.seed, c.seed
	if c.seeds != "" {
		var err error
		if lo, hi, err = simulate.ParseSeeds(c.seeds); err != nil {
			return command.Usagef("%w", err)
		}
	}
	for i := range all {
		if err := c.configure(&all[i]); err != nil {
			return err
		}
	}
	return simulate.Table(c.Out, all, lo, hi)
}

// configure sets in a scenario what the options say.
func (c *simulateOptions) configure(s *sim.Scenario) error {
	if c.duration > 0 {
		s.Duration = c.duration
	}
	s.Engine.Discipline.Servo = c.servo
	if err := (discipline.Config{Servo: c.servo}).Check(); err != nil {
		return command.Usagef("%w", err)
	}
	return nil
}

// scenarioError gives an unknown name the exit code of a wrong command line.
func scenarioError(err error) error {
	if errors.Is(err, simulate.ErrScenario) {
		return command.Usagef("%w", err)
	}
	return err
}
