package gnss

// Reason names why input was refused, or why an accepted statement does not
// date anything. Its String is used as a metric label and in logs.
type Reason uint8

const (
	BadChecksum     Reason = iota // the frame's checksum does not match
	MissingChecksum               // an NMEA sentence that ends without one
	TooLong                       // longer than any frame of its protocol may be
	BadCharacter                  // a byte inside a sentence that no sentence may hold
	Truncated                     // a frame cut off by the start of the next, or by the end of input
	BadLength                     // a UBX payload whose length contradicts its message
	TooFewFields                  // a sentence without the fields its type needs
	BadTime                       // no time of day: wrong digits, 24:00, 99:99:99
	BadDate                       // no date of the calendar
	BadField                      // another field that matters is out of its range
	NoLeapSecond                  // second 60 where no leap second is known
	VoidStatus                    // the receiver itself says the statement is void
	NoDate                        // a time of day with no date to go with it
	UnknownSentence               // a good frame of a type that is not decoded
	ForeignFrame                  // a good frame of another protocol (SiRF, SkyTraq, RTCM 3)
	Noise                         // bytes that belong to no frame; counted in bytes

	numReasons
)

var reasonNames = [numReasons]string{
	"bad_checksum", "missing_checksum", "too_long", "bad_character", "truncated", "bad_length",
	"too_few_fields", "bad_time", "bad_date", "bad_field", "no_leap_second", "void_status",
	"no_date", "unknown_sentence", "foreign_frame", "noise_bytes",
}

func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns every Reason in order, for those who export counters.
func Reasons() []Reason {
	rs := make([]Reason, numReasons)
	for i := range rs {
		rs[i] = Reason(i)
	}
	return rs
}

// Counters tell what a Decoder has seen since it was made.
type Counters struct {
	Octets    uint64 // read
	NMEA, UBX uint64 // frames with a good checksum
	Messages  uint64 // messages handed out
	byReason  [numReasons]uint64
}

// Of returns the count of one Reason: frames or statements, for Noise bytes.
func (c *Counters) Of(r Reason) uint64 {
	if r < numReasons {
		return c.byReason[r]
	}
	return 0
}

func (c *Counters) count(r Reason) { c.byReason[r]++ }
