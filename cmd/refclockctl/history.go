package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/history"
)

func historyCommand() command.Command {
	return command.Command{
		Name: "history", About: "show measurements of a day, a month or years", Prepare: prepareHistory, Code: historyCode,
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
func prepareHistory(fl *flag.FlagSet, c command.Console) func([]string) error {
	where := keptFlags(fl)
	asCSV := fl.Bool("csv", false, "print comma-separated values")
	asJSON := fl.Bool("json", false, "print one JSON object")
	now := time.Now()
	from, to := command.Before(now, "24h"), command.Before(now, "0s")
	fl.Var(&from, "from", "the first instant `T`")
	fl.Var(&to, "to", "before this instant `T`")
	points := fl.Int("points", 1500, "the largest number `N` of points")
	columns := fl.String("columns", "", "only these columns, such as `offset_ns,bound_ns`")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		if *asCSV && *asJSON {
			return command.Usagef("want -csv or -json, not both")
		}
		q := history.Query{From: from.Time, To: to.Time, MaxPoints: *points}
		if *columns != "" {
			q.Columns = strings.Split(*columns, ",")
		}
		dir, err := where.path()
		if err != nil {
			return err
		}
		res, err := history.Open(dir).Query(q)
		if err != nil {
			return err
		}
		for _, name := range q.Columns {
			if res.Of(name) == nil {
				fmt.Fprintf(c.Err, "refclockctl: history: no value of %q in this range\n", name)
			}
		}
		for _, d := range res.Damage {
			fmt.Fprintf(c.Err, "refclockctl: history: damage in %s: %d octets skipped: %s\n", d.File, d.Octets, d.Why)
		}
		res.SortColumns()
		w := bufio.NewWriter(c.Out)
		switch {
		case *asCSV:
			if err := res.WriteCSV(w); err != nil {
				return command.Written(err)
			}
		case *asJSON:
			if err := json.NewEncoder(w).Encode(res.JSON()); err != nil {
				return err
			}
		default:
			res.WriteText(w)
		}
		return command.Written(w.Flush())
	}
}

// historyCode is the exit code of the history command.
func historyCode(err error) int {
	if errors.Is(err, history.ErrQuery) {
		return exitcode.Usage
	}
	return keptCode(err)
}
