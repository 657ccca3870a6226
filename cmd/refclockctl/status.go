package main

import (
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

	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// runStatus is the status command.
func runStatus(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("refclockctl status", flag.ContinueOnError)
	fl.SetOutput(stderr)
	asJSON := fl.Bool("json", false, "print one JSON object")
	watch := fl.Bool("watch", false, "print again every second until interrupted")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fl.NArg() > 0 {
		fmt.Fprintf(stderr, "refclockctl: status takes no argument %q\n", fl.Arg(0))
		return exitUsage
	}
	stop := make(chan os.Signal, 1)
	if *watch {
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(stop)
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		err := printStatus(*path, *asJSON, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl: %v\n", err)
		}
		if !*watch {
			return statusExit(err)
		}
		select {
		case <-stop:
			return exitOK
		case <-t.C:
		}
	}
}

func statusExit(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, fs.ErrPermission):
		return exitNoPerm
	case errors.Is(err, errOutput):
		return exitSoftware
	}
	return exitUnavailable
}

var errOutput = errors.New("write output")

func printStatus(path string, asJSON bool, w io.Writer) error {
	s, err := report.Read(path, phc.MonoRaw)
	if err != nil {
		return err
	}
	if !asJSON {
		s.WriteText(w)
		return nil
	}
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
