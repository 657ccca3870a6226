// Package ntp is the NTP packet format: the 48-octet header of RFC 5905, its
// 64-bit timestamps across eras, and the extension fields of RFC 7822. It has no
// socket, no clock and no key.
package ntp

import (
	"encoding/binary"
	"errors"
)

// HeaderLen is the length in octets of an NTP header (RFC 5905, figure 8).
const HeaderLen = 48

// Port is the UDP port of NTP servers.
const Port = 123

// Association modes (RFC 5905, figure 10).
const (
	ModeReserved         = 0 // of every packet of version 1 (RFC 1059)
	ModeSymmetricActive  = 1
	ModeSymmetricPassive = 2
	ModeClient           = 3
	ModeServer           = 4
	ModeBroadcast        = 5
	ModeControl          = 6
	ModePrivate          = 7
)

// Leap indicators (RFC 5905, figure 9).
const (
	LeapNone    = 0
	LeapInsert  = 1 // the last minute of the day has 61 seconds
	LeapDelete  = 2 // the last minute of the day has 59 seconds
	LeapUnknown = 3 // the clock is not synchronised
)

// ErrShort is returned for a packet shorter than a header.
var ErrShort = errors.New("packet is shorter than an NTP header")

// Header is the fixed part of an NTP packet (RFC 5905, section 7.3).
type Header struct {
	Leap      uint8 // LeapNone to LeapUnknown
	Version   uint8 // 0 to 7
	Mode      uint8 // 0 to 7
	Stratum   uint8 // 0 = kiss code in RefID, 1 = primary, 16 = unsynchronised
	Poll      int8  // log2 seconds
	Precision int8  // log2 seconds
	RootDelay Short
	RootDisp  Short
	RefID     [4]byte
	RefTime   Timestamp // when the clock was last set or corrected; 0 = never
	Origin    Timestamp // in an answer: Transmit of the request
	Receive   Timestamp // in an answer: arrival of the request
	Transmit  Timestamp // departure of this packet
}

// Parse reads the first HeaderLen octets of b. Its only error is ErrShort: every
// combination of bits is a header, which the caller has to check.
func (h *Header) Parse(b []byte) error {
	if len(b) < HeaderLen {
		return ErrShort
	}
	b = b[:HeaderLen]
	h.Leap, h.Version, h.Mode = b[0]>>6, b[0]>>3&7, b[0]&7
	h.Stratum, h.Poll, h.Precision = b[1], int8(b[2]), int8(b[3])
	h.RootDelay = Short(binary.BigEndian.Uint32(b[4:]))
	h.RootDisp = Short(binary.BigEndian.Uint32(b[8:]))
	h.RefID = [4]byte(b[12:16])
	h.RefTime = Timestamp(binary.BigEndian.Uint64(b[16:]))
	h.Origin = Timestamp(binary.BigEndian.Uint64(b[24:]))
	h.Receive = Timestamp(binary.BigEndian.Uint64(b[32:]))
	h.Transmit = Timestamp(binary.BigEndian.Uint64(b[40:]))
	return nil
}

// Put writes the header into b[:HeaderLen]. It uses the low two bits of Leap, and
// the low three of Version and Mode.
func (h *Header) Put(b []byte) {
	b = b[:HeaderLen]
	b[0] = h.Leap<<6 | h.Version&7<<3 | h.Mode&7
	b[1], b[2], b[3] = h.Stratum, byte(h.Poll), byte(h.Precision)
	binary.BigEndian.PutUint32(b[4:], uint32(h.RootDelay))
	binary.BigEndian.PutUint32(b[8:], uint32(h.RootDisp))
	copy(b[12:16], h.RefID[:])
	binary.BigEndian.PutUint64(b[16:], uint64(h.RefTime))
	binary.BigEndian.PutUint64(b[24:], uint64(h.Origin))
	binary.BigEndian.PutUint64(b[32:], uint64(h.Receive))
	binary.BigEndian.PutUint64(b[40:], uint64(h.Transmit))
}
