// Package foreign finds the frames of protocols that are not decoded, so that
// they are skipped as a whole: their octets are neither counted as noise nor
// mistaken for frames of other protocols.
package foreign

import "noonmark/refclock/gnss"

// SiRF is SiRF binary: A0 A2, length (big endian), payload, 15-bit sum, B0 B3.
type SiRF struct{}

// Name returns "sirf".
func (SiRF) Name() string { return "sirf" }

// Starts returns the first octet of a frame.
func (SiRF) Starts() string { return "\xA0" }

// Match looks for a frame.
func (SiRF) Match(w *gnss.Window) gnss.Match {
	return matchA0(w, 0xA2, 4, func(payload, end int) bool {
		before, after := w.Sums(func(sum uint32, c byte) uint32 { return sum + uint32(c) }, payload, end)
		return uint32(w.Octet(end))<<8|uint32(w.Octet(end+1)) == (after-before)&0x7FFF && w.Octet(end+2) == 0xB0 && w.Octet(end+3) == 0xB3
	})
}

// SkyTraq is SkyTraq binary: A0 A1, length (big endian), payload, exclusive or,
// 0D 0A.
type SkyTraq struct{}

// Name returns "skytraq".
func (SkyTraq) Name() string { return "skytraq" }

// Starts returns the first octet of a frame.
func (SkyTraq) Starts() string { return "\xA0" }

// Match looks for a frame.
func (SkyTraq) Match(w *gnss.Window) gnss.Match {
	return matchA0(w, 0xA1, 3, func(payload, end int) bool {
		before, after := w.Sums(func(sum uint32, c byte) uint32 { return sum ^ uint32(c) }, payload, end)
		return w.Octet(end) == byte(before^after) && w.Octet(end+1) == '\r' && w.Octet(end+2) == '\n'
	})
}

// maxA0 is the longest payload of the protocols that begin with A0.
const maxA0 = 2047

// matchA0 finds a frame of A0, a second octet, a length of two octets, a payload
// and an end of endLen octets. valid checks the end; payload and end are where
// they begin.
func matchA0(w *gnss.Window, second byte, endLen int, valid func(payload, end int) bool) gnss.Match {
	const header = 4
	have := w.Len()
	if have < 2 {
		return gnss.Incomplete(have+1, gnss.Noise)
	}
	if w.Octet(1) != second {
		return gnss.NoFrame(1)
	}
	if have < header {
		return gnss.Incomplete(header, gnss.Noise)
	}
	n := int(w.Octet(2))<<8 | int(w.Octet(3))
	if n == 0 || n > maxA0 {
		return gnss.NoFrame(2)
	}
	total := header + n + endLen
	if have < total {
		return gnss.Incomplete(total, gnss.Noise)
	}
	if !valid(header, header+n) {
		return gnss.NoFrame(2)
	}
	return gnss.Complete(total)
}

// RTCM is RTCM 3: D3, six zero bits, ten bits of length, payload, CRC-24Q.
type RTCM struct{}

// Name returns "rtcm3".
func (RTCM) Name() string { return "rtcm3" }

// Starts returns the first octet of a frame.
func (RTCM) Starts() string { return "\xD3" }

// Match looks for a frame.
func (RTCM) Match(w *gnss.Window) gnss.Match {
	have := w.Len()
	if have > 1 && w.Octet(1)&0xFC != 0 {
		return gnss.NoFrame(1)
	}
	if have < 3 {
		return gnss.Incomplete(have+1, gnss.Noise)
	}
	total := int(w.Octet(1)&3)<<8 + int(w.Octet(2)) + 6
	if have < total {
		return gnss.Incomplete(total, gnss.Noise)
	}
	// The CRC over a frame with its own CRC is 0.
	if before, after := w.Sums(addCRC24Q, 0, total); after != shiftCRC24Q(before, total) {
		return gnss.NoFrame(1)
	}
	return gnss.Complete(total)
}

// crc24q is the polynomial of the Qualcomm CRC-24 (RTCM 10403), with its term of
// degree 24.
const crc24q = 0x1864CFB

// addCRC24Q adds an octet to a CRC.
func addCRC24Q(crc uint32, c byte) uint32 {
	crc ^= uint32(c) << 16
	for range 8 {
		crc = timesX(crc)
	}
	return crc
}

// shiftCRC24Q returns the CRC with n zero octets more. A CRC is linear: that of
// two parts is that of the first with as many zeros as the second has octets, plus
// that of the second.
func shiftCRC24Q(crc uint32, n int) uint32 {
	for power := uint32(1 << 8); n > 0; n >>= 1 { // x^8, x^16, x^32, ...
		if n&1 != 0 {
			crc = times(crc, power)
		}
		power = times(power, power)
	}
	return crc
}

// times multiplies two polynomials modulo that of the CRC.
func times(a, b uint32) (product uint32) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		a = timesX(a)
	}
	return product
}

// timesX multiplies a polynomial by x modulo that of the CRC.
func timesX(a uint32) uint32 {
	if a <<= 1; a>>24 != 0 {
		a ^= crc24q
	}
	return a
}
