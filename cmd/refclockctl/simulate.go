package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
	"noonmark/internal/simulate"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
)

// runSimulate is the simulate command: the daemon's engine and discipline on a
// virtual appliance, in virtual time.
func runSimulate(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("refclockctl simulate", flag.ContinueOnError)
	fl.SetOutput(stderr)
	name := fl.String("scenario", "", "a scenario by `NAME`, or a FILE.toml; list shows the names, all runs all")
	series := fl.String("series", "", "a recorded `FILE.csv` of oscillator and pulses ("+simulate.SeriesHeader+")")
	seed := fl.Uint64("seed", 1, "of the noise of a scenario")
	seeds := fl.String("seeds", "", "many of them, `FIRST-LAST`: one line of figures for each scenario")
	dur := fl.Duration("duration", 0, "of the run, instead of the scenario's own")
	out := fl.String("csv", "", "write one line a second to `FILE` (- is standard output); with -series the default is -")
	kind := fl.String("servo", "kalman", "kalman or pi")
	fl.Usage = func() {
		fmt.Fprintf(stderr, "usage: refclockctl simulate -scenario NAME|FILE.toml [-seed N] [-duration D] [-csv FILE]\n       refclockctl simulate -scenario NAME|FILE.toml|all -seeds FIRST-LAST [-duration D]\n       refclockctl simulate -series FILE.csv [-csv FILE]\n")
		fl.PrintDefaults()
	}
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	fail := func(code int, err error) int {
		fmt.Fprintf(stderr, "refclockctl: simulate: %v\n", err)
		return code
	}
	if fl.NArg() > 0 || (*name == "") == (*series == "") {
		fl.Usage()
		return exitUsage
	}
	if *name == "list" {
		for _, s := range sim.Scenarios() {
			fmt.Fprintf(stdout, "%-17s %8v  %s\n", s.Name, s.Duration, s.About)
		}
		return exitOK
	}
	if *seeds != "" || *name == "all" {
		return simulateMany(*name, *seeds, *kind, *dur, *seed, stdout, fail)
	}
	var sc sim.Scenario
	var err error
	t0 := 0.0
	if *series != "" {
		if sc, t0, err = simulate.ReadSeries(*series); err != nil {
			return fail(exitUnavailable, err)
		}
		if *out == "" {
			*out = "-"
		}
	} else if sc, err = simulate.FindScenario(*name); err != nil {
		var ce *config.Error
		if errors.As(err, &ce) {
			return fail(exitcode.Of(err), err)
		}
		return fail(exitUsage, err)
	}
	if *dur > 0 {
		sc.Duration = *dur
	}
	sc.Engine.Discipline.Servo = *kind
	if err := sc.Engine.Discipline.Check(); err != nil {
		return fail(exitUsage, err)
	}
	l, err := sc.Loop(*seed)
	if err != nil {
		return fail(exitSoftware, err)
	}
	w := bufio.NewWriter(io.Discard)
	report := stdout
	switch *out {
	case "":
	case "-":
		w, report = bufio.NewWriter(stdout), stderr
	default:
		f, err := os.Create(*out)
		if err != nil {
			return fail(exitcode.Of(err), err)
		}
		defer f.Close()
		w = bufio.NewWriter(f)
	}
	began := time.Now()
	sum := simulate.Run(l, sc.Duration, t0, w)
	if err := w.Flush(); err != nil {
		return fail(exitSoftware, err)
	}
	sum.Print(report, sc, *seed, l, time.Since(began))
	return exitOK
}

// simulateMany prints a table of scenarios over many seeds.
func simulateMany(name, seeds, kind string, dur time.Duration, seed uint64, w io.Writer, fail func(int, error) int) int {
	scs := sim.Scenarios()
	if name != "all" {
		sc, err := simulate.FindScenario(name)
		if err != nil {
			return fail(exitUsage, err)
		}
		scs = []sim.Scenario{sc}
	}
	lo, hi, err := seed, seed, error(nil)
	if seeds != "" {
		lo, hi, err = simulate.ParseSeeds(seeds)
	}
	if err == nil {
		err = (discipline.Config{Servo: kind}).Check()
	}
	if err != nil {
		return fail(exitUsage, err)
	}
	if err := simulate.Table(scs, kind, dur, lo, hi, w); err != nil {
		return fail(exitSoftware, err)
	}
	return exitOK
}
