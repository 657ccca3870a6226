package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

const statusHelp = `usage: refclockctl status [-json] [-watch] [-snapshot FILE]

Shows what refclockd publishes: its state, the measured offset and its bound, the
inputs and the clock.

`

// prepareStatus is the status command.
func prepareStatus(fl *flag.FlagSet, c console) func([]string) error {
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "print again every second until interrupted")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func(args []string) error {
		if err := noArgs(args); err != nil {
			return err
		}
		if !*watch {
			return printStatus(*path, *asJSON, c.out)
		}
		ctx, stop := interruptible()
		defer stop()
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			if err := printStatus(*path, *asJSON, c.out); err != nil {
				fmt.Fprintf(c.err, "refclockctl: status: %v\n", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
	}
}

// interruptible returns a context that ends when the user interrupts the program.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func statusCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, errOutput):
		return exitcode.Software
	}
	return exitcode.Unavailable
}

func printStatus(path string, asJSON bool, w io.Writer) error {
	s, err := report.Read(path, phc.MonoRaw)
	if err != nil {
		return err
	}
	if asJSON {
		return written(json.NewEncoder(w).Encode(s))
	}
	s.WriteText(printable.Writer{To: w}) // the texts are those of whoever wrote the snapshot
	return nil
}
