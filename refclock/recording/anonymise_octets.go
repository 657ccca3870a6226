package recording

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// maxSentence is the longest sentence that is looked for.
const maxSentence = 512

// each calls frame for each sentence, from $ to its checksum, and each UBX frame of a
// stream, and rest for what is between. Unless b is all, it stops at what may begin one
// whose end is still to come. It returns where it stopped.
func each(b []byte, all bool, frame func(f []byte, ubx bool), rest func([]byte)) int {
	from := 0
	for i := 0; i < len(b); {
		if !all && incomplete(b[i:]) {
			rest(b[from:i])
			return i
		}
		n, ubx := 0, b[i] == 0xb5
		switch {
		case ubx:
			n = ubxLength(b[i:])
		case b[i] == '$':
			n = sentenceLength(b[i:])
		}
		if n == 0 {
			i++
			continue
		}
		rest(b[from:i])
		frame(b[i:i+n], ubx)
		i += n
		from = i
	}
	rest(b[from:])
	return len(b)
}

// incomplete reports whether b may be the beginning of a sentence or a UBX frame that is
// longer than b.
func incomplete(b []byte) bool {
	switch b[0] {
	case '$':
		for i := 1; i < min(len(b), maxSentence); i++ {
			switch c := b[i]; {
			case c == '*':
				return len(b) < i+3
			case c == '$', c < ' ', c > '~':
				return false
			}
		}
		return len(b) < maxSentence
	case 0xb5:
		if len(b) < 8 {
			return len(b) == 1 || b[1] == 0x62
		}
		return b[1] == 0x62 && len(b) < 8+int(binary.LittleEndian.Uint16(b[4:]))
	}
	return false
}

// sentenceLength returns the length of the sentence that b begins with, 0 for none.
func sentenceLength(b []byte) int {
	sum := byte(0)
	for i := 1; i < min(len(b)-2, maxSentence); i++ {
		switch c := b[i]; {
		case c == '*':
			v, err := strconv.ParseUint(string(b[i+1:i+3]), 16, 8)
			if err != nil || byte(v) != sum {
				return 0
			}
			return i + 3
		case c == '$', c < ' ', c > '~':
			return 0
		}
		sum ^= b[i]
	}
	return 0
}

// ubxLength returns the length of the UBX frame that b begins with, 0 for none.
func ubxLength(b []byte) int {
	if len(b) < 8 || b[1] != 0x62 {
		return 0
	}
	n := 8 + int(binary.LittleEndian.Uint16(b[4:]))
	if n > len(b) {
		return 0
	}
	x, y := ubxSum(b[2 : n-2])
	if x != b[n-2] || y != b[n-1] {
		return 0
	}
	return n
}

func ubxSum(b []byte) (x, y byte) {
	for _, c := range b {
		x += c
		y += x
	}
	return x, y
}

func i32(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) }

// harmless are UBX messages without a position, a text or a number of the device: by
// class and number.
var harmless = map[[2]byte]bool{
	{0x01, 0x03}: true, {0x01, 0x04}: true, {0x01, 0x20}: true, {0x01, 0x21}: true, {0x01, 0x22}: true, {0x01, 0x23}: true, {0x01, 0x24}: true,
	{0x01, 0x25}: true, {0x01, 0x26}: true, {0x01, 0x27}: true, {0x01, 0x61}: true, // NAV-STATUS, DOP, times, CLOCK, TIMELS, EOE
	{0x05, 0x00}: true, {0x05, 0x01}: true, {0x0a, 0x09}: true, {0x0a, 0x38}: true, {0x0d, 0x01}: true, {0x27, 0x09}: true, // ACK, MON-HW, MON-RF, TIM-TP, SEC-SIG
}

// ubx masks a UBX frame.
func (a *anonymiser) ubx(f []byte) {
	p := f[6 : len(f)-2]
	switch id := [2]byte{f[2], f[3]}; {
	case id == [2]byte{0x01, 0x07} && len(p) >= 92: // NAV-PVT: longitude, latitude, heights
		lat, lon := a.move(int64(i32(p[28:]))*100, int64(i32(p[24:]))*100)
		binary.LittleEndian.PutUint32(p[24:], uint32(int32(lon/100)))
		binary.LittleEndian.PutUint32(p[28:], uint32(int32(lat/100)))
		clear(p[32:40])
	case id == [2]byte{0x01, 0x06} && len(p) >= 52: // NAV-SOL: position in ECEF
		clear(p[12:24])
	case !harmless[id]:
		clear(p)
	}
	f[len(f)-2], f[len(f)-1] = ubxSum(f[2 : len(f)-2])
}

// positionOf returns the index of the latitude among a sentence's fields, of which 0
// is the address; 0: it has none.
func positionOf(text []string) int {
	switch kind(text[0]) {
	case "RMC":
		return 3
	case "GGA", "GNS":
		return 2
	case "GLL":
		return 1
	}
	return 0
}

// kind is the type of a sentence that is no maker's own.
func kind(address string) string {
	if len(address) != 5 || address[0] == 'P' {
		return ""
	}
	return address[2:]
}

// nmea masks a sentence.
func (a *anonymiser) nmea(f []byte) {
	end := len(f) - 3
	text := strings.Split(string(f[1:end]), ",")
	if at := positionOf(text); at > 0 {
		a.moveFields(text, at)
	}
	zero := func(from, step int) {
		for i := from; i < len(text); i += step {
			text[i] = digitsAs(text[i])
		}
	}
	switch k := kind(text[0]); {
	case k == "RMC":
		if len(text) > 11 {
			text[10], text[11] = digitsAs(text[10]), letterAs(text[11], 'E') // magnetic variation
		}
	case k == "GGA":
		zero(9, 2)
		zero(14, 1) // altitude, geoid, station
	case k == "GNS":
		zero(9, 1)
	case k == "ZDA":
		zero(5, 1) // time zone
	case k == "GSV":
		zero(5, 4) // elevation
		zero(6, 4) // azimuth
	case k == "GLL", k == "GSA", k == "GST", k == "VTG":
	case k == "TXT" && (strings.Contains(string(f), "ANTSTATUS=") || strings.Contains(string(f), "ANTENNA ")):
	case text[0] == "PUBX" && len(text) > 1 && text[1] == "04":
	case k == "TXT":
		for i := 4; i < len(text); i++ {
			text[i] = strings.Repeat("x", len(text[i]))
		}
	default:
		for i := 1; i < len(text); i++ {
			text[i] = strings.Repeat("0", len(text[i]))
		}
	}
	body := strings.Join(text, ",")
	if len(body) != end-1 { // no field may change its length
		body = string(bytes.Repeat([]byte{'x'}, end-1))
	}
	copy(f[1:end], body)
	sum := byte(0)
	for _, c := range f[1:end] {
		sum ^= c
	}
	const hex = "0123456789ABCDEF"
	f[end+1], f[end+2] = hex[sum>>4], hex[sum&15]
}

// digitsAs replaces digits by 0.
func digitsAs(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
}

// letterAs replaces a single letter.
func letterAs(s string, by byte) string {
	if len(s) == 1 {
		return string(by)
	}
	return s
}

// moveFields moves the position in the fields from at on.
func (a *anonymiser) moveFields(text []string, at int) {
	if at+3 >= len(text) || text[at] == "" && text[at+2] == "" {
		return
	}
	lat, n, ok1 := degrees(text[at], text[at+1])
	lon, m, ok2 := degrees(text[at+2], text[at+3])
	if !ok1 || !ok2 {
		text[at], text[at+2] = digitsAs(text[at]), digitsAs(text[at+2])
		return
	}
	lat, lon = a.move(lat, lon)
	text[at], text[at+1] = fields(lat, text[at], n, "N", "S")
	text[at+2], text[at+3] = fields(lon, text[at+2], m, "E", "W")
}

// degrees reads ddmm.mmm or dddmm.mmm: 1e-9 degrees, and the number of decimals.
func degrees(s, half string) (v int64, decimals int, ok bool) {
	whole, part, _ := strings.Cut(s, ".")
	if len(whole) < 3 || len(whole) > 5 || len(part) > 9 || half == "" {
		return 0, 0, false
	}
	d, err1 := strconv.Atoi(whole[:len(whole)-2])
	m, err2 := strconv.ParseFloat(whole[len(whole)-2:]+"."+part+"0", 64)
	if err1 != nil || err2 != nil || d < 0 || m < 0 || m >= 60 || d > 180 {
		return 0, 0, false
	}
	v = int64(d)*1e9 + int64(math.Round(m/60*1e9))
	if half == "S" || half == "W" {
		v = -v
	}
	return v, len(part), true
}

// fields writes an angle in the form of old, and the letter of its half.
func fields(v int64, old string, decimals int, plus, minus string) (s, half string) {
	half = plus
	if v < 0 {
		v, half = -v, minus
	}
	unit := math.Pow10(decimals)
	total := int64(math.Round(float64(v) * 1e-9 * 60 * unit)) // in the last place of the minutes
	per := int64(60 * unit)
	width := strings.IndexByte(old+".", '.')
	s = strconv.FormatInt(total/per, 10)
	s = strings.Repeat("0", max(0, width-2-len(s))) + s
	rest := strconv.FormatInt(total%per, 10)
	rest = strings.Repeat("0", max(0, 2+decimals-len(rest))) + rest
	s += rest[:2]
	if strings.Contains(old, ".") {
		s += "." + rest[2:]
	}
	if len(s) != len(old) {
		s = digitsAs(old)
	}
	return s, half
}
