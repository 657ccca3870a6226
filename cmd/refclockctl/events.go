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
)

func eventsCommand() command.Command {
	return command.Command{
		Name: "events", About: "show what happened: states, steps, holdovers, leap seconds, alarms", Prepare: prepareEvents, Code: keptCode,
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

// kept is where history and events are read.
type kept struct{ config, dir *string }

// keptFlags declares the flags that say where the history is.
func keptFlags(fl *flag.FlagSet) kept {
	return kept{
		fl.String("config", refclockd.DefaultPath, "refclockd's configuration `FILE`, which names the folder"),
		fl.String("dir", "", "the `DIR` of the history (default that of refclockd's configuration)"),
	}
}

// path is the folder of the history.
func (k kept) path() (string, error) {
	if *k.dir != "" {
		return *k.dir, nil
	}
	s, err := refclockd.Load(*k.config)
	if s != nil { // problems of other keys do not matter here
		dir, _ := s.HistoryDir()
		return dir, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w; name a folder with -dir", err)
	}
	return "", err
}

// prepareEvents is the events command.
func prepareEvents(fl *flag.FlagSet, c command.Console) func([]string) error {
	where := keptFlags(fl)
	asJSON := fl.Bool("json", false, "print one JSON object a line")
	follow := fl.Bool("follow", false, "go on with new events until interrupted")
	kinds := fl.String("kind", "", "only these kinds, a `LIST` such as step,holdover")
	from, to := command.NewInstant(time.Now), command.NewInstant(time.Now)
	fl.Var(&from, "from", "the first instant `T` (default the beginning)")
	fl.Var(&to, "to", "before this instant `T` (default the end)")
	limit := fl.Int("n", 1000, "the latest `COUNT` events at most")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		q := events.Query{From: from.Time, To: to.Time, Limit: *limit}
		if *limit < 1 || *limit > events.MaxEvents {
			return command.Usagef("-n %d: want 1 to %d", *limit, events.MaxEvents)
		}
		for name := range strings.SplitSeq(*kinds, ",") {
			if name == "" {
				continue
			}
			if !slices.Contains(events.Kinds(), events.Kind(name)) {
				return command.Usagef("-kind %s: want some of %q", name, events.Kinds())
			}
			q.Kinds = append(q.Kinds, events.Kind(name))
		}
		dir, err := where.path()
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
			fmt.Fprintf(c.Err, "refclockctl: events: %d damaged lines skipped\n", skipped)
		}
		if err := p.Print(found); err != nil || !*follow {
			return command.Written(err)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		return command.Written(p.Follow(ctx, tail, q.Kinds))
	}
}

// keptCode is the exit code of the commands that read the history.
func keptCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, fs.ErrNotExist):
		return exitcode.NoInput
	case errors.Is(err, command.ErrOutput):
		return exitcode.Software
	}
	return exitcode.Of(err)
}
