package discipline

import (
	"fmt"
	"strings"

	"noonmark/refclock/reason"
)

// Reason is why an input was refused or why a state was entered. Its String is
// the word in logs and the metric label.
type Reason uint8

// The reasons. Those of states may also be counted as transitions.
const (
	None Reason = iota

	// Why a pulse was refused.
	PulseOutlier   // outside the gate around the prediction
	PulseOffGrid   // not whole seconds from its neighbours: other edge, interference
	PulseRepeated  // the same edge again, or one earlier than the last
	PulseStraddles // from before a step of the clock, or during one
	PulseWide      // the bracket of its cross timestamp is too wide
	PulseDoubted   // came while the reference was not trusted
	PulseMissed    // did not come

	// Why a label was refused.
	LabelVoid     // the receiver says that it is not valid
	LabelNotWhole // it has a fraction that does not tell which second it belongs to
	LabelLate     // a second or more after the second it names
	LabelEarly    // before the second it names
	LabelDiffers  // names another second than the clock, by more than late or early
	LabelSkips    // not as many seconds after its predecessor as have passed
	LabelSources  // two kinds of messages name different seconds
	LabelNoPulse  // there is no pulse that it could belong to
	LabelVague    // the receiver's own estimate of its error exceeds the holdover limit

	// Why a reading of the temperature sensor was refused.
	SensorRange // no temperature that a board can have
	SensorJump  // too far from the last reading for so short a time
	SensorStuck // constant for implausibly long

	// What ended a drift of the pulses that was followed.
	PulsesBack // they came back to the line that they had left by a drift

	// Why a state is what it is.
	Starting       // no input yet
	NoPulse        // messages, but no pulses
	NoMessages     // pulses, but no messages
	VoidMessages   // the receiver says that its time is not valid
	Labelling      // waiting for enough agreeing seconds
	AmbiguousEdge  // two edges a second, and nothing shows which begins the second
	Stepping       // the clock is being stepped
	Verifying      // the clock was stepped or found right, and is measured again
	Disciplined    // steered by the reference
	MissingPulses  // pulses stopped
	PulseJump      // pulses jumped, all by the same amount
	SecondDisputed // labels keep naming another second than the clock
	Doubted        // an alarm is in force
	Returning      // pulses are back and are verified
	ClockStepped   // something else stepped the clock
	OffsetTooLarge // too far off to be slewed
	HoldoverSpent  // so long without a reference that the second is not certain
	FreqLimit      // the oscillator's error exceeds the largest correction
	Restarted      // refclockd was restarted, and continues what the earlier run knew until it has locked itself

	numReasons
)

// NumReasons is the number of reasons, the length of Counts.
const NumReasons = int(numReasons)

var reasonNames = [numReasons]string{
	None:           "none",
	PulseOutlier:   "pulse_outlier",
	PulseOffGrid:   "pulse_off_grid",
	PulseRepeated:  "pulse_repeated",
	PulseStraddles: "pulse_straddles_step",
	PulseWide:      "pulse_wide",
	PulseDoubted:   "pulse_doubted",
	PulseMissed:    "pulse_missed",
	LabelVoid:      "label_void",
	LabelNotWhole:  "label_not_whole",
	LabelLate:      "label_late",
	LabelEarly:     "label_early",
	LabelDiffers:   "label_differs",
	LabelSkips:     "label_skips",
	LabelSources:   "label_sources",
	LabelNoPulse:   "label_no_pulse",
	LabelVague:     "label_vague",
	SensorRange:    "sensor_range",
	SensorJump:     "sensor_jump",
	SensorStuck:    "sensor_stuck",
	PulsesBack:     "pulses_back",
	Starting:       "starting",
	NoPulse:        "no_pulse",
	NoMessages:     "no_messages",
	VoidMessages:   "void_messages",
	Labelling:      "labelling",
	AmbiguousEdge:  "ambiguous_edge",
	Stepping:       "stepping",
	Verifying:      "verifying",
	Disciplined:    "disciplined",
	MissingPulses:  "missing_pulses",
	PulseJump:      "pulse_jump",
	SecondDisputed: "second_disputed",
	Doubted:        "doubted",
	Returning:      "returning",
	ClockStepped:   "clock_stepped",
	OffsetTooLarge: "offset_too_large",
	HoldoverSpent:  "holdover_spent",
	FreqLimit:      "freq_limit",
	Restarted:      "restarted",
}

// String returns the reason's word in logs, JSON and metrics.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "invalid"
}

// Counts counts events by Reason.
type Counts [numReasons]uint64

// remedies says for the reasons of states on which an operator can act what to do.
var remedies = [numReasons]string{
	NoPulse:        "check that the receiver has a fix, the wire from its time pulse to the pin or PPS device, and pulse.edge",
	NoMessages:     "check that the receiver sends RMC or ZDA, or UBX-NAV-PVT, and receiver.device and receiver.baud",
	VoidMessages:   "give the antenna a free view of the sky; a cold start takes up to 15 minutes",
	Labelling:      "wait for some seconds, in which the labels have to agree in succession; if it lasts, let the receiver send one dated message a second, within a second of its pulse",
	AmbiguousEdge:  reason.PulseAmbiguous.Info().Remedy,
	MissingPulses:  "check that the receiver has a fix, and the wire from its time pulse",
	PulseJump:      "compare with an independent clock; refclockctl relock discards the lock if the pulses are right",
	SecondDisputed: "find out by a third clock which second is right; refclockctl relock discards the lock if the messages are right",
	ClockStepped:   "stop the program that steps the clock (ptp4l, phc2sys, ts2phc, chronyd)",
	HoldoverSpent:  "bring pulses and messages back",
	FreqLimit:      "check the pulses; if they are right, the card's oscillator is too far off to be corrected",
}

// Remedy returns what an operator can do about the reason of a state, empty if
// there is nothing but to wait.
func (r Reason) Remedy() string {
	if r < numReasons {
		return remedies[r]
	}
	return ""
}

// Remedy returns what an operator can do about the state: by its cause, else by what
// keeps it from being another one.
func (s *Status) Remedy() string {
	if s.Cause != reason.None {
		if r := s.Cause.Info().Remedy; r != "" {
			return r
		}
	}
	r := s.Awaits().Remedy()
	if refused := s.Counts.labels(); s.Awaits() == Labelling && refused != "" {
		r += "; labels refused so far: " + refused
	}
	return r
}

// Awaits returns the reason that keeps the servo from a lock: Reason, unless a state of
// an earlier run is continued.
func (s *Status) Awaits() Reason {
	if s.Reason == Restarted {
		return s.Own
	}
	return s.Reason
}

// labels returns how many labels were refused by each reason, empty if none was.
func (c *Counts) labels() string {
	var all []string
	for r := LabelVoid; r <= LabelVague; r++ {
		if c[r] > 0 {
			all = append(all, fmt.Sprintf("%v %d", r, c[r]))
		}
	}
	return strings.Join(all, ", ")
}
