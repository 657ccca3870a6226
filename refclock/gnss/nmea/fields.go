package nmea

import (
	"math"
	"strconv"

	gonmea "github.com/adrianmo/go-nmea"

	"noonmark/refclock/gnss"
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
	if err != nil || !(v >= lo && v <= hi) { // NaN compares false
		return 0, false
	}
	return v, true
}

// dop returns field i as a dilution of precision, or 0 if the receiver has none
// and sends 99.99, 99.00 or 0.00.
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

// setTime reads hhmmss with up to nine decimals, which begins an epoch if it is
// new. Second 60 is accepted here; only the date shows whether it exists. Decimals
// are read as integers: as a float, .999999 becomes 1000 ms.
func setTime(st *gnss.Stream, m *gnss.Message, f string) bool {
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
	st.BeginEpoch(m)
	return true
}

// setPosition reads latitude and longitude from field i on. A position out of
// range is left out and counted; the time of the same sentence is still good.
func setPosition(st *gnss.Stream, m *gnss.Message, s sentence, i int) {
	if s.at(i) == "" || s.at(i+2) == "" {
		return
	}
	lat, err1 := gonmea.ParseGPS(s.at(i) + " " + s.at(i+1))
	lon, err2 := gonmea.ParseGPS(s.at(i+2) + " " + s.at(i+3))
	if err1 != nil || err2 != nil || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		st.Count(gnss.BadField)
		return
	}
	m.Lat, m.Lon, m.HasPos = lat, lon, m.Fix != gnss.FixNone
}

// setAltitude reads the altitude from field i.
func setAltitude(m *gnss.Message, s sentence, i int) {
	if v, ok := s.number(i, -1e4, 1e8); ok && m.Fix != gnss.FixNone {
		m.Alt, m.HasAlt = v, true
	}
}

// setSatellites reads the number of satellites used from field i.
func setSatellites(st *gnss.Stream, m *gnss.Message, s sentence, i int) {
	if s.at(i) == "" {
		return
	}
	v, ok := digits(s.at(i), 1, 3)
	if !ok || v > 199 {
		st.Count(gnss.BadField)
		return
	}
	m.Sats, m.HasSats = v, true
}

// modeFix translates the mode letter of NMEA 2.3 and later; absent is the result
// for no letter. Letters of a maker's own are taken for a fix.
func modeFix(mode string, absent gnss.Fix) gnss.Fix {
	switch mode {
	case "":
		return absent
	case "N", "V":
		return gnss.FixNone
	case "E", "S":
		return gnss.FixEstimated
	case "M":
		return gnss.FixManual
	}
	return gnss.FixGNSS
}

// satellite returns the satellite of a number in GSV or GSA. Under the talkers GP
// and GN the older numbering of NMEA 0183 has other systems above 32.
func satellite(talker string, system, id int) gnss.Satellite {
	sys := talkerSystem(talker, system)
	if sys == gnss.GPS || sys == gnss.SystemUnknown {
		switch {
		case id >= 33 && id <= 64, id >= 120 && id <= 158:
			sys = gnss.SBAS
		case id >= 65 && id <= 96:
			sys = gnss.GLONASS
		case id >= 193 && id <= 202:
			sys = gnss.QZSS
		}
	}
	return gnss.Satellite{System: sys, ID: id, Elevation: gnss.NoElevation, Azimuth: gnss.NoAzimuth}
}

// talkerSystem returns the satellite system of a GSV or GSA: from its talker, or
// from the system id of NMEA 4.10 if the talker is GN.
func talkerSystem(talker string, id int) gnss.System {
	switch talker {
	case "GP":
		return gnss.GPS
	case "GL":
		return gnss.GLONASS
	case "GA":
		return gnss.Galileo
	case "GB", "BD":
		return gnss.BeiDou
	case "GQ", "QZ":
		return gnss.QZSS
	case "GI":
		return gnss.NavIC
	}
	switch id {
	case 1:
		return gnss.GPS
	case 2:
		return gnss.GLONASS
	case 3:
		return gnss.Galileo
	case 4:
		return gnss.BeiDou
	case 5:
		return gnss.QZSS
	case 6:
		return gnss.NavIC
	}
	return gnss.SystemUnknown
}
