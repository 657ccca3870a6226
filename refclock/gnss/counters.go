package gnss

import "slices"

// Defect is why input was refused, or why a message was accepted but labels no
// instant. Its String is the reason word in metric labels and logs.
type Defect uint8

// The defects.
const (
	BadChecksum     Defect = iota // the frame's checksum does not match
	MissingChecksum               // an NMEA sentence that ends without one
	TooLong                       // longer than any frame of its protocol
	BadCharacter                  // an octet that is not allowed inside a sentence
	Truncated                     // a frame cut off by the start of the next, or by the end of input
	BadLength                     // a payload whose length contradicts its message
	TooFewFields                  // a sentence without the fields that its type needs
	BadTime                       // no time of day: wrong digits, 24:00, 99:99:99
	BadDate                       // no date of the calendar
	BadField                      // another field that matters is out of its range
	NoLeapSecond                  // second 60 where no leap second is known
	VoidStatus                    // the receiver itself marks the message as void
	NoDate                        // a time of day without a date
	UnknownSentence               // a valid frame of a type that is not decoded
	ForeignFrame                  // a valid frame of a protocol that is skipped
	Noise                         // octets that belong to no frame; counted in octets

	numDefects
)

var defectNames = [numDefects]string{
	"bad_checksum", "missing_checksum", "too_long", "bad_character", "truncated", "bad_length",
	"too_few_fields", "bad_time", "bad_date", "bad_field", "no_leap_second", "void_status",
	"no_date", "unknown_sentence", "foreign_frame", "noise_bytes",
}

// String returns the word.
func (d Defect) String() string {
	if d < numDefects {
		return defectNames[d]
	}
	return "unknown"
}

// Defects returns every Defect, in the order in which they are exported.
func Defects() []Defect {
	all := make([]Defect, numDefects)
	for i := range all {
		all[i] = Defect(i)
	}
	return all
}

// FrameCount is the number of frames of one protocol with a valid checksum.
type FrameCount struct {
	Protocol string // Framing.Name
	Frames   uint64
}

// Counters count what a Decoder has seen since it was made.
type Counters struct {
	Octets   uint64       // read
	Messages uint64       // handed out
	Frames   []FrameCount // of the protocols that are decoded, in their order
	byDefect [numDefects]uint64
}

// Of returns the count of one Defect: frames or messages, for Noise octets.
func (c *Counters) Of(d Defect) uint64 {
	if d < numDefects {
		return c.byDefect[d]
	}
	return 0
}

// FramesOf returns the number of valid frames of a protocol, by its name.
func (c *Counters) FramesOf(protocol string) uint64 {
	for _, f := range c.Frames {
		if f.Protocol == protocol {
			return f.Frames
		}
	}
	return 0
}

// AllFrames returns the number of valid frames of all protocols that are
// decoded.
func (c *Counters) AllFrames() (n uint64) {
	for _, f := range c.Frames {
		n += f.Frames
	}
	return n
}

func (c *Counters) clone() Counters {
	k := *c
	k.Frames = slices.Clone(c.Frames)
	return k
}

func (c *Counters) count(d Defect) { c.byDefect[d]++ }
