package discipline

// Reason names why something was refused or why a state was entered. Its
// String is the word in logs and the metric label.
type Reason uint8

// The reasons. Those of states may also be counted as transitions.
const (
	None Reason = iota

	// Why a pulse was refused.
	PulseOutlier   // outside the gate around the prediction
	PulseOffGrid   // not a whole number of seconds from its neighbours: other edge, interference
	PulseRepeated  // the same edge again, or one that goes back in time
	PulseStraddles // belongs to before a step of the clock
	PulseWide      // its cross timestamp is too wide to be of use
	PulseDoubted   // came while the receiver was not trusted
	PulseMissed    // did not come

	// Why a label was refused.
	LabelVoid     // the receiver does not vouch for it
	LabelNotWhole // it does not name a full second
	LabelLate     // a second or more after the second it names
	LabelEarly    // before the second it names
	LabelDiffers  // names quite another second than the clock carries
	LabelSkips    // does not follow its predecessor by the seconds that passed
	LabelSources  // two sources name different seconds at once
	LabelNoPulse  // no pulse it could belong to
	LabelVague    // the receiver's own estimate of its error is beyond the limit

	// What was wrong with the temperature sensor.
	SensorRange // no temperature that a board can have
	SensorJump  // too far from the last reading for so short a time
	SensorStuck // has stood still for longer than it ever should

	// Why a state is what it is.
	Starting       // nothing has been seen
	NoPulse        // messages, but no pulses
	NoMessages     // pulses, but no messages
	VoidMessages   // the receiver says that its time is not valid
	Labelling      // waiting for enough agreeing seconds
	AmbiguousEdge  // two edges a second and nothing tells which is the second
	Stepping       // the clock is being stepped
	Verifying      // the clock was stepped or found right; being measured again
	Disciplined    // all is well
	MissingPulses  // pulses stopped
	PulseJump      // pulses moved away together
	SecondDisputed // labels persistently name another second than the clock
	Doubted        // the supervisor of the receiver said so
	Returning      // pulses are back and are being verified
	ClockStepped   // somebody else stepped the clock
	OffsetTooLarge // too far off to be steered back without a step
	HoldoverSpent  // too long without reference to know the second
	FreqLimit      // the oscillator is further off than the device can correct

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
