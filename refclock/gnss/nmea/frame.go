// Package nmea is NMEA 0183 of any talker, with u-blox's PUBX,04.
package nmea

import (
	"strings"

	gonmea "github.com/adrianmo/go-nmea"

	"noonmark/refclock/gnss"
)

// maxSentence is the longest sentence taken, from $ to the checksum. The
// standard allows 82 octets; receivers send up to about 300. It is no longer
// because Garmin receivers merge two sentences into one whose checksum matches.
const maxSentence = 512

// Protocol is NMEA 0183 as the decoder sees it.
type Protocol struct{ parser gonmea.SentenceParser }

// New returns the protocol.
func New() *Protocol {
	own := func(s gonmea.BaseSentence) (gonmea.Sentence, error) { return sentence{s}, nil }
	p := &Protocol{parser: gonmea.SentenceParser{
		CustomParsers: make(map[string]gonmea.ParserFunc),
		// Match has checked the sum. The library's comparison knows upper case only.
		CheckCRC: func(gonmea.BaseSentence, string) error { return nil },
	}}
	for name, d := range decoders {
		if d.decode != nil {
			p.parser.CustomParsers[name] = own
		}
	}
	return p
}

// Name returns "nmea".
func (*Protocol) Name() string { return "nmea" }

// Starts returns the octet that begins a sentence.
func (*Protocol) Starts() string { return "$" }

// Match looks for a sentence: $, an address of at least three letters or digits,
// a comma and so on to * and two hexadecimal digits. A sentence is complete with
// the second digit of the checksum. The line end is not waited for, because a
// binary frame may follow without one.
func (*Protocol) Match(w *gnss.Window) gnss.Match {
	const inBody = 1 // carried: the address is complete, from here on it is a sentence
	i, carried := w.Resume()
	address := carried == inBody
	refuse := func(n int, d gnss.Defect) gnss.Match {
		if !address {
			return gnss.NoFrame(n)
		}
		return gnss.Damaged(n, d)
	}
	for i = max(i, 1); i < w.Len(); i++ {
		c := w.Octet(i)
		switch {
		case i >= maxSentence:
			return refuse(i, gnss.TooLong)
		case c == '\r' || c == '\n':
			return refuse(i, gnss.MissingChecksum)
		case c == '$':
			return refuse(i, gnss.Truncated)
		case c < ' ' || c > '~':
			return refuse(i, gnss.BadCharacter)
		case c == '*' && !address:
			return gnss.NoFrame(i)
		case c == '*' && w.Len() < i+3:
			return gnss.Incomplete(i+3, gnss.Truncated).Resume(i, inBody)
		case c == '*':
			return matchSum(w, i)
		case !address && c == ',' && i > 3:
			address = true
		case !address && !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'):
			return gnss.NoFrame(i)
		}
	}
	if address {
		return gnss.Incomplete(i+1, gnss.Truncated).Resume(i, inBody)
	}
	return gnss.Incomplete(i+1, gnss.Noise).Resume(i, 0)
}

// matchSum compares the two hexadecimal digits after the * at i with the sum.
func matchSum(w *gnss.Window, i int) gnss.Match {
	before, after := w.Sums(func(sum uint32, c byte) uint32 { return sum ^ uint32(c) }, 1, i)
	hi, ok1 := hexDigit(w.Octet(i + 1))
	lo, ok2 := hexDigit(w.Octet(i + 2))
	if !ok1 || !ok2 || hi<<4|lo != byte(before^after) {
		return gnss.Damaged(i+1, gnss.BadChecksum)
	}
	return gnss.Complete(i + 3)
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

// Decode decodes one sentence.
func (p *Protocol) Decode(s *gnss.Stream, m *gnss.Message, frame []byte) bool {
	addr, _, _ := strings.Cut(string(frame[1:min(len(frame), 12)]), ",")
	name := ""
	switch {
	case addr == "PUBX":
		name = proprietaryUBX
	case len(addr) == 5 && addr[0] != 'P':
		name = addr[2:]
	}
	d, ok := decoders[name]
	if !ok || name == proprietaryUBX && addr != "PUBX" {
		return s.Refuse(gnss.UnknownSentence)
	}
	parsed, err := p.parser.Parse(string(frame))
	x, own := parsed.(sentence)
	if own && len(x.Fields) < d.fields {
		return s.Refuse(gnss.TooFewFields)
	}
	if err != nil {
		return s.Refuse(gnss.BadField)
	}
	m.Source, m.Talker = name, addr[:2]
	switch v := parsed.(type) {
	case gonmea.GSV:
		return decodeGSV(s, m, v)
	case gonmea.VTG:
		return decodeVTG(m, v)
	}
	return d.decode(s, m, x)
}

// Append appends the sentence whose text between $ and * is body, with its
// checksum and line end.
func Append(dst []byte, body string) []byte {
	const hex = "0123456789ABCDEF"
	sum := byte(0)
	for i := 0; i < len(body); i++ {
		sum ^= body[i]
	}
	dst = append(dst, '$')
	dst = append(dst, body...)
	return append(dst, '*', hex[sum>>4], hex[sum&15], '\r', '\n')
}
