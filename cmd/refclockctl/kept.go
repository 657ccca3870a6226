package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/events"
	"noonmark/internal/exitcode"
	"noonmark/internal/history"
	"noonmark/internal/stability"
)

// historyDir declares the flags that say where history and events are kept. The function
// that it returns is the folder.
func historyDir(fl *flag.FlagSet) func() (string, error) {
	return historyDirOf(fl, fl.String("config", refclockd.DefaultPath, "refclockd's configuration `FILE`, which names the folder"))
}

// historyDirOf is historyDir where -config is declared already.
func historyDirOf(fl *flag.FlagSet, config *string) func() (string, error) {
	dir := fl.String("dir", "", "the `DIR` of the history (default that of refclockd's configuration)")
	return func() (string, error) {
		if *dir != "" {
			return *dir, nil
		}
		path, err := refclockd.HistoryDirOf(*config)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w; name a folder with -dir", err)
		}
		return path, err
	}
}

// rangeFlags declares the flags of a range of time, by default the last day.
func rangeFlags(fl *flag.FlagSet) (from, to *command.Instant) {
	now := time.Now()
	first, end := command.Before(now, "24h"), command.Before(now, "0s")
	fl.Var(&first, "from", "the first instant `T`")
	fl.Var(&end, "to", "before this instant `T`")
	return &first, &end
}

// keptCode is the exit code of the commands that read what refclockd keeps.
func keptCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoPhase), errors.Is(err, stability.ErrTooFew):
		return exitcode.NoInput
	case errors.Is(err, history.ErrQuery):
		return exitcode.Usage
	case errors.Is(err, command.ErrOutput):
		return exitcode.Software
	}
	return exitcode.Of(err)
}

func eventsCommand() command.Command {
	return command.Command{
		Name: "events", About: "show what happened: states, steps, holdovers, leap seconds, alarms",
		Prepare: command.NoArgs(prepareEvents), Code: keptCode,
		Text: `
Shows what happened to refclockd: changes of state with their reason, steps of the
clock, holdovers with length, largest bound and error at return, leap seconds,
reloads, alarms, starts. The latest event is the last line.

T is an instant such as 2026-11-28, 2026-11-28T12:00:00Z, or a time ago: 10m, 36h, 7d.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "follow what happens", Line: "refclockctl events -follow"}},
		},
	}
}

// prepareEvents is the events command.
func prepareEvents(fl *flag.FlagSet, c command.Console) func() error {
	folder := historyDir(fl)
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	follow := fl.Bool("follow", false, "go on with new events until interrupted")
	kinds := fl.String("kind", "", "only these kinds, a `LIST` such as step,holdover")
	from, to := command.NewInstant(time.Now), command.NewInstant(time.Now)
	fl.Var(&from, "from", "the first instant `T` (default the beginning)")
	fl.Var(&to, "to", "before this instant `T` (default the end)")
	limit := fl.Int("n", 1000, "the latest `COUNT` events at most")
	return func() error {
		q := events.Query{From: from.Time, To: to.Time, Limit: *limit}
		if *limit < 1 || *limit > events.MaxEvents {
			return command.Usagef("-n %d: want 1 to %d", *limit, events.MaxEvents)
		}
		var err error
		if q.Kinds, err = events.ParseKinds(*kinds); err != nil {
			return command.Usagef("-kind: %w", err)
		}
		dir, err := folder()
		if err != nil {
			return err
		}
		p := events.Printer{To: c.Out, JSON: *asJSON}
		tail := events.NewTail(dir)
		found, skipped, err := events.Read(dir, q)
		if err != nil {
			return err
		}
		if skipped > 0 {
			c.Warnf("%d damaged lines skipped", skipped)
		}
		if err := p.Print(found); err != nil || !*follow {
			return command.Written(err)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		return command.Written(p.Follow(ctx, tail, q.Kinds))
	}
}

func historyCommand() command.Command {
	return command.Command{
		Name: "history", About: "show measurements of a day, a month or years", Prepare: command.NoArgs(prepareHistory), Code: keptCode,
		Text: `
Shows measurements that refclockd keeps: offset, bound, frequency, temperature,
noise, satellites, witnesses. Without -csv and -json it shows each column's lowest,
mean and highest value of the range, and how much of the range has values.

-csv prints one line for each step of the range: the time, and for each column its
mean; with a step of more than a second also its lowest and highest value
(NAME_min, NAME_max). An empty field is a value that is missing. The step is the
finest with which there are at most N points.

T is an instant such as 2026-11-28, 2026-11-28T12:00:00Z, or a time ago: 10m, 36h, 7d.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "the last day as CSV", Line: "refclockctl history -from 24h -csv"}},
		},
	}
}

// prepareHistory is the history command.
func prepareHistory(fl *flag.FlagSet, c command.Console) func() error {
	folder := historyDir(fl)
	asCSV := fl.Bool("csv", false, "print comma-separated values")
	asJSON := fl.Bool("json", false, "print one JSON object")
	from, to := rangeFlags(fl)
	points := fl.Int("points", 1500, "the largest number `N` of points")
	columns := fl.String("columns", "", "only these columns, such as `offset_ns,bound_ns`")
	return func() error {
		if *asCSV && *asJSON {
			return command.Usagef("want -csv or -json, not both")
		}
		q := history.Query{From: from.Time, To: to.Time, MaxPoints: *points}
		if *columns != "" {
			q.Columns = strings.Split(*columns, ",")
		}
		dir, err := folder()
		if err != nil {
			return err
		}
		res, err := history.Open(dir).Query(q)
		if err != nil {
			return err
		}
		for _, name := range q.Columns {
			if res.Of(name) == nil {
				c.Warnf("no value of %q in this range", name)
			}
		}
		for _, d := range res.Damage {
			c.Warnf("%v", d)
		}
		res.SortColumns()
		if *asCSV {
			return command.Written(res.WriteCSV(c.Out))
		}
		return command.Print(c.Out, *asJSON, res, res.WriteText)
	}
}

func stabilityCommand() command.Command {
	return command.Command{
		Name: "stability", About: "compute ADEV, MDEV, TDEV and MTIE of the kept measurements",
		Prepare: command.NoArgs(prepareStability), Code: keptCode,
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
func prepareStability(fl *flag.FlagSet, c command.Console) func() error {
	folder := historyDir(fl)
	from, to := rangeFlags(fl)
	column := fl.String("column", history.Offset, "the phase, a column in ns by `NAME`")
	mask := fl.String("mask", "", "compare with a mask of ITU-T G.8272 by `NAME`: prtc-a or prtc-b")
	asJSON := fl.Bool("json", false, "print one JSON object")
	export := fl.String("export", "", "write the phase data in a `FORMAT`: csv or stable32")
	return func() error {
		if *export != "" && !slices.Contains(stability.Formats(), *export) {
			return command.Usagef("-export %s: want csv or stable32", *export)
		}
		limits := stability.MaskNamed(*mask)
		if *mask != "" && limits == nil {
			return command.Usagef("-mask %s: want prtc-a or prtc-b", *mask)
		}
		dir, err := folder()
		if err != nil {
			return err
		}
		res, err := history.Open(dir).Seconds(*column, from.Time, to.Time)
		if err != nil {
			return err
		}
		for _, d := range res.Damage {
			c.Warnf("%v", d)
		}
		if res.Known == 0 {
			return fmt.Errorf("%w: there are no seconds of %q from %s to %s", errNoPhase, *column, from, to)
		}
		start := time.Unix(res.Start, 0).UTC()
		if *export != "" {
			return command.Written(stability.Export(c.Out, *export, res.Each, start, time.Second))
		}
		summary, err := stability.Summarise(*column, start, res.Each, limits)
		if err != nil {
			return err
		}
		return command.Print(c.Out, *asJSON, summary, summary.WriteText)
	}
}
