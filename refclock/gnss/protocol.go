package gnss

// Framing finds the frames of one protocol in a stream. It keeps no state.
type Framing interface {
	// Name is the protocol in metric labels and logs, lower case, such as "ubx".
	Name() string
	// Starts returns the octets with which a frame can begin.
	Starts() string
	// Match looks for a frame at the place of w. The first octet there is one of
	// Starts. It is called again when the octets that it asked for, at most MaxFrame,
	// have come. The cost of a stream must be proportional to its length: Match reads
	// no octet again and again (Window.Resume), and forms sums by Window.Sums.
	Match(w *Window) Match
}

// Protocol decodes the frames that it finds.
type Protocol interface {
	Framing
	// Decode fills in m from one frame and returns true if m is to be handed out.
	// The frame has a valid checksum and is valid only during the call. Mono is
	// set in m, all else is zero and JamIndicator unknown. What is refused is
	// counted in s.
	Decode(s *Stream, m *Message, frame []byte) bool
}

// Protocols are the protocols of a Decoder. If several can begin with the same
// octet, a complete frame wins over an incomplete one, and an earlier protocol
// over a later one.
type Protocols struct {
	Decoded []Protocol
	// Skipped frames are counted as ForeignFrame and not decoded. Their octets
	// are neither noise nor mistaken for frames of other protocols.
	Skipped []Framing
}

// matchState orders what can be at a place of the stream; higher wins.
type matchState uint8

const (
	noise      matchState = iota // no frame of this protocol
	damaged                      // a frame of this protocol that is refused
	incomplete                   // undecided until more octets come
	complete                     // a frame with a valid checksum
)

// Match is the outcome of looking for a frame at a place of the stream.
type Match struct {
	state  matchState
	defect Defect // of what is refused
	n      int    // octets: the frame, what to skip, or what is needed
	resume int    // of an incomplete frame: for Window.Resume
	carry  uint32 // likewise
}

// Complete reports a frame of n octets with a valid checksum.
func Complete(n int) Match { return Match{state: complete, n: n} }

// Incomplete asks for a total of n octets. If they do not come, the first octet is
// refused with d.
func Incomplete(n int, d Defect) Match { return Match{state: incomplete, n: n, defect: d} }

// Resume sets what Window.Resume returns when there are more octets.
func (m Match) Resume(i int, carry uint32) Match {
	m.resume, m.carry = i, carry
	return m
}

// NoFrame reports that the first n octets, at least one, begin no frame. What
// follows is looked at afresh.
func NoFrame(n int) Match { return Match{state: noise, n: n, defect: Noise} }

// Damaged reports a frame of this protocol that is refused with d. After n
// octets, at least one, the stream is looked at afresh, so that a frame that
// begins inside the damaged one is found.
func Damaged(n int, d Defect) Match {
	if d == Noise {
		return NoFrame(n)
	}
	return Match{state: damaged, n: n, defect: d}
}
