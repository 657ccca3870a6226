package receiver

import (
	"fmt"
	"strings"
	"time"
)

// Look is what octets look like that form no frame of a known protocol. The zero
// value is ready.
type Look struct {
	octets, printable int
	latest            uint32 // the last four octets
	seen              [len(signatures)]int
	word              []byte // the first word of the first line that began
	line              int    // of the word: 0 no line began yet, 1 it is being read, 2 it is complete
}

// signature is how the frames of a protocol, or something else, begin or end.
type signature struct {
	name        string
	value, mask uint32 // of the last four octets
}

// signatures are of what is found at receivers' ports. In other octets one of them
// comes once in 16000 or less.
var signatures = [...]signature{
	{"SiRF binary", 0xA0A2, 0xFFFF},
	{"SkyTraq binary", 0xA0A1, 0xFFFF},
	{"RTCM 3", 0xD300, 0xFFFC},
	{"Septentrio binary (SBF)", 0x2440, 0xFFFF},
	{"CASIC binary", 0xBACE, 0xFFFF},
	{"Allystar binary", 0xF1D9, 0xFFFF},
	{"NovAtel binary", 0xAA4412, 0xFFFFFF},
	{"Unicore binary", 0xAA44B5, 0xFFFFFF},
	{"Trimble TSIP", 0x1003, 0xFFFF},
	{"Motorola Oncore binary", 0x4040, 0xFFFF},
	{"Zodiac binary", 0xFF81, 0xFFFF},
	{damagedUBX, 0xB562, 0xFFFF},
	{damagedNMEA, 0x2447, 0xFFFF},                     // $G
	{"a login prompt", 0x67696E3A, 0xFFFFFFFF},        // gin:
	{"JSON of gpsd", 0x6C617373, 0xFFFFFFFF},          // lass
	{"messages of a kernel", 0x5B202020, 0xFFFFFFFF},  // "[   ", before the seconds since its start
	{"text of a boot loader", 0x2D426F6F, 0xFFFFFFFF}, // -Boo, of U-Boot
}

// Known protocols, of which no frame is whole.
const (
	damagedUBX  = "damaged UBX"
	damagedNMEA = "damaged NMEA"
)

const (
	// signatureCount and signatureSpan are how often a signature must have been seen:
	// so often, and once in so many octets.
	signatureCount = 3
	signatureSpan  = 2000
	// textShare is the share of printable octets from which they are text.
	textShare = 0.9
	maxWord   = 16
)

// Add takes octets.
func (l *Look) Add(b []byte) {
	l.octets += len(b)
	for _, c := range b {
		text := c >= ' ' && c <= '~'
		if text || c == '\r' || c == '\n' || c == '\t' {
			l.printable++
		}
		l.latest = l.latest<<8 | uint32(c)
		for i := range signatures {
			if l.latest&signatures[i].mask == signatures[i].value {
				l.seen[i]++
			}
		}
		l.addWord(c, text)
	}
}

// addWord keeps the first word of the first line.
func (l *Look) addWord(c byte, text bool) {
	switch {
	case l.line == 0 && c == '\n':
		l.line = 1
	case l.line == 1 && (len(l.word) == 0 && (c == '\r' || c == '\n')):
	case l.line == 1 && text && c != ' ' && c != ',' && len(l.word) < maxWord:
		l.word = append(l.word, c)
	case l.line == 1:
		l.line = 2
	}
}

// Octets returns the number of octets.
func (l *Look) Octets() int { return l.octets }

// Known returns what the octets look like, empty if they look like nothing that is
// known.
func (l *Look) Known() string {
	best, most := "", 0
	for i, n := range l.seen {
		if n > most && n >= signatureCount && n*signatureSpan >= l.octets {
			best, most = signatures[i].name, n
		}
	}
	return best
}

// Text reports whether the octets are text.
func (l *Look) Text() bool {
	return float64(l.printable) >= textShare*float64(l.octets) && l.octets > 0
}

// Describe returns for people what came within d.
func (l *Look) Describe(d time.Duration) string {
	var b strings.Builder
	if d > 0 {
		fmt.Fprintf(&b, "%.0f octets/s, ", float64(l.octets)/d.Seconds())
	}
	fmt.Fprintf(&b, "%d %% printable", l.printable*100/max(1, l.octets))
	switch known := l.Known(); {
	case known != "":
		b.WriteString("; looks like " + known)
	case l.Text() && len(l.word) > 0:
		fmt.Fprintf(&b, "; looks like text of no known protocol, such as %q", l.word)
	case l.Text():
		b.WriteString("; looks like text of no known protocol")
	default:
		b.WriteString("; looks like a binary protocol, or like another baud rate")
	}
	return b.String()
}
