package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/history"
	"noonmark/internal/stability"
)

func stabilityCommand() command.Command {
	return command.Command{
		Name: "stability", About: "compute ADEV, MDEV, TDEV and MTIE of the kept measurements", Prepare: prepareStability, Code: stabilityCode,
		Text: `
Computes the stability of phase data that refclockd keeps: the overlapping Allan
deviation ADEV, the modified Allan deviation MDEV, the time deviation TDEV and the
maximum time interval error MTIE. Seconds are kept for 30 days; gaps are left out.

The column offset_ns is the clock against the pulses of its own receiver. It shows
clock and receiver together, and nothing that both have in common: the delay of the
antenna's cable, or a receiver that is wrong. So with -mask it can show that a clock
violates ITU-T G.8272, but not that it keeps it. The phase of a clock against another
receiver or a better clock is in the columns compared_pulse_ns:NAME and witness_ns:NAME.

-export writes the phase data themselves.

T is an instant such as 2026-11-28, 2026-11-28T12:00:00Z, or a time ago: 10m, 36h, 7d.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "the last week against the mask of a PRTC-A", Line: "refclockctl stability -from 7d -mask prtc-a"}},
		},
	}
}

// errNoPhase: nothing to compute with.
var errNoPhase = errors.New("no phase data in this range")

// prepareStability is the stability command.
func prepareStability(fl *flag.FlagSet, c command.Console) func([]string) error {
	where := keptFlags(fl)
	now := time.Now()
	from, to := command.Before(now, "24h"), command.Before(now, "0s")
	fl.Var(&from, "from", "the first instant `T`")
	fl.Var(&to, "to", "before this instant `T`")
	column := fl.String("column", history.Offset, "the phase, a column in ns by `NAME`")
	mask := fl.String("mask", "", "compare with a mask of ITU-T G.8272 by `NAME`: prtc-a or prtc-b")
	asJSON := fl.Bool("json", false, "print one JSON object")
	export := fl.String("export", "", "write the phase data in a `FORMAT`: csv or stable32")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		if *export != "" && *export != "csv" && *export != "stable32" {
			return command.Usagef("-export %s: want csv or stable32", *export)
		}
		limits, err := maskOf(*mask)
		if err != nil {
			return err
		}
		dir, err := where.path()
		if err != nil {
			return err
		}
		res, err := history.Open(dir).Query(history.Query{From: from.Time, To: to.Time, MaxPoints: history.MaxPoints, Columns: []string{*column}, Exact: true})
		if err != nil {
			return err
		}
		for _, d := range res.Damage {
			fmt.Fprintf(c.Err, "refclockctl: stability: damage in %s: %d octets skipped: %s\n", d.File, d.Octets, d.Why)
		}
		s := res.Of(*column)
		if s == nil {
			return fmt.Errorf("%w: there are no seconds of %q from %s to %s", errNoPhase, *column, &from, &to)
		}
		switch *export {
		case "csv":
			return command.Written(stability.WriteCSV(c.Out, s.Mean, res.Time(0), time.Second))
		case "stable32":
			return command.Written(stability.WriteStable32(c.Out, s.Mean))
		}
		summary, err := stability.Summarise(*column, res.Time(0), s.Mean, limits)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return command.Written(json.NewEncoder(c.Out).Encode(summary))
		}
		return command.Written(summary.WriteText(c.Out))
	}
}

// maskOf returns a mask by its name, nil for none.
func maskOf(name string) (*stability.Mask, error) {
	if name == "" {
		return nil, nil
	}
	if m := stability.MaskNamed(name); m != nil {
		return m, nil
	}
	return nil, command.Usagef("-mask %s: want prtc-a or prtc-b", name)
}

// stabilityCode is the exit code of the stability command.
func stabilityCode(err error) int {
	if errors.Is(err, errNoPhase) || errors.Is(err, stability.ErrTooFew) {
		return exitcode.NoInput
	}
	return historyCode(err)
}
