// Package reason names everything that keeps the reference side from using an
// input, a device or the reference as a whole. All rooms of package refclock
// report these codes; the engine alone counts and logs them.
package reason

// Code is one reason. Its String is the word in logs, in the published status
// and in metric labels. The order of the codes means nothing.
type Code uint8

// The codes.
const (
	None                 Code = iota // no reason
	EdgeNoClock                      // an edge came while no clock was open, or none that may be steered
	EdgeStraddles                    // an edge from before a step of the clock, or read just after one
	EdgeStale                        // an edge whose stamp is more than a second old
	EdgeFuture                       // an edge whose stamp lies ahead of its reading
	EdgeRealStepped                  // CLOCK_REALTIME was stepped between the edge and its reading
	EdgeQueueFull                    // edges came faster than the engine takes them
	MessageQueue                     // messages came faster than the engine takes them
	MessageNoDate                    // a time message without a date that can be trusted
	MessageRollover                  // a date moved by 1024 weeks that no other evidence supports, or that the policy refuses
	MessageTooEarly                  // a date before the configured not_before
	MessageDateAhead                 // a date 20 years after the build, or 1024 weeks after what the system clock or a table in date shows
	MessageFraction                  // labels have a fraction of a second that does not tell which second a pulse begins
	MessageNoClock                   // a time message came before a clock was opened
	ClockMissing                     // the clock could not be opened
	ClockWatched                     // the clock is watched only, until it is clear that no other program steers it, or until there is time for it
	ClockGone                        // the clock vanished or failed while in use
	ClockRead                        // one reading of the clock failed
	ClockDenied                      // the clock may be read but not adjusted
	ClockStep                        // a step of the clock failed
	ClockContested                   // another program steers the clock, so it is left alone
	ClockTimeout                     // the clock's driver does not answer
	ClockSlept                       // the machine was suspended, and nothing measured the clock meanwhile
	ClockForeign                     // another program, or the driver, stepped the clock
	PortMissing                      // the receiver's port could not be opened
	PortGone                         // the receiver's port vanished or failed while in use
	PortSilent                       // the receiver's port is open and nothing comes
	PortBaud                         // the port was set to another baud rate in search of the receiver
	PortSlow                         // the port's baud rate is too low for what the receiver sends: messages come late or are lost
	SetupFailed                      // the receiver could not be configured
	SetupRefused                     // the receiver refused a part of its configuration
	PulseMissing                     // the pulse source could not be opened
	PulseGone                        // the pulse source vanished or failed while in use
	PulseSilent                      // the pulse source is open and no pulse comes
	SawtoothRefused                  // the announced quantisation error makes the pulses worse, so it is not applied as documented
	ReceiverFixLost                  // the receiver had a fix and says that it has none
	ReceiverAntennaOpen              // the antenna's supply carried current and no longer does
	ReceiverAntennaShort             // the antenna's supply is shorted
	ReceiverJammed                   // interference so strong that the fix is not to be trusted
	ReceiverSpoofed                  // the receiver recognises false signals
	ReceiverMoved                    // a fixed antenna appears to have moved
	WitnessAwaited                   // no witness has confirmed the second yet
	WitnessDisagrees                 // a witness reports another time
	WitnessSilent                    // a witness does not answer
	FragmentUnread                   // the file of the fleet cannot be read
	FragmentOwner                    // the file of the fleet is a link, or others than the owner of its folder can write it
	FragmentContent                  // the file of the fleet has keys or values that a fleet may not set
	ReferenceUnusable                // the clock to be followed is not usable
	ReferenceDrift                   // the pulses drift away from two clocks that agree
	LeapUnconfirmed                  // the receiver may not know the leap seconds yet, and no other evidence confirms the second
	LeapDisagrees                    // the sources of leap seconds disagree
	LeapExpired                      // every table of leap seconds has expired
	PulseAmbiguous                   // both edges are stamped and nothing tells which is the second's
	SecondOpposed                    // a disciplined system clock shows another second than the receiver
	SecondNamed                      // UBX-TIM-TP labels the pulse with another second than the messages that follow it
	CompareSkipped                   // an edge of a compared pulse came when there was nothing to compare with
	CompareAlarm                     // a compared pulse is farther from the clock than its limit
	LeapContradicted                 // as many sources support one count of leap seconds as another, or the receiver's labels show a leap second that is still being examined
	LeapRefused                      // the receiver inserted or omitted a leap second against the tables
	PortProtocol                     // octets come at the port, and no frame of a known protocol is among them
	PortRateUnknown                  // the octets that come make no sense at any baud rate that was tried
	PortNoChecksum                   // the receiver's sentences have no checksums
	PortDamaged                      // many frames, or all, are damaged: octets are missing or changed
	PortShared                       // another program has the receiver's port open
	PortConsole                      // the kernel's console or a login prompt uses the receiver's port
	ReceiverNoFix                    // the receiver has no fix: its time comes from its own clock

	count
)

// Count is the number of codes, None included.
const Count = int(count)

// Group says what a code is about.
type Group uint8

// The groups.
const (
	Edge       Group = iota + 1 // an edge of the pulse was refused before the discipline saw it
	Message                     // a message of the receiver was refused before the discipline saw it
	Clock                       // the clock could not be opened, read or adjusted
	Receiver                    // the receiver's port or configuration failed
	Pulse                       // the pulse source failed
	Alarm                       // the reference as a whole may not be trusted
	Witness                     // a witness could not be asked, or is not known
	Leap                        // leap seconds: a warning, the clock goes on
	Comparison                  // a pulse that is only compared
)

// Info describes a code.
type Info struct {
	Word     string // in logs, status and metric labels; never changes
	Message  string // fixed phrase of the log line
	Group    Group
	Priority uint8  // of alarms: the highest is the one that is reported; 0 for others
	Remedy   string // what an operator can do; empty: nothing but wait
}

// table describes every code, but for its remedy.
var table = [count]struct {
	word, message string
	group         Group
	priority      uint8
}{
	None:                 {"none", "none", 0, 0},
	EdgeNoClock:          {"edge_no_clock", "pulse edge refused", Edge, 0},
	EdgeStraddles:        {"edge_straddles_step", "pulse edge refused", Edge, 0},
	EdgeStale:            {"edge_stale", "pulse edge refused", Edge, 0},
	EdgeFuture:           {"edge_future", "pulse edge refused", Edge, 0},
	EdgeRealStepped:      {"edge_realtime_stepped", "pulse edge refused", Edge, 0},
	EdgeQueueFull:        {"edge_queue_full", "pulse edge refused", Edge, 0},
	MessageQueue:         {"message_queue_full", "message refused", Message, 0},
	MessageNoDate:        {"message_no_date", "message refused", Message, 0},
	MessageRollover:      {"message_rollover", "message refused", Message, 0},
	MessageTooEarly:      {"message_too_early", "message refused", Message, 0},
	MessageDateAhead:     {"message_date_ahead", "message refused", Message, 0},
	MessageFraction:      {"message_fraction", "message refused", Message, 0},
	MessageNoClock:       {"message_no_clock", "message refused", Message, 0},
	ClockMissing:         {"clock_missing", "clock cannot be opened", Clock, 0},
	ClockWatched:         {"clock_watched", "clock is only watched", Clock, 0},
	ClockGone:            {"clock_gone", "clock failed", Clock, 0},
	ClockRead:            {"clock_read", "clock failed", Clock, 0},
	ClockDenied:          {"clock_denied", "clock failed", Clock, 0},
	ClockStep:            {"clock_step", "clock failed", Clock, 0},
	ClockContested:       {"clock_contested", "clock failed", Clock, 0},
	ClockTimeout:         {"clock_timeout", "clock failed", Clock, 0},
	ClockSlept:           {"machine_slept", "clock failed", Clock, 0},
	ClockForeign:         {"clock_stepped_by_other", "clock failed", Clock, 0},
	PortMissing:          {"port_missing", "receiver failed", Receiver, 0},
	PortGone:             {"port_gone", "receiver failed", Receiver, 0},
	PortSilent:           {"port_silent", "receiver failed", Receiver, 0},
	PortBaud:             {"port_baud", "receiver failed", Receiver, 0},
	PortSlow:             {"port_slow", "receiver failed", Receiver, 0},
	SetupFailed:          {"setup_failed", "receiver failed", Receiver, 0},
	SetupRefused:         {"setup_refused", "receiver failed", Receiver, 0},
	PulseMissing:         {"pulse_missing", "pulse source failed", Pulse, 0},
	PulseGone:            {"pulse_gone", "pulse source failed", Pulse, 0},
	PulseSilent:          {"pulse_silent", "pulse source failed", Pulse, 0},
	SawtoothRefused:      {"sawtooth_refused", "quantisation error applied with another sign", Pulse, 0},
	ReceiverFixLost:      {"fix_lost", "receiver distrusted", Alarm, 10},
	ReceiverAntennaOpen:  {"antenna_open", "receiver distrusted", Alarm, 11},
	ReceiverAntennaShort: {"antenna_short", "receiver distrusted", Alarm, 12},
	ReceiverJammed:       {"jamming", "receiver distrusted", Alarm, 13},
	ReceiverSpoofed:      {"spoofing", "receiver distrusted", Alarm, 14},
	ReceiverMoved:        {"position_jump", "receiver distrusted", Alarm, 15},
	WitnessAwaited:       {"witness_awaited", "reference distrusted", Alarm, 2},
	WitnessDisagrees:     {"witness_disagrees", "reference distrusted", Alarm, 2},
	WitnessSilent:        {"witness_silent", "witness failed", Witness, 0},
	FragmentUnread:       {"fragment_unreadable", "file of the fleet refused", Witness, 0},
	FragmentOwner:        {"fragment_owner", "file of the fleet refused", Witness, 0},
	FragmentContent:      {"fragment_content", "file of the fleet refused", Witness, 0},
	ReferenceUnusable:    {"reference_unusable", "reference distrusted", Alarm, 2},
	ReferenceDrift:       {"reference_drift", "reference distrusted", Alarm, 3},
	LeapUnconfirmed:      {"leap_unconfirmed", "reference distrusted", Alarm, 1},
	LeapDisagrees:        {"leap_disagrees", "sources of leap seconds disagree", Leap, 0},
	LeapExpired:          {"leap_expired", "leap table has expired", Leap, 0},
	PulseAmbiguous:       {"ambiguous_edge", "pulse's edges cannot be distinguished", Alarm, 4},
	SecondOpposed:        {"second_opposed", "receiver's second distrusted", Alarm, 6},
	SecondNamed:          {"second_named_otherwise", "receiver's second distrusted", Alarm, 5},
	CompareSkipped:       {"compare_skipped", "compared pulse skipped", Comparison, 0},
	CompareAlarm:         {"pulse_disagrees", "compared pulse disagrees", Comparison, 0},
	LeapContradicted:     {"leap_contradicted", "leap second is undecided", Alarm, 7},
	LeapRefused:          {"leap_refused", "receiver's leap second refused", Leap, 0},
	PortProtocol:         {"port_protocol", "receiver's octets are of no known protocol", Receiver, 0},
	PortRateUnknown:      {"port_rate_unknown", "receiver's baud rate is not found", Receiver, 0},
	PortNoChecksum:       {"port_no_checksum", "receiver's sentences have no checksums", Receiver, 0},
	PortDamaged:          {"port_damaged", "receiver's octets are damaged", Receiver, 0},
	PortShared:           {"port_shared", "another program uses the receiver's port", Receiver, 0},
	PortConsole:          {"port_console", "a console uses the receiver's port", Receiver, 0},
	ReceiverNoFix:        {"receiver_no_fix", "receiver has no fix", Receiver, 0},
}

// Info returns what is known of the code; for a value that is no code, that of
// None.
func (c Code) Info() Info {
	if c >= count {
		c = None
	}
	x := &table[c]
	return Info{x.word, x.message, x.group, x.priority, remedies[c]}
}

// String returns the code's word.
func (c Code) String() string {
	if c < count {
		return table[c].word
	}
	return "invalid"
}

// MarshalText returns the code's word.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a code's word. One that this version does not know is None.
func (c *Code) UnmarshalText(b []byte) error {
	*c = None
	for _, x := range All() {
		if x.String() == string(b) {
			*c = x
		}
	}
	return nil
}

// Message returns the fixed phrase of the code's log line.
func (c Code) Message() string { return c.Info().Message }

// All returns every code but None.
func All() []Code {
	all := make([]Code, 0, Count-1)
	for c := None + 1; c < count; c++ {
		all = append(all, c)
	}
	return all
}
