package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/printable"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

func statusCommand() command.Command {
	return command.Command{
		Name: "status", About: "show what refclockd publishes", Prepare: prepareStatus, Code: statusCode,
		Text: `
Shows what refclockd publishes: its state, the measured offset and its bound, the
inputs and the clock. -watch redraws it every second; with -json, or if the output
is no terminal, it prints again instead. Of a refclockd that has stopped, the last state
is shown.
`,
		Manual: command.Manual{
			Examples: []command.Example{{For: "one JSON object a second", Line: "refclockctl status -json -watch"}},
			Exits: []command.Exit{
				{Code: exitcode.OK, When: "refclockd publishes"},
				{Code: exitcode.Usage},
				{Code: exitcode.Unavailable, When: "refclockd does not publish, or has stopped"},
				{Code: exitcode.Software},
				{Code: exitcode.Permission},
			},
		},
	}
}

// prepareStatus is the status command.
func prepareStatus(fl *flag.FlagSet, c command.Console) func([]string) error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "show it every second until interrupted")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		if !*watch {
			return printStatus(*path, *asJSON, c.Out)
		}
		ctx, stop := command.Interruptible()
		defer stop()
		return watchStatus(ctx, *path, *asJSON, c)
	}
}

// watchStatus shows the status every second until ctx ends.
func watchStatus(ctx context.Context, path string, asJSON bool, c command.Console) error {
	redraw := !asJSON && isTerminal(c.Out)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		var b bytes.Buffer
		err := printStatus(path, asJSON, &b)
		if err != nil && redraw {
			fmt.Fprintf(&b, "refclockctl: status: %v\n", err)
		}
		out := b.Bytes()
		if redraw {
			out = screen(out)
		}
		if _, err := c.Out.Write(out); err != nil {
			return command.Written(err)
		}
		if err != nil && !redraw {
			fmt.Fprintf(c.Err, "refclockctl: status: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// screen returns what draws a text over the one before on a terminal (ECMA-48): home,
// and after each line and the last one erase what was there.
func screen(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\n"), []byte("\x1b[K\n"))
	return append(append([]byte("\x1b[H"), text...), "\x1b[J"...)
}

// isTerminal reports whether a reader or writer is a terminal, or another device of
// characters.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&fs.ModeCharDevice != 0
}

func statusCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, command.ErrOutput):
		return exitcode.Software
	}
	return exitcode.Unavailable
}

// printStatus prints the status. The error of a daemon that has stopped comes after
// its last state.
func printStatus(path string, asJSON bool, w io.Writer) error {
	s, err := report.Read(path, phc.MonoRaw)
	if err != nil {
		return observe.ExplainSnapshot(err)
	}
	if asJSON {
		err = json.NewEncoder(w).Encode(s)
	} else {
		s.WriteText(printable.Writer{To: w}) // the texts are those of whoever wrote the snapshot
	}
	switch {
	case err != nil:
		return command.Written(err)
	case s.Stopped:
		return observe.ErrStopped
	}
	return nil
}
