// Package phc is the PTP hardware clock of Linux: read, step, adjust, cross
// timestamps against the system's clocks, pins and external timestamps. Its types
// are plain values, so that a simulated clock (phc/phctest) can replace a real
// one.
package phc

import (
	"time"

	"noonmark/phc/tai"
)

// Cross is a simultaneous reading of three clocks: they show the same instant to
// within +- half of Width.
type Cross struct {
	Clock tai.Time      // the PTP hardware clock, or the clock in its place
	Real  int64         // CLOCK_REALTIME, ns since the POSIX epoch (UTC, with its leap seconds)
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns since boot
	Width time.Duration // bracket within which the clock was read
}
