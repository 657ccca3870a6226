package observe

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// relockWait is how long refclockd may take to discard the lock. It publishes at
// least four times a second.
const relockWait = 3 * time.Second

// Relock makes the refclockd that publishes in the file path discard its lock, and waits
// until it has. It says on w what is discarded, and the state after it. dry: it says only
// what would be discarded.
func Relock(ctx context.Context, w io.Writer, path string, dry bool) error {
	was, err := ReadStatus(path, phc.MonoRaw)
	if err != nil {
		return ExplainSnapshot(err)
	}
	if was.Stopped {
		return fmt.Errorf("%w: it holds no lock", ErrStopped)
	}
	fmt.Fprintln(w, "discards:", discarded(&was))
	if dry {
		return nil
	}
	if err := syscall.Kill(int(was.PID), syscall.SIGUSR1); err != nil {
		return fmt.Errorf("signal refclockd (process %d): %w", was.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, relockWait)
	defer cancel()
	t := time.NewTicker(waitEvery / 2)
	defer t.Stop()
	for {
		now, err := ReadStatus(path, phc.MonoRaw)
		if err == nil && (now.State == status.Acquiring.String() || now.State == status.Unlocked.String()) {
			fmt.Fprintf(w, "now: state %s (%s)\n", now.State, now.Reason)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: refclockd (process %d) has not discarded its lock within %v", exitcode.ErrUnavailable, was.PID, relockWait)
		case <-t.C:
		}
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
