package main

import (
	"flag"
	"fmt"
	"syscall"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/observe"
	"noonmark/internal/printable"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// relockWait is how long refclockd may take to discard the lock. It publishes at
// least four times a second.
const relockWait = 3 * time.Second

func relockCommand() command.Command {
	return command.Command{
		Name: "relock", About: "make refclockd discard its lock and acquire anew", Prepare: prepareRelock, Code: statusCode,
		Text: `
Makes refclockd discard its lock and acquire phase and second anew, and says what
is discarded. What was learned of the oscillator stays. Needs the right to signal
refclockd: run it as root or as its user.
`,
	}
}

// prepareRelock is the relock command.
func prepareRelock(fl *flag.FlagSet, c command.Console) func([]string) error {
	dry := fl.Bool("n", false, "only say what would be discarded")
	path := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` that refclockd writes")
	return func(args []string) error {
		if err := command.NoArgs(args); err != nil {
			return err
		}
		was, err := report.Read(*path, phc.MonoRaw)
		if err != nil {
			return observe.ExplainSnapshot(err)
		}
		if was.Stopped {
			return fmt.Errorf("%w: it holds no lock", observe.ErrStopped)
		}
		fmt.Fprintln(c.Out, "discards:", discarded(&was))
		if *dry {
			return nil
		}
		if err := syscall.Kill(int(was.PID), syscall.SIGUSR1); err != nil {
			return fmt.Errorf("signal refclockd (process %d): %w", was.PID, err)
		}
		return relocked(c, *path, &was)
	}
}

// discarded describes a lock.
func discarded(r *report.Status) string {
	s := fmt.Sprintf("state %s (%s)", r.State, r.Reason)
	if r.BoundNS != nil {
		s += fmt.Sprintf(", error bound %s", printable.Duration(time.Duration(*r.BoundNS)))
	}
	if l := r.Lock; l != nil {
		s += fmt.Sprintf(", evidence of %d pulses and %d seconds, unexplained jump %s", l.Pulses, l.Seconds, printable.Duration(time.Duration(l.JumpNS)))
	}
	return s
}

// relocked waits until refclockd has acted.
func relocked(c command.Console, path string, was *report.Status) error {
	for end := time.Now().Add(relockWait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now, err := report.Read(path, phc.MonoRaw)
		if err == nil && (now.State == "acquiring" || now.State == "unlocked") {
			fmt.Fprintf(c.Out, "now: state %s (%s)\n", now.State, now.Reason)
			return nil
		}
	}
	return fmt.Errorf("%w: refclockd (process %d) has not discarded its lock within %v", exitcode.ErrUnavailable, was.PID, relockWait)
}
