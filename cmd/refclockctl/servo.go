package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// runServo is "refclockctl servo -stdio": the discipline of the daemon (gate,
// servo, step policy) in lock step with a simulator. A line "t_s offset_ns" (or
// nan: no edge) is answered by "freq_ppb step_ns". The second is taken as given.
// With -bench the simulator is in here.
func runServo(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	const usage, unavailable = 64, 74 // sysexits
	fs := flag.NewFlagSet("refclockctl servo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	stdio := fs.Bool("stdio", false, "speak the lock-step interface on standard input and output")
	bench := fs.Bool("bench", false, "close the loop in here: print a table over scenarios and seeds, with the limit of theory")
	names := fs.String("scenario", "all", "with -bench: scenarios, separated by commas")
	seeds := fs.String("seeds", "1-20", "with -bench: `FIRST-LAST`")
	kind := fs.String("servo", "kalman", "kalman or pi")
	if err := fs.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return 0
		}
		return usage
	}
	cfg := discipline.Config{Servo: *kind, GivenSecond: true, Confirm: 2}
	lo, hi, err := parseSeeds(*seeds)
	if err == nil {
		err = cfg.Check()
	}
	if err == nil && *bench && !*stdio && fs.NArg() == 0 {
		if err = runBench(cfg, *names, lo, hi, stdout); err == nil {
			return 0
		}
	}
	if err != nil || !*stdio || *bench || fs.NArg() > 0 {
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl servo: %v\n", err)
		} else {
			fmt.Fprintln(stderr, "usage: refclockctl servo -stdio [-servo kalman|pi]\n       refclockctl servo -bench [-scenario NAME,...] [-seeds FIRST-LAST] [-servo kalman|pi]")
		}
		return usage
	}
	l := lockStep{c: discipline.New(cfg)}
	in, out := bufio.NewScanner(stdin), bufio.NewWriter(stdout)
	for n := 1; in.Scan(); n++ {
		t, offset, err := parseStep(in.Text())
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl servo: line %d: %v\n", n, err)
			return 65
		}
		freq, step := l.next(t, offset)
		fmt.Fprintf(out, "%.6f %.3f\n", freq, step)
		if err := out.Flush(); err != nil {
			return unavailable
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintf(stderr, "refclockctl servo: read: %v\n", err)
		return unavailable
	}
	return 0
}

// parseStep reads "t_s offset_ns"; an offset of nan means no edge.
func parseStep(line string) (t, offset float64, err error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return 0, 0, fmt.Errorf("%q: need \"t_s offset_ns\"", line)
	}
	if t, err = strconv.ParseFloat(f[0], 64); err != nil || !(t >= 0 && t < 1e9) {
		return 0, 0, fmt.Errorf("%q is no time in seconds", f[0])
	}
	if offset, err = strconv.ParseFloat(f[1], 64); err != nil || math.Abs(offset) > 1e18 {
		return 0, 0, fmt.Errorf("%q is no offset in ns", f[1])
	}
	return t, offset, nil
}

// lockStep drives a controller from whole simulated seconds.
type lockStep struct {
	c     *discipline.Controller
	moved float64 // ns by which it moved the clock so far
}

// next gives one second to the controller. What it wants stepped is stepped at
// once; whole seconds are known, as the offset says them.
func (l *lockStep) next(t, offset float64) (freqPPB, stepNS float64) {
	const start = 1e9 // s: any instant will do
	mono := int64(start+math.Round(t)) * 1e9
	nominal := tai.Time(mono)
	if math.IsNaN(offset) {
		// Without an edge nobody says where the clock is: where we moved it.
		freqPPB = l.c.Tick(mono, nominal+tai.Time(math.Round(l.moved))).FreqPPB
		l.moved += freqPPB
		return freqPPB, 0
	}
	s := l.c.Status()
	whole := 0.0
	if s.State == status.Locked || s.State == status.Holdover {
		// An edge at another time than a whole second is so on every clock.
		mono += int64(math.Round(offset - s.EstNS))
	} else {
		whole = math.Round(offset/1e9) * 1e9
	}
	a := l.c.Pulse(discipline.Pulse{Clock: nominal + tai.Time(math.Round(offset-whole)), Mono: mono})
	if a.Step != 0 {
		l.c.Stepped(mono, a.Step)
		a.FreqPPB = l.c.Status().FreqPPB
	}
	stepNS = float64(a.Step) - whole
	l.moved += a.FreqPPB + stepNS
	return a.FreqPPB, stepNS
}
