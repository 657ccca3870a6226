package gnss

import (
	"math"
	"strconv"

	"github.com/adrianmo/go-nmea"
)

// at returns field i, counted from the one after the address; "" if there is
// no such field.
func (s sentence) at(i int) string {
	if i < len(s.Fields) {
		return s.Fields[i]
	}
	return ""
}

// number returns field i as a number within lo and hi.
func (s sentence) number(i int, lo, hi float64) (float64, bool) {
	v, err := strconv.ParseFloat(s.at(i), 64)
	if err != nil || !(v >= lo && v <= hi) { // not a number compares false
		return 0, false
	}
	return v, true
}

// dop returns a dilution of precision, or 0 where the receiver writes 99.99,
// 99.00 or 0.00 for none.
func (s sentence) dop(i int) float64 {
	v, ok := s.number(i, 0.01, 89.99)
	if !ok {
		return 0
	}
	return v
}

// digits reads a string of lo to hi decimal digits and nothing else.
func digits(f string, lo, hi int) (int, bool) {
	if len(f) < lo || len(f) > hi {
		return 0, false
	}
	v := 0
	for _, c := range []byte(f) {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// sixDigits reads three two-digit numbers: hhmmss or ddmmyy.
func sixDigits(f string) (a, b, c int, ok bool) {
	v, ok := digits(f, 6, 6)
	return v / 10000, v / 100 % 100, v % 100, ok
}

// setTime reads hhmmss with up to nine decimals. Second 60 passes here; only
// together with a date can it be told whether there is one. Decimals are kept
// exactly: as a float, .999999 becomes 1000 ms.
func (m *Message) setTime(f string) bool {
	if len(f) < 6 {
		return false
	}
	hh, mm, ss, ok := sixDigits(f[:6])
	if !ok || hh > 23 || mm > 59 || ss > 60 || ss == 60 && (hh != 23 || mm != 59) {
		return false
	}
	ns := 0
	if f = f[6:]; f != "" {
		if f[0] != '.' || len(f) > 10 {
			return false
		}
		v, ok := digits(f[1:], 0, 9)
		if !ok {
			return false
		}
		for range 10 - len(f) {
			v *= 10
		}
		ns = v
	}
	m.Hour, m.Minute, m.Second, m.Nanos, m.HasTimeOfDay = hh, mm, ss, ns, true
	return true
}

// position reads latitude and longitude from field i on. A position out of
// range is left out and counted; it does not make the time of the same
// sentence wrong.
func (d *Decoder) position(m *Message, s sentence, i int) {
	if s.at(i) == "" || s.at(i+2) == "" {
		return
	}
	lat, err1 := nmea.ParseGPS(s.at(i) + " " + s.at(i+1))
	lon, err2 := nmea.ParseGPS(s.at(i+2) + " " + s.at(i+3))
	if err1 != nil || err2 != nil || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		d.c.count(BadField)
		return
	}
	m.Lat, m.Lon, m.HasPos = lat, lon, m.Fix != FixNone
}

func (d *Decoder) altitude(m *Message, s sentence, i int) {
	if v, ok := s.number(i, -1e4, 1e8); ok && m.Fix != FixNone {
		m.Alt, m.HasAlt = v, true
	}
}

// sats reads the number of satellites used.
func (d *Decoder) sats(m *Message, s sentence, i int) {
	if s.at(i) == "" {
		return
	}
	v, ok := digits(s.at(i), 1, 3)
	if !ok || v > 199 {
		d.c.count(BadField)
		return
	}
	m.Sats, m.HasSats = v, true
}

// modeFix translates the mode letter of NMEA 2.3 and later. An absent letter
// says nothing; makers use letters of their own, which say as little.
func modeFix(mode string, absent Fix) Fix {
	switch mode {
	case "":
		return absent
	case "N", "V":
		return FixNone
	case "E", "S":
		return FixEstimated
	case "M":
		return FixManual
	}
	return FixGNSS
}

// satellite returns the satellite that a GSV or GSA numbers. Under the talkers
// GP and GN the older numbering of NMEA 0183 puts other systems above 32.
func satellite(talker string, system, id int) Satellite {
	sys := talkerSystem(talker, system)
	if sys == GPS || sys == SystemUnknown {
		switch {
		case id >= 33 && id <= 64, id >= 120 && id <= 158:
			sys = SBAS
		case id >= 65 && id <= 96:
			sys = GLONASS
		case id >= 193 && id <= 202:
			sys = QZSS
		}
	}
	return Satellite{System: sys, ID: id, Elevation: NoElevation, Azimuth: NoAzimuth}
}

// talkerSystem names the satellite system of a GSV or GSA from its talker, or
// from the system id of NMEA 4.10 where the talker is GN.
func talkerSystem(talker string, id int) System {
	switch talker {
	case "GP":
		return GPS
	case "GL":
		return GLONASS
	case "GA":
		return Galileo
	case "GB", "BD":
		return BeiDou
	case "GQ", "QZ":
		return QZSS
	case "GI":
		return NavIC
	}
	switch id {
	case 1:
		return GPS
	case 2:
		return GLONASS
	case 3:
		return Galileo
	case 4:
		return BeiDou
	case 5:
		return QZSS
	case 6:
		return NavIC
	}
	return SystemUnknown
}
