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
func (SiRF) Match(b []byte) gnss.Match {
	return matchA0(b, 0xA2, 4, func(payload, end []byte) bool {
		sum := 0
		for _, c := range payload {
			sum += int(c)
		}
		return int(end[0])<<8|int(end[1]) == sum&0x7FFF && end[2] == 0xB0 && end[3] == 0xB3
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
func (SkyTraq) Match(b []byte) gnss.Match {
	return matchA0(b, 0xA1, 3, func(payload, end []byte) bool {
		xor := byte(0)
		for _, c := range payload {
			xor ^= c
		}
		return end[0] == xor && end[1] == '\r' && end[2] == '\n'
	})
}

// maxA0 is the longest payload of the protocols that begin with A0.
const maxA0 = 2047

// matchA0 finds a frame of A0, a second octet, a length of two octets, a payload
// and an end of endLen octets.
func matchA0(b []byte, second byte, endLen int, valid func(payload, end []byte) bool) gnss.Match {
	if len(b) < 2 {
		return gnss.Incomplete(gnss.Noise)
	}
	if b[1] != second {
		return gnss.NoFrame(1)
	}
	if len(b) < 4 {
		return gnss.Incomplete(gnss.Noise)
	}
	n := int(b[2])<<8 | int(b[3])
	if n == 0 || n > maxA0 {
		return gnss.NoFrame(2)
	}
	total := 4 + n + endLen
	if len(b) < total {
		return gnss.Incomplete(gnss.Noise)
	}
	if !valid(b[4:4+n], b[4+n:total]) {
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
func (RTCM) Match(b []byte) gnss.Match {
	if len(b) > 1 && b[1]&0xFC != 0 {
		return gnss.NoFrame(1)
	}
	if len(b) < 3 {
		return gnss.Incomplete(gnss.Noise)
	}
	n := int(b[1]&3)<<8 | int(b[2])
	if len(b) < n+6 {
		return gnss.Incomplete(gnss.Noise)
	}
	if crc24q(b[:n+3]) != uint32(b[n+3])<<16|uint32(b[n+4])<<8|uint32(b[n+5]) {
		return gnss.NoFrame(1)
	}
	return gnss.Complete(n + 6)
}

// crc24q is the Qualcomm CRC-24 (RTCM 10403, polynomial 1864CFB, initial 0).
func crc24q(b []byte) uint32 {
	crc := uint32(0)
	for _, c := range b {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864CFB
			}
		}
	}
	return crc
}
