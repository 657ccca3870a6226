// Package discipline turns pulses and time messages into the steering of one
// clock, and reports how good that clock is. It pairs edges with time labels,
// gates outliers, estimates phase and frequency, learns the noise of pulses and
// oscillator while it runs, runs the state machine, and bounds the true error.
//
// It is pure: no input or output, no goroutine, no wall clock. Time comes in
// only through its methods, which one goroutine calls; the same calls give the
// same actions.
//
// Signs: an offset is clock - reference, + = clock fast. A frequency correction
// is in ppb, + = the clock is made to run faster.
package discipline

import (
	"time"

	"noonmark/phc/tai"
)

// Pulse is one edge of the reference, as the disciplined clock read it.
type Pulse struct {
	Clock tai.Time      // the clock's reading at the edge, corrected for cable, bias and sawtooth
	Mono  int64         // CLOCK_MONOTONIC_RAW (ns) at the edge
	Now   int64         // CLOCK_MONOTONIC_RAW (ns) at the call, when the Action comes into force; 0 = Mono
	Width time.Duration // bracket of the cross timestamp behind Clock; 0 if the clock stamped the edge itself
}

// Label is one time message of the receiver.
type Label struct {
	Time   tai.Time      // the TAI instant that the message names; a full second, as a rule
	Mono   int64         // CLOCK_MONOTONIC_RAW (ns) at the arrival of the first byte about that instant
	Valid  bool          // the receiver says that its time is valid (status A, fix, valid flags)
	Source string        // kind of message: RMC, ZDA, NAV-PVT
	TAcc   time.Duration // the receiver's own estimate of its time error, 0 if it gives none
}

// Action is what the owner of the clock has to do now: first step, then set
// the frequency. After a step it must call Stepped, with zero if the step
// failed.
type Action struct {
	FreqPPB float64       // absolute frequency correction, + = clock faster; always valid
	Step    time.Duration // to be added to the clock now, + = forward; 0 = none
	Used    bool          // the pulse of this call was measured with, not refused
	Reason  Reason        // why the pulse was refused, or what changed
}
