package gnss

// Step is one action in the configuration of a receiver. The owner of the port
// changes to Baud unless that is 0, writes Send, and asks for the next step when
// a message has come or at Deadline, whichever is first.
type Step struct {
	Baud     int
	Send     []byte
	Deadline int64 // CLOCK_MONOTONIC_RAW, ns
}

// Configured is the outcome of a configuration.
type Configured struct {
	Protocol string   // of the messages that a configured receiver sends: Framing.Name
	Baud     int      // rate at which the receiver is now; 0 if the port's own was not changed
	Software string   // the receiver's software version; "" if unknown
	Refused  []string // what the receiver did not accept; models differ in what they have
	Err      error    // why the receiver is not configured; nil: it is
}
