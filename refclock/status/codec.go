package status

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"time"
	"unicode"

	"noonmark/phc/tai"
)

// Layout of the file in 64-bit little-endian words; FORMAT.md describes the same
// in bytes and must change with it.
const (
	magic   = 0x4b52414d4e4f4f4e // "NOONMARK"
	version = 1
	words   = 64
	// Size is the length of the file in bytes.
	Size = words * 8

	wMagic = 0
	wVer   = 1 // version, then words
	wSeq   = 2 // odd while being written
	wBoot  = 3 // first 8 bytes of the kernel's boot id
	wBody  = 4
	wSpace = 55 // time namespace of the writer
	wShift = 56 // shift of its monotonic clocks, ns
	wSum   = 63 // checksum of the words before; 0 = none
)

// image is the content of the file.
type image [words]uint64

// put writes the words from on to b, which begins with word from.
func (m *image) put(b []byte, from int) {
	for i, w := range m[from : from+len(b)/8] {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
}

// get reads the words of the whole file.
func (m *image) get(b *[Size]byte) {
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
}

// body returns the words under the sequence lock.
func (m *image) body() *body { return (*body)(m[wBody:]) }

// sum is the checksum: it shows a reader that its copy is of one snapshot. It is
// no protection against whoever may write the file.
func (m *image) sum() uint64 {
	h := uint64(magic)
	for _, w := range m[:wSum] {
		h = bits.RotateLeft64(h^w, 29) * 0x9e3779b97f4a7c15
	}
	return max(h, 1)
}

// body is the part under the sequence lock.
type body [words - wBody]uint64

const (
	lenReason   = 64
	lenPulse    = 48
	lenReceiver = 48
	lenClockDev = 32
)

func dur(v uint64) time.Duration { return time.Duration(int64(v)) }

func (b *body) encode(s *Snapshot) {
	*b = body{}
	b[0] = uint64(s.State) | uint64(s.Kind)<<8 | uint64(s.Stratum)<<16 | uint64(uint8(s.LeapSign))<<24 | uint64(binary.BigEndian.Uint32(s.RefID[:]))<<32
	b[1] = uint64(uint32(s.PHCIndex)) | uint64(s.PID)<<32
	b[2] = uint64(s.Epoch) | uint64(uint32(s.TAIOffset))<<32
	b[3] = uint64(s.Mono)
	b[4] = uint64(s.Clock)
	b[5] = math.Float64bits(s.RatePPB)
	b[6] = uint64(s.LineErr)
	b[7] = uint64(s.Bound)
	b[8] = math.Float64bits(s.BoundRate)
	b[9] = uint64(s.Limit)
	b[10] = uint64(s.LeapAt)
	b[11] = uint64(s.RefTime)
	b[12] = uint64(s.RootDelay)
	b[13] = math.Float64bits(s.OffsetNS)
	b[14] = math.Float64bits(s.FreqPPB)
	b[15] = math.Float64bits(s.NoiseNS)
	b[16] = s.Updates
	b[17] = uint64(s.PulseMono)
	b[18] = s.Pulses
	b[19] = s.BadPulses
	b[20] = s.Missed
	b[21] = uint64(s.MsgMono)
	b[22] = s.Msgs
	b[23] = s.BadMsgs
	putText(b[24:32], s.Reason)
	putText(b[32:38], s.Pulse)
	putText(b[38:44], s.Receiver)
	putText(b[44:48], s.ClockDev)
	b[48] = uint64(s.LeapPast)
	b[49] = uint64(uint8(s.PastSign))
	b[50] = uint64(s.Slept)
}

func (b *body) decode(s *Snapshot, text bool) {
	s.State = State(b[0])
	s.Kind = ClockKind(b[0] >> 8)
	s.Stratum = uint8(b[0] >> 16)
	s.LeapSign = int8(b[0] >> 24)
	binary.BigEndian.PutUint32(s.RefID[:], uint32(b[0]>>32))
	s.PHCIndex = int32(b[1])
	s.PID = uint32(b[1] >> 32)
	s.Epoch = uint32(b[2])
	s.TAIOffset = int32(b[2] >> 32)
	s.Mono = int64(b[3])
	s.Clock = tai.Time(b[4])
	s.RatePPB = math.Float64frombits(b[5])
	s.LineErr = dur(b[6])
	s.Bound = dur(b[7])
	s.BoundRate = math.Float64frombits(b[8])
	s.Limit = dur(b[9])
	s.LeapAt = tai.Time(b[10])
	s.RefTime = tai.Time(b[11])
	s.RootDelay = dur(b[12])
	s.OffsetNS = math.Float64frombits(b[13])
	s.FreqPPB = math.Float64frombits(b[14])
	s.NoiseNS = math.Float64frombits(b[15])
	s.Updates = b[16]
	s.PulseMono = int64(b[17])
	s.Pulses = b[18]
	s.BadPulses = b[19]
	s.Missed = b[20]
	s.MsgMono = int64(b[21])
	s.Msgs = b[22]
	s.BadMsgs = b[23]
	s.LeapPast = tai.Time(b[48])
	s.PastSign = int8(b[49])
	s.Slept = dur(b[50])
	if text {
		s.Reason = getText(b[24:32])
		s.Pulse = getText(b[32:38])
		s.Receiver = getText(b[38:44])
		s.ClockDev = getText(b[44:48])
	}
}

func putText(w []uint64, s string) {
	for i := 0; i < len(s) && i < 8*len(w); i++ {
		w[i/8] |= uint64(s[i]) << (8 * (i % 8))
	}
}

// getText reads a text. What could confuse a terminal becomes a question mark.
func getText(w []uint64) string {
	var b [lenReason]byte
	n := 0
	for ; n < 8*len(w); n++ {
		c := byte(w[n/8] >> (8 * (n % 8)))
		if c == 0 {
			break
		}
		b[n] = c
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b[:n]))
}
