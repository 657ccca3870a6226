// Package discipline turns pulses and time messages into the steering of one
// clock, and says how good that clock is. It pairs edges with second labels,
// gates outliers, estimates phase and frequency, learns the noise of pulses and
// oscillator while it runs, keeps the state machine, and bounds the true error.
//
// It is pure: no I/O, no goroutine, no wall clock. Time reaches it only through
// its methods, which one goroutine calls; the same calls give the same actions.
//
// Signs: an offset is clock - reference, + = clock fast. A frequency is the
// correction of the clock's rate in ppb, + = the clock is made to run faster.
package discipline

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Pulse is one edge of the reference, as the disciplined clock read it.
type Pulse struct {
	Clock tai.Time      // the clock's reading at the edge, corrected for cable, bias and sawtooth
	Mono  int64         // CLOCK_MONOTONIC_RAW (ns) at the edge
	Now   int64         // CLOCK_MONOTONIC_RAW (ns) at the call, when the Action will come into force; 0 = Mono
	Width time.Duration // bracket of the cross timestamp behind Clock; 0 if the clock stamped the edge itself
}

// Label is one receiver statement of the time.
type Label struct {
	Time   tai.Time      // the full TAI second the message names
	Mono   int64         // CLOCK_MONOTONIC_RAW (ns) at the arrival of its first byte
	Valid  bool          // the receiver vouches for it (status A, fix, time valid flags)
	Source string        // which kind of message: RMC, ZDA, NAV-PVT
	TAcc   time.Duration // the receiver's own estimate of its time error, 0 if it gives none
}

// Action is what the owner of the clock has to do now: first step, then set
// the frequency. After a step it must call Stepped, with zero if the step could
// not be made.
type Action struct {
	FreqPPB float64       // absolute frequency correction, + = clock faster; always valid
	Step    time.Duration // to be added to the clock now, + = forward; 0 = none
	Used    bool          // the pulse of this call was measured with, not refused
	Reason  Reason        // why the pulse was refused, or what changed
}

// Status is what the discipline knows at Mono.
type Status struct {
	State  status.State // as it is published; Text renders why
	Reason Reason       // why the state is what it is; None: Cause says it alone
	Cause  reason.Code  // what is behind Reason, None if nothing is known
	Detail string       // further words of an alarm, for people
	Moving bool         // between ClockMoving and Stepped

	// ServoState is the state of the estimate alone, whether or not the clock is at hand,
	// may be adjusted, and its leap second is decided.
	ServoState status.State

	Mono   int64         // CLOCK_MONOTONIC_RAW (ns) at which the rest holds
	Labels string        // the sources that named the second last, for people
	Limit  time.Duration // holdover limit of the configuration

	OffsetNS    float64 // last accepted measurement, clock - reference
	EstNS       float64 // estimated offset at Mono
	NoiseNS     float64 // learned standard deviation of a measurement
	WhiteFM     float64 // learned white frequency noise of the oscillator, ppb at 1 s
	WalkFM      float64 // learned random walk of its frequency, ppb per sqrt(s)
	FreqPPB     float64 // correction in force
	DriftPPB    float64 // estimated frequency error of the free oscillator, + = fast
	Bound       float64 // ns: |clock - true time| at Mono stays within
	Floor       float64 // ns: part of Bound that reading the clock costs and no reference would take away; Limit counts from it
	BoundRate   float64 // ns/s: growth of the bound, valid also if nobody steers any more, until Floor+Limit
	TempC       float64 // last believed reading of the sensor near the oscillator, degrees Celsius; 0 before the first
	TempMono    int64   // CLOCK_MONOTONIC_RAW of it, 0 = none
	TempPPB     float64 // ppb per K that are counted with; 0 = none, the sensor tells nothing of the oscillator so far
	TempLagS    float64 // s by which the oscillator follows the sensor
	AgeingPPB   float64 // ppb per day that are counted with; 0 = none known
	SensorStuck bool    // the reading has stood still for longer than it ever should

	RefTime   tai.Time // clock reading at the last accepted measurement of a labelled second, 0 if never
	PulseMono int64    // CLOCK_MONOTONIC_RAW of the last accepted pulse, 0 if none
	LabelMono int64    // CLOCK_MONOTONIC_RAW of the last valid label, 0 if none
	Latency   time.Duration

	Pulses    uint64 // accepted
	BadPulses uint64 // refused
	Missed    uint64 // did not come while expected
	Labelled  uint64 // valid labels
	BadLabels uint64 // refused labels
	Steps     uint64 // steps made
	Rollbacks uint64 // times when suspect pulses were forgotten

	Counts Counts // by Reason: refusals and transitions
}
