// Package servedclock confirms the system clock, which dates cookie secrets, by the
// clock that refclockd publishes.
package servedclock

import (
	"fmt"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
)

// Tolerance is how far the system clock may be from the served clock.
const Tolerance = time.Minute

// Confirm reports why the system clock may be wrong: no clock is served, or the served
// one differs. path is that of the snapshot. nil: it is right.
func Confirm(path string) error {
	r, err := status.Open(path)
	if err != nil {
		return fmt.Errorf("the system clock is not confirmed: %w", err)
	}
	defer r.Close()
	var s status.Snapshot
	if err := r.LoadAll(&s); err != nil {
		return fmt.Errorf("the system clock is not confirmed: %w", err)
	}
	mono := phc.MonoRaw()
	return confirm(&s, mono, time.Now())
}

// confirm compares the system clock, now at mono, with the served clock.
func confirm(s *status.Snapshot, mono int64, now time.Time) error {
	if !s.Usable(mono) {
		return fmt.Errorf("the system clock is not confirmed: the served clock is not synchronised (%s)", s.State)
	}
	served := s.ClockAt(mono)
	utc := served.UTC(s.OffsetAt(served))
	if d := now.Sub(utc); d.Abs() > Tolerance {
		return fmt.Errorf("the system clock is %v from the served clock: set it", d.Round(time.Second))
	}
	return nil
}
