package observe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/nearest"
	"noonmark/internal/printable"
	"noonmark/phc"
	"noonmark/refclock/clock"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// waitEvery is the interval between two looks: that at which refclockd publishes.
const waitEvery = 200 * time.Millisecond

// What else than a state can be waited for.
const (
	synchronised = "synchronised" // usable for clients
	systemClock  = "system-clock" // the kernel says that the system clock is synchronised
)

// awaitable returns what WaitFor can wait for: the states, and the words above.
func awaitable() []string {
	words := []string{synchronised, systemClock}
	for s := status.Unlocked; s <= status.Faulty; s++ {
		words = append(words, s.String())
	}
	return words
}

// CheckAwaited refuses what WaitFor cannot wait for.
func CheckAwaited(what string) error {
	words := awaitable()
	if slices.Contains(words, what) {
		return nil
	}
	if n := nearest.Word(what, words); n != "" {
		return fmt.Errorf("%s is not known; did you mean %s?", what, n)
	}
	return fmt.Errorf("%s is not known; want one of %s", what, strings.Join(words, ", "))
}

// ErrStopped says that there is a snapshot, and nobody renews it.
var ErrStopped = errors.New("refclockd has stopped")

// ExplainSnapshot adds what to do if nothing is published.
func ExplainSnapshot(err error) error {
	if errors.Is(err, status.ErrNone) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; start it with systemctl start refclockd, or name the file in its runtime_dir with -snapshot", err)
	}
	return err
}

// WaitFor looks until what is so, as CheckAwaited allows, or ctx ends. The error says what was
// seen last, and is exitcode.ErrUnavailable.
func WaitFor(ctx context.Context, what, path string) error {
	t := time.NewTicker(waitEvery)
	defer t.Stop()
	kernel := clock.Synchronised(phc.Kernel{})
	for begun := time.Now(); ; {
		var seen string
		var ok bool
		if what == systemClock {
			ok, seen = kernel(), "the kernel does not report the system clock as synchronised"
		} else {
			ok, seen = reached(what, path)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: not %s within %s: %s", exitcode.ErrUnavailable, what, printable.Duration(time.Since(begun)), seen)
		case <-t.C:
		}
	}
}

// reached reports whether refclockd is in a state now, and what was seen.
func reached(what, path string) (ok bool, seen string) {
	s, err := report.Read(path, phc.MonoRaw)
	switch {
	case err != nil:
		return false, ExplainSnapshot(err).Error()
	case s.Stopped:
		return false, ErrStopped.Error()
	}
	return s.State == what || what == synchronised && s.Usable, fmt.Sprintf("state %s (%s)", s.State, s.Reason)
}
