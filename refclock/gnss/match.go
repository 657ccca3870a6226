package gnss

// state is what the bytes at a place turn out to be.
type state uint8

const (
	good state = iota // a whole frame of n bytes
	bad               // n bytes that are none
	more              // undecided until more bytes come
)

// verdict is the outcome of looking at one place of the stream. For bad, n is
// at least 1 and what follows is looked at afresh; for more, reason is why it
// is refused if nothing follows.
type verdict struct {
	state  state
	n      int
	kind   frameKind
	reason Reason
}

func noise(n int) verdict { return verdict{state: bad, n: n, reason: Noise} }

// match looks at the start of b, which is not empty.
func (f *framer) match(b []byte) verdict {
	switch b[0] {
	case '$':
		return matchNMEA(b)
	case ubxSync1:
		return matchUBX(b)
	case 0xA0:
		return matchSiRFOrSkyTraq(b)
	case 0xD3:
		return matchRTCM(b)
	case '#':
		if f.comments && f.afterEOL {
			return matchComment(b)
		}
	}
	return noise(1)
}

// matchNMEA wants $, an address of at least three letters or digits, a comma
// and so on to * and two hexadecimal digits. A sentence is complete with the
// checksum's second digit; the line end is not waited for, because a binary
// frame may follow without one.
func matchNMEA(b []byte) verdict {
	address := false // the address is complete: from here on it is a sentence
	sum := byte(0)
	for i := 1; i < len(b); i++ {
		c := b[i]
		refuse := func(r Reason) verdict {
			if !address {
				r = Noise
			}
			return verdict{state: bad, n: i, reason: r}
		}
		switch {
		case i >= maxNMEA:
			return refuse(TooLong)
		case c == '\r' || c == '\n':
			return refuse(MissingChecksum)
		case c == '$':
			return refuse(Truncated)
		case c < ' ' || c > '~':
			return refuse(BadCharacter)
		case c == '*':
			if !address {
				return noise(i)
			}
			if len(b) < i+3 {
				return verdict{state: more, reason: Truncated}
			}
			hi, ok1 := hexDigit(b[i+1])
			lo, ok2 := hexDigit(b[i+2])
			if !ok1 || !ok2 || hi<<4|lo != sum {
				return verdict{state: bad, n: i + 1, reason: BadChecksum}
			}
			return verdict{state: good, n: i + 3, kind: frameNMEA}
		case !address && c == ',' && i > 3:
			address = true
		case !address && !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'):
			return noise(i)
		}
		sum ^= c
	}
	r := Noise
	if address {
		r = Truncated
	}
	return verdict{state: more, reason: r}
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// matchUBX wants B5 62, class, id, length (little endian), payload and two
// checksum bytes over class to payload (8-bit Fletcher, RFC 1145).
func matchUBX(b []byte) verdict {
	if len(b) > 1 && b[1] != ubxSync2 {
		return noise(1)
	}
	// A class no receiver uses is no start of frame: damaged input must not
	// hold back the stream for the length it pretends to have.
	if len(b) > 2 && !ubxClassKnown(b[2]) {
		return noise(2)
	}
	if len(b) < 6 {
		return verdict{state: more, reason: Truncated}
	}
	n := int(b[4]) | int(b[5])<<8
	if n > maxUBX {
		return verdict{state: bad, n: 2, reason: TooLong}
	}
	if len(b) < n+ubxOverhead {
		return verdict{state: more, reason: Truncated}
	}
	ckA, ckB := ubxSum(b[2 : 6+n])
	if b[6+n] != ckA || b[7+n] != ckB {
		return verdict{state: bad, n: 2, reason: BadChecksum}
	}
	return verdict{state: good, n: n + ubxOverhead, kind: frameUBX}
}

// matchSiRFOrSkyTraq recognises the two binary protocols that begin with A0 in
// order to step over them: SiRF (A0 A2, big endian length, payload, 15-bit sum,
// B0 B3) and SkyTraq (A0 A1, length, payload, exclusive or, 0D 0A).
func matchSiRFOrSkyTraq(b []byte) verdict {
	if len(b) < 2 {
		return verdict{state: more, reason: Noise}
	}
	sirf := b[1] == 0xA2
	if !sirf && b[1] != 0xA1 {
		return noise(1)
	}
	if len(b) < 4 {
		return verdict{state: more, reason: Noise}
	}
	n := int(b[2])<<8 | int(b[3])
	if n == 0 || n > 2047 {
		return noise(2)
	}
	total := 4 + n + 3
	if sirf {
		total++
	}
	if len(b) < total {
		return verdict{state: more, reason: Noise}
	}
	sum, xor := 0, byte(0)
	for _, c := range b[4 : 4+n] {
		sum += int(c)
		xor ^= c
	}
	t := b[4+n : total]
	if sirf && int(t[0])<<8|int(t[1]) == sum&0x7FFF && t[2] == 0xB0 && t[3] == 0xB3 ||
		!sirf && t[0] == xor && t[1] == '\r' && t[2] == '\n' {
		return verdict{state: good, n: total, kind: frameForeign}
	}
	return noise(2)
}

// matchRTCM steps over RTCM 3: D3, six zero bits, ten bits of length, payload,
// CRC-24Q.
func matchRTCM(b []byte) verdict {
	if len(b) > 1 && b[1]&0xFC != 0 {
		return noise(1)
	}
	if len(b) < 3 {
		return verdict{state: more, reason: Noise}
	}
	n := int(b[1]&3)<<8 | int(b[2])
	if len(b) < n+6 {
		return verdict{state: more, reason: Noise}
	}
	crc := uint32(0)
	for _, c := range b[:n+3] {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864CFB
			}
		}
	}
	if crc != uint32(b[n+3])<<16|uint32(b[n+4])<<8|uint32(b[n+5]) {
		return noise(1)
	}
	return verdict{state: good, n: n + 6, kind: frameForeign}
}

// matchComment takes a line of text that begins with #, whether lines end in
// line feeds or in carriage returns. A byte that text does not have ends the
// hope that it is one.
func matchComment(b []byte) verdict {
	for i, c := range b {
		switch {
		case c == '\n', c == '\r':
			return verdict{state: good, n: i + 1, kind: frameComment}
		case c < ' ' && c != '\t', c == 0x7F, i >= maxComment:
			return noise(1)
		}
	}
	return verdict{state: more, reason: Noise}
}
