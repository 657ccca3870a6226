package clock

import (
	"time"

	"noonmark/refclock/reason"
)

// Kind says what an Event is about.
type Kind uint8

// The kinds.
const (
	Opened     Kind = iota + 1 // the clock was opened: First, Other, MaxPPB, FreqPPB, Width
	OpenFailed                 // it could not be opened: Code, Err
	Waiting                    // it is not to be opened yet, and nothing is wrong: Code. Once until it is opened or that fails
	ReadFailed                 // one reading failed: Code, Err
	Lost                       // it is gone until it can be opened again: Code, Err
	Denied                     // it may be read but not adjusted: Code, Err
	Allowed                    // it may be adjusted again
	Stepped                    // we stepped it: By
	StepFailed                 // a step failed: Code, By, Err
	Moved                      // somebody or something else moved it: Code, By
)

// Event is something that happened to the clock.
type Event struct {
	Kind Kind
	Code reason.Code   // names the failure in logs and metrics
	Err  error         // the system's
	Mono int64         // CLOCK_MONOTONIC_RAW, ns
	By   time.Duration // Stepped, Moved: + = forward. Moved is never 0: an unknown distance is 1 ns

	// Of Opened.
	First   bool          // no clock was open before
	Other   bool          // another device than before: nothing that was learned applies
	MaxPPB  float64       // largest correction
	FreqPPB float64       // correction in force
	Width   time.Duration // bracket of a reading
}
