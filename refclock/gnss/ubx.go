package gnss

import (
	"encoding/binary"
	"math"
	"strings"

	"noonmark/phc/tai"
)

// UBX framing (u-blox interface descriptions, "UBX frame structure").
const (
	ubxSync1    = 0xB5
	ubxSync2    = 0x62
	ubxOverhead = 8 // two of sync, class, id, two of length, two of checksum
)

// Classes and messages of UBX, class in the high byte.
const (
	navStatus  = 0x0103
	navSOL     = 0x0106
	navPVT     = 0x0107
	navTimeGPS = 0x0120
	navTimeUTC = 0x0121
	navClock   = 0x0122
	navTimeLS  = 0x0126
	navSVInfo  = 0x0130
	navSAT     = 0x0135
	navSVIN    = 0x013B
	navEOE     = 0x0161
	ackNak     = 0x0500
	ackAck     = 0x0501
	cfgPRT     = 0x0600
	cfgMSG     = 0x0601
	cfgCFG     = 0x0609
	cfgRATE    = 0x0608
	cfgNAV5    = 0x0624
	cfgTP5     = 0x0631
	cfgITFM    = 0x0639
	cfgTMODE2  = 0x063D
	cfgGNSS    = 0x063E
	cfgVALSET  = 0x068A
	cfgVALGET  = 0x068B
	monVER     = 0x0A04
	monHW      = 0x0A09
	monRF      = 0x0A38
	timTP      = 0x0D01
	timSVIN    = 0x0D04
	secSIG     = 0x2709
	infClass   = 0x04
)

// ubxClassKnown reports whether any receiver uses the class.
func ubxClassKnown(c byte) bool {
	switch c {
	case 0x01, 0x02, 0x04, 0x05, 0x06, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x10, 0x13, 0x21, 0x27, 0x28, 0x29, 0xF0, 0xF1:
		return true
	}
	return false
}

// ubxSum is the 8-bit Fletcher sum over class, id, length and payload.
func ubxSum(b []byte) (a, c byte) {
	for _, v := range b {
		a += v
		c += a
	}
	return a, c
}

// payload reads little-endian fields; the caller has checked the length.
type payload []byte

func (p payload) u16(i int) int   { return int(binary.LittleEndian.Uint16(p[i:])) }
func (p payload) i16(i int) int   { return int(int16(binary.LittleEndian.Uint16(p[i:]))) }
func (p payload) u32(i int) int64 { return int64(binary.LittleEndian.Uint32(p[i:])) }
func (p payload) i32(i int) int64 { return int64(int32(binary.LittleEndian.Uint32(p[i:]))) }
func (p payload) i8(i int) int    { return int(int8(p[i])) }

// count is u32 held within an int of any machine.
func (p payload) count(i int) int { return int(min(p.u32(i), math.MaxInt32)) }

// text returns a string padded with zeros.
func (p payload) text(i, n int) string {
	s, _, _ := strings.Cut(string(p[i:i+n]), "\x00")
	return strings.TrimSpace(strings.ToValidUTF8(s, "?"))
}

// ubxDecoders: handler and shortest payload of each message decoded. Makers
// lengthen messages at the end; a shorter payload is another message.
//
// The layouts at the handlers are those of the u-blox 8 / M8 protocol
// specification (UBX-13003221) and the F9 interface descriptions, compared with
// gpsd 3.22's decoder (gps/ubx.py) and pyubx2's tables; SEC-SIG 3 with SparkFun's
// u-blox library, whose authors saw it on an X20P.
var ubxDecoders = map[int]struct {
	name string
	min  int
	do   func(*Decoder, *Message, payload) bool
}{
	navStatus:  {"NAV-STATUS", 16, (*Decoder).navStatus},
	navSOL:     {"NAV-SOL", 52, (*Decoder).navSOL},
	navPVT:     {"NAV-PVT", 84, (*Decoder).navPVT},
	navTimeGPS: {"NAV-TIMEGPS", 16, (*Decoder).navTimeGPS},
	navTimeUTC: {"NAV-TIMEUTC", 20, (*Decoder).navTimeUTC},
	navClock:   {"NAV-CLOCK", 20, (*Decoder).navClock},
	navTimeLS:  {"NAV-TIMELS", 24, (*Decoder).navTimeLS},
	navSVInfo:  {"NAV-SVINFO", 8, (*Decoder).navSVInfo},
	navSAT:     {"NAV-SAT", 8, (*Decoder).navSAT},
	navSVIN:    {"NAV-SVIN", 40, (*Decoder).navSVIN},
	navEOE:     {"NAV-EOE", 4, func(*Decoder, *Message, payload) bool { return true }},
	ackNak:     {"ACK-NAK", 2, (*Decoder).ack},
	ackAck:     {"ACK-ACK", 2, (*Decoder).ack},
	cfgGNSS:    {"CFG-GNSS", 4, (*Decoder).raw},
	cfgVALGET:  {"CFG-VALGET", 4, (*Decoder).raw},
	monVER:     {"MON-VER", 40, (*Decoder).monVER},
	monHW:      {"MON-HW", 60, (*Decoder).monHW},
	monRF:      {"MON-RF", 4, (*Decoder).monRF},
	timTP:      {"TIM-TP", 16, (*Decoder).timTP},
	timSVIN:    {"TIM-SVIN", 28, (*Decoder).timSVIN},
	secSIG:     {"SEC-SIG", 4, (*Decoder).secSIG},
}

// ubx decodes a framed message into m and reports whether there is something
// to hand out.
func (d *Decoder) ubx(m *Message, b []byte) bool {
	p := payload(b[6 : len(b)-2])
	if b[2] == infClass {
		if b[3] > 4 {
			return d.refuse(UnknownSentence)
		}
		m.Source = [...]string{"INF-ERROR", "INF-WARNING", "INF-NOTICE", "INF-TEST", "INF-DEBUG"}[b[3]]
		m.Text = p.text(0, len(p))
		d.antennaText(m)
		return true
	}
	h, ok := ubxDecoders[int(b[2])<<8|int(b[3])]
	if !ok {
		return d.refuse(UnknownSentence)
	}
	if len(p) < h.min {
		return d.refuse(BadLength)
	}
	m.Source = h.name
	return h.do(d, m, p)
}

// ubxFix translates the fix type common to NAV messages: 0 none, 1 dead
// reckoning, 2 2D, 3 3D, 4 satellites and dead reckoning, 5 time only.
func ubxFix(t byte, ok bool) Fix {
	if !ok {
		return FixNone
	}
	switch t {
	case 1:
		return FixEstimated
	case 2:
		return Fix2D
	case 3, 4:
		return Fix3D
	case 5:
		return FixTime
	}
	return FixNone
}

// navPVT: year at 4, valid at 11 (1 date, 2 time, 4 resolved), tAcc at 12, nano
// at 16, fixType at 20, flags at 21 (1 fix ok), satellites at 23, position.
func (d *Decoder) navPVT(m *Message, p payload) bool {
	d.setFix(m, ubxFix(p[20], p[21]&1 != 0))
	m.Sats, m.HasSats = int(p[23]), true
	m.TAcc = p.u32(12)
	m.UTCUnresolved = p[11]&4 == 0
	if m.Fix != FixNone {
		if lat, lon := float64(p.i32(28))/1e7, float64(p.i32(24))/1e7; lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180 {
			m.Lat, m.Lon, m.HasPos = lat, lon, true
			m.Alt, m.HasAlt = float64(p.i32(36))/1e3, true
			m.HAcc, m.VAcc = float64(p.u32(40))/1e3, float64(p.u32(44))/1e3
		} else {
			d.c.count(BadField)
		}
	}
	stated := p[11]&3 == 3
	return d.ubxUTC(m, p[4:], p.i32(16), stated, stated && !m.UTCUnresolved && m.Fix.Good())
}

// navTimeUTC: tAcc at 4, nano at 8, year at 12, valid at 19 (1 time of week, 2
// week, 4 UTC). Receivers of the LEA-4 age have the same layout.
func (d *Decoder) navTimeUTC(m *Message, p payload) bool {
	m.Fix = d.fixSpeaks(m.Mono)
	m.TAcc = p.u32(4)
	m.UTCUnresolved = p[19]&4 == 0
	stated := p[19]&7 == 7
	return d.ubxUTC(m, p[12:], p.i32(8), stated, stated && (m.Fix == FixUnknown || m.Fix.Good()))
}

// ubxUTC labels m with the calendar reading at c (year, month, day, hour,
// minute, second) plus nano, which may be negative.
func (d *Decoder) ubxUTC(m *Message, c payload, nano int64, stated, valid bool) bool {
	m.Year, m.Month, m.Day = c.u16(0), int(c[2]), int(c[3])
	m.Hour, m.Minute, m.Second = int(c[4]), int(c[5]), int(c[6])
	if !stated && (m.Year < 1980 || m.Month == 0) {
		d.c.count(VoidStatus) // nothing known yet, and the fields say as much
		m.Year, m.Month, m.Day, m.Hour, m.Minute, m.Second = 0, 0, 0, 0, 0, 0
		return true
	}
	if m.Hour > 23 || m.Minute > 59 || m.Second > 60 || nano < -1e9 || nano > 1e9 {
		return d.refuse(BadTime)
	}
	if !d.label(m, stated) {
		return false
	}
	d.read(m, m.Time+tai.Time(nano))
	m.Stated, m.Valid = stated, valid
	if !stated {
		d.c.count(VoidStatus)
	}
	return true
}

// navTimeGPS: time of week in ms at 0, its rest in ns at 4, week at 8, leap
// seconds GPS - UTC at 10, valid at 11 (1 time of week, 2 week, 4 leap), tAcc.
func (d *Decoder) navTimeGPS(m *Message, p payload) bool {
	m.Fix = d.fixSpeaks(m.Mono)
	m.TAcc = p.u32(12)
	if p[11]&4 != 0 {
		m.LeapOffset = p.i8(10) + gpsToTAI
		d.cal.offset = m.LeapOffset
	}
	return d.ubxGPS(m, p.i16(8), p.u32(0)*1e6+p.i32(4), p[11]&3 == 3)
}

// navSOL: time of week in ms at 0, its rest in ns at 4, week at 8, fix at 10,
// flags at 11 (1 fix ok, 4 week, 8 time of week), satellites at 47.
func (d *Decoder) navSOL(m *Message, p payload) bool {
	d.setFix(m, ubxFix(p[10], p[11]&1 != 0))
	m.Sats, m.HasSats = int(p[47]), true
	return d.ubxGPS(m, p.i16(8), p.u32(0)*1e6+p.i32(4), p[11]&12 == 12)
}

// ubxGPS labels m with a GPS week and time of week. GPS time knows no leap
// seconds, so such a label is right even while UTC is not.
func (d *Decoder) ubxGPS(m *Message, week int, tow int64, stated bool) bool {
	if !stated {
		d.c.count(VoidStatus)
		return true
	}
	if week < 0 || week > 14000 { // year 2248
		return d.refuse(BadDate)
	}
	if tow < -1e9 || tow > weekSeconds*1e9+1e9 {
		return d.refuse(BadTime)
	}
	d.instant(m, gpsTime(week, tow))
	m.Stated = true
	m.Valid = m.Fix == FixUnknown || m.Fix.Good()
	return true
}

// navTimeLS: source at 8, current GPS - UTC at 9, source of the change at 10,
// change at 11, seconds to it at 12, its GPS week and day at 16 and 18, valid
// at 23 (1 current, 2 event).
func (d *Decoder) navTimeLS(m *Message, p payload) bool {
	if p[23]&1 != 0 {
		m.LeapOffset = p.i8(9) + gpsToTAI
	}
	m.LeapSource = "unknown"
	if s := int(p[8]); s < len(leapSources) {
		m.LeapSource = leapSources[s]
	}
	if p[8] >= 1 && p[8] <= 5 && m.LeapOffset != 0 { // heard from satellites
		d.cal.offset = m.LeapOffset
	}
	change := p.i8(11)
	if p[23]&2 == 0 || m.LeapOffset == 0 || change < -1 || change > 1 {
		return true
	}
	m.HasLeapEvent, m.LeapSign, m.LeapIn = true, change, int(p.i32(12))
	// The event is at the end of the named day of the named GPS week; days run
	// from 1 (Sunday) to 7, BeiDou's from 0 to 6.
	week, day := p.u16(16), p.u16(18)
	if p[10] == 4 {
		day++
	}
	if change == 0 || day < 1 || day > 7 {
		return true
	}
	before := m.LeapOffset
	if m.LeapIn <= 0 {
		before -= change // it is past: the current offset is the new one
	}
	utc := int64(gpsUnix) + int64(week)*weekSeconds + int64(day)*86400
	m.LeapAt = tai.Leap{UTC: utc, Offset: before + change}.At()
	return true
}

// leapSources are the values of srcOfCurrLs; "firmware" is what the receiver
// was made with and may be years old.
var leapSources = [...]string{"firmware", "GPS-GLONASS difference", "GPS", "SBAS", "BeiDou", "Galileo", "configured", "NavIC"}

// navClock: bias in ns at 4, drift in ns/s at 8, tAcc at 12, fAcc at 16.
func (d *Decoder) navClock(m *Message, p payload) bool {
	m.HasClock, m.ClockBiasNS, m.ClockDriftPPB, m.TAcc, m.ClockFreqAcc = true, p.i32(4), p.i32(8), p.u32(12), p.u32(16)
	return true
}

// navStatus: fix at 4, flags at 5 (1 fix ok), spoofing in bits 3 and 4 of 7.
func (d *Decoder) navStatus(m *Message, p payload) bool {
	d.setFix(m, ubxFix(p[4], p[5]&1 != 0))
	m.Spoofing = spoof(p[7] >> 3 & 3)
	return true
}

// spoof translates the state common to NAV-STATUS and SEC-SIG: 0 unknown or
// off, 1 none, 2 indicated, 3 several indications.
func spoof(v byte) Threat {
	switch v {
	case 0, 1, 2, 3:
		return Threat(v)
	}
	return ThreatUnknown
}
