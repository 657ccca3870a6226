package refclock

// Reason names why the engine refused an input, or what befell its clock,
// before the discipline had a say (discipline.Reason names the rest). Its
// String is the word in logs and the metric label.
type Reason uint8

// The reasons.
const (
	EdgeNoClock          Reason = iota // an edge came while no clock was open, or none that may be steered
	EdgeStraddles                      // an edge from before, or read just after, a step of the clock
	EdgeStale                          // an edge whose stamp is more than a second old
	EdgeFuture                         // an edge whose stamp lies ahead of its reading
	EdgeRealStepped                    // CLOCK_REALTIME was stepped between the edge and its reading
	EdgeQueueFull                      // edges came faster than they could be handled
	MessageQueue                       // messages came faster than they could be handled
	MessageNoDate                      // a time message without a date that can be trusted
	MessageRollover                    // a date moved by 1024 weeks for which there is no other evidence, or that policy refuses
	MessageTooEarly                    // a date before the configured not_before
	MessageNoClock                     // a time message came while no clock was open
	ClockMissing                       // the clock could not be opened
	ClockGone                          // the clock vanished or failed while in use
	ClockRead                          // one reading of the clock failed
	ClockDenied                        // the clock may be read but not adjusted
	ClockStep                          // a step of the clock failed
	ClockContested                     // another program steers the clock, so it is left alone
	ClockTimeout                       // the clock's driver does not answer
	ClockSlept                         // the machine slept, and nothing told the clock's time meanwhile
	ClockForeign                       // somebody else stepped the clock
	PortMissing                        // the receiver's port could not be opened
	PortGone                           // the receiver's port vanished or failed while in use
	PortSilent                         // the receiver's port is open and nothing comes
	PortBaud                           // the port was set to another baud rate, in search of the receiver
	PortSlow                           // the port's rate is too low for what the receiver sends: messages come late, or are lost
	SetupFailed                        // the receiver could not be configured
	SetupRefused                       // the receiver would not take a part of its configuration
	PulseMissing                       // the pulse source could not be opened
	PulseGone                          // the pulse source vanished or failed while in use
	PulseSilent                        // the pulse source is open and no pulse comes
	SawtoothRefused                    // the announced sawtooth makes the pulses worse, so it is not applied
	ReceiverFixLost                    // the receiver had a fix and says that it has none
	ReceiverAntennaOpen                // the antenna's supply carried current and no longer does
	ReceiverAntennaShort               // the antenna's supply is shorted
	ReceiverJammed                     // interference so strong that the fix is not to be trusted
	ReceiverSpoofed                    // the receiver recognises false signals
	ReceiverMoved                      // a fixed antenna appears to have moved
	WitnessAwaited                     // no witness has confirmed the second yet
	WitnessDisagrees                   // a witness names another time
	WitnessSilent                      // a witness does not answer
	ReferenceUnusable                  // the clock to be followed may not be used
	ReferenceDrift                     // the pulses run away from two clocks that agree
	LeapUnconfirmed                    // a cold receiver may not know the leap seconds yet, and nothing else tells the second
	LeapDisagrees                      // the receiver announces another number of leap seconds than the table has
	LeapExpired                        // the table of leap seconds has ended
	PulseAmbiguous                     // both edges are stamped and nothing tells which is the second's
	SecondOpposed                      // a system clock that others keep shows another second than the receiver names
	SecondNamed                        // UBX-TIM-TP names the pulse otherwise than the messages that follow it
	CompareSkipped                     // an edge of a pulse to be compared came when there was nothing to compare with
	CompareAlarm                       // a compared pulse is farther from the clock than its limit
	LeapContradicted                   // as many sources say one thing of the leap seconds as say another, or the receiver's labels do and are being looked at
	LeapRefused                        // the receiver executed a leap second, or left one out, against the tables

	numReasons
)

// NumReasons is the number of reasons.
const NumReasons = int(numReasons)

var reasonNames = [numReasons]string{
	EdgeNoClock: "edge_no_clock", EdgeStraddles: "edge_straddles_step", EdgeStale: "edge_stale", EdgeFuture: "edge_future",
	EdgeRealStepped: "edge_realtime_stepped", EdgeQueueFull: "edge_queue_full", MessageQueue: "message_queue_full",
	MessageNoDate: "message_no_date", MessageRollover: "message_rollover", MessageTooEarly: "message_too_early", MessageNoClock: "message_no_clock",
	ClockMissing: "clock_missing", ClockGone: "clock_gone", ClockRead: "clock_read", ClockDenied: "clock_denied", ClockStep: "clock_step",
	ClockContested: "clock_contested", ClockTimeout: "clock_timeout", ClockSlept: "machine_slept", ClockForeign: "clock_stepped_by_other", PortMissing: "port_missing", PortGone: "port_gone",
	PortSilent: "port_silent", PortBaud: "port_baud", PortSlow: "port_slow", SetupFailed: "setup_failed", SetupRefused: "setup_refused",
	PulseMissing: "pulse_missing", PulseGone: "pulse_gone", PulseSilent: "pulse_silent", SawtoothRefused: "sawtooth_refused",
	ReceiverFixLost: "fix_lost", ReceiverAntennaOpen: "antenna_open", ReceiverAntennaShort: "antenna_short", ReceiverJammed: "jamming",
	ReceiverSpoofed: "spoofing", ReceiverMoved: "position_jump", WitnessAwaited: "witness_awaited", WitnessDisagrees: "witness_disagrees",
	WitnessSilent: "witness_silent", ReferenceUnusable: "reference_unusable", ReferenceDrift: "reference_drift",
	LeapUnconfirmed: "leap_unconfirmed", LeapDisagrees: "leap_disagrees", LeapExpired: "leap_expired", PulseAmbiguous: "ambiguous_edge",
	SecondOpposed: "second_opposed", SecondNamed: "second_named_otherwise",
	CompareSkipped: "compare_skipped", CompareAlarm: "pulse_disagrees",
	LeapContradicted: "leap_contradicted", LeapRefused: "leap_refused",
}

// String returns the reason's word in logs and metrics.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "invalid"
}

// message is what a log line about the reason begins with.
func (r Reason) message() string {
	switch {
	case r <= EdgeQueueFull:
		return "pulse edge refused"
	case r <= MessageNoClock:
		return "message refused"
	case r == ClockMissing:
		return "clock cannot be opened"
	case r <= ClockForeign:
		return "clock in trouble"
	case r == SawtoothRefused:
		return "announced sawtooth applied otherwise than documented"
	case r >= ReceiverFixLost && r <= ReceiverMoved:
		return "receiver doubted"
	case r == LeapDisagrees:
		return "sources of leap seconds disagree"
	case r == LeapContradicted:
		return "which second it is, is not settled"
	case r == LeapRefused:
		return "receiver's leap second refused"
	case r == LeapExpired:
		return "leap table has expired"
	case r == SecondOpposed || r == SecondNamed:
		return "receiver's second doubted"
	case r == PulseAmbiguous:
		return "pulse's edges cannot be told apart"
	case r == CompareAlarm:
		return "compared pulse disagrees"
	case r >= WitnessAwaited && r <= LeapUnconfirmed:
		return "reference doubted"
	}
	return "input in trouble"
}
