// Package ubx is u-blox's binary protocol UBX: it decodes the messages that
// matter for time, and configures receivers of generation 6 and later.
//
// Layouts are those of the u-blox 8 / M8 protocol specification (UBX-13003221)
// and of the F9 interface descriptions, compared with gpsd 3.22's decoder
// (gps/ubx.py) and pyubx2's tables.
package ubx

import (
	"encoding/binary"
	"math"
	"strings"

	"noonmark/refclock/gnss"
)

// Framing (interface descriptions, "UBX frame structure"): two octets of sync,
// class, id, length (little endian), payload, and two octets of checksum over
// class to payload.
const (
	sync1    = 0xB5
	sync2    = 0x62
	overhead = 8
	// maxPayload is the longest payload taken; RXM-RAWX of a receiver with 184
	// channels has 5904 octets.
	maxPayload = 6144
)

// Protocol is UBX as the decoder sees it.
type Protocol struct{}

// New returns the protocol.
func New() Protocol { return Protocol{} }

// Name returns "ubx".
func (Protocol) Name() string { return "ubx" }

// Starts returns the first octet of sync.
func (Protocol) Starts() string { return string([]byte{sync1}) }

// Match looks for a frame.
func (Protocol) Match(w *gnss.Window) gnss.Match {
	have := w.Len()
	if have > 1 && w.Octet(1) != sync2 {
		return gnss.NoFrame(1)
	}
	// A class that no receiver uses begins no frame. Damaged input must not hold
	// back the stream for the length that it seems to have.
	if have > 2 && !classKnown(w.Octet(2)) {
		return gnss.NoFrame(2)
	}
	if have < 6 {
		return gnss.Incomplete(have+1, gnss.Truncated)
	}
	n := int(w.Octet(4)) | int(w.Octet(5))<<8
	if n > maxPayload {
		return gnss.Damaged(2, gnss.TooLong)
	}
	if have < n+overhead {
		return gnss.Incomplete(n+overhead, gnss.Truncated)
	}
	before, after := w.Sums(addFletcher, 2, 6+n)
	if a, b := fletcher(before, after, 4+n); w.Octet(6+n) != a || w.Octet(7+n) != b {
		return gnss.Damaged(2, gnss.BadChecksum)
	}
	return gnss.Complete(n + overhead)
}

// Decode decodes one frame.
func (Protocol) Decode(s *gnss.Stream, m *gnss.Message, frame []byte) bool {
	p := payload(frame[6 : len(frame)-2])
	if frame[2] == infClass {
		if frame[3] > 4 {
			return s.Refuse(gnss.UnknownSentence)
		}
		m.Source = [...]string{"INF-ERROR", "INF-WARNING", "INF-NOTICE", "INF-TEST", "INF-DEBUG"}[frame[3]]
		m.Text = p.text(0, len(p))
		m.SetAntennaText()
		return true
	}
	h, ok := decoders[int(frame[2])<<8|int(frame[3])]
	if !ok {
		return s.Refuse(gnss.UnknownSentence)
	}
	if len(p) < h.min {
		return s.Refuse(gnss.BadLength)
	}
	m.Source = h.name
	return h.decode(s, m, p)
}

// Append appends the frame of a message: class in the high byte of id, its
// number in the low one.
func Append(dst []byte, id int, payload []byte) []byte {
	n := len(dst)
	dst = append(dst, sync1, sync2, byte(id>>8), byte(id), byte(len(payload)), byte(len(payload)>>8))
	dst = append(dst, payload...)
	a, b := checksum(dst[n+2:])
	return append(dst, a, b)
}

// checksum is the 8-bit Fletcher sum (RFC 1145) over class, id, length and
// payload.
func checksum(b []byte) (a, c byte) {
	sum := uint32(0)
	for _, v := range b {
		sum = addFletcher(sum, v)
	}
	return fletcher(0, sum, len(b))
}

// addFletcher adds an octet to a running Fletcher sum: the sum of the octets in its
// low octet, the sum of these sums in the next one.
func addFletcher(sum uint32, v byte) uint32 {
	a := byte(sum) + v
	return uint32(byte(sum>>8)+a)<<8 | uint32(a)
}

// fletcher returns the Fletcher sum of n octets from the running sums before and
// after them.
func fletcher(before, after uint32, n int) (a, c byte) {
	a = byte(after) - byte(before)
	return a, byte(after>>8) - byte(before>>8) - byte(n)*byte(before)
}

// classKnown reports whether any receiver uses the class.
func classKnown(c byte) bool {
	switch c {
	case 0x01, 0x02, 0x04, 0x05, 0x06, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x10, 0x13, 0x21, 0x27, 0x28, 0x29, 0xF0, 0xF1:
		return true
	}
	return false
}

// payload reads little-endian fields at an offset; the caller has checked the
// length.
type payload []byte

func (p payload) u16(i int) int   { return int(binary.LittleEndian.Uint16(p[i:])) }
func (p payload) i16(i int) int   { return int(int16(binary.LittleEndian.Uint16(p[i:]))) }
func (p payload) u32(i int) int64 { return int64(binary.LittleEndian.Uint32(p[i:])) }
func (p payload) i32(i int) int64 { return int64(int32(binary.LittleEndian.Uint32(p[i:]))) }
func (p payload) i8(i int) int    { return int(int8(p[i])) }

// count is u32 limited to an int of any machine.
func (p payload) count(i int) int { return int(min(p.u32(i), math.MaxInt32)) }

// text returns a string padded with zeros.
func (p payload) text(i, n int) string {
	s, _, _ := strings.Cut(string(p[i:i+n]), "\x00")
	return strings.TrimSpace(strings.ToValidUTF8(s, "?"))
}
