// Package phc is the PTP hardware clock as Linux gives it: read, step, adjust,
// cross timestamps against the system's clocks, pins and external timestamps.
// Its types are plain values, so that a simulated clock (phc/phctest) is a
// drop-in for a real one.
package phc

import (
	"time"

	"noonmark/phc/tai"
)

// Cross is one simultaneous reading of three clocks. All three describe the
// same instant to within half of Width on either side.
type Cross struct {
	Clock tai.Time      // the PTP hardware clock, or the clock that stands in for it
	Real  int64         // CLOCK_REALTIME, ns since the POSIX epoch (UTC, with its leap seconds)
	Mono  int64         // CLOCK_MONOTONIC_RAW, ns since boot
	Width time.Duration // bracket of the reading: the clock was read within it
}
