package nmea

import (
	"math"
	"strings"

	gonmea "github.com/adrianmo/go-nmea"

	"noonmark/refclock/gnss"
)

// sentence is a sentence whose fields are read here. The library splits it; of
// its typed sentences only GSV and VTG are used. The others lose what matters
// here: a time of 99:99:99 passes, second 60 becomes the next midnight,
// two-digit years have no century, an empty position or an unknown navigation
// status fails a whole RMC, GGA knows six of nine qualities, GSA wants exactly
// twelve satellites, a short TXT panics, and GST and PUBX are missing.
type sentence struct{ gonmea.BaseSentence }

// proprietaryUBX is the library's name for the type of a PUBX sentence.
const proprietaryUBX = "UBX"

// decoders lists the types of sentence that are decoded, with the number of
// fields they need. GSV and VTG, without a function, are parsed by the library.
var decoders = map[string]struct {
	fields int
	decode func(*gnss.Stream, *gnss.Message, sentence) bool
}{
	"RMC":          {9, decodeRMC},
	"ZDA":          {4, decodeZDA},
	"GGA":          {7, decodeGGA},
	"GNS":          {7, decodeGNS},
	"GLL":          {6, decodeGLL},
	"GSA":          {2, decodeGSA},
	"GSV":          {3, nil},
	"GST":          {1, decodeGST},
	"VTG":          {7, nil},
	"TXT":          {3, decodeTXT},
	proprietaryUBX: {1, decodePUBX},
}

// decodeRMC: time, status, latitude, N/S, longitude, E/W, knots, course, ddmmyy,
// variation, E/W, [mode, [navigational status]].
func decodeRMC(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	m.Dated = true
	fix, void, unknown := gnss.FixNone, true, false
	switch s.at(1) {
	case "A", "D":
		fix, void = modeFix(s.at(11), gnss.FixGNSS), false
	case "V", "":
	default:
		unknown = true
	}
	setFix(st, m, fix, unknown)
	setPosition(st, m, s, 2)
	if v, ok := s.number(6, 0, 1e5); ok {
		m.Speed, m.HasSpeed = v*1852/3600, true
	}
	if s.at(0) == "" || s.at(8) == "" {
		if void {
			// A receiver that reports nothing but void has lost its clock, so
			// its earlier date is no longer carried.
			if !m.FixElsewhere && !unknown {
				st.ForgetDate()
			}
			st.Count(gnss.VoidStatus)
			return true
		}
		return setBareTime(st, m, s.at(0), fix) // the date may be known from a ZDA
	}
	if !setTime(st, m, s.at(0)) {
		return st.Refuse(gnss.BadTime)
	}
	dd, mm, yy, ok := sixDigits(s.at(8))
	if !ok {
		return st.Refuse(gnss.BadDate)
	}
	m.Year, m.Month, m.Day = st.Century(yy), mm, dd
	// MTK 3301 and others send invented times while the status is void, so the
	// label of a void RMC is not stated, and its date is not carried.
	if !st.SetLabel(m, !void) {
		return false
	}
	if void {
		st.Count(gnss.VoidStatus)
		return true
	}
	m.Stated = true
	m.Valid = fix.Good()
	return true
}

// setFix sets the fix that a sentence reports. unknown: by a status that no receiver
// is known to send. Such a field costs its own sentence the fix; the others keep what
// another sentence has reported lately.
func setFix(st *gnss.Stream, m *gnss.Message, fix gnss.Fix, unknown bool) {
	if unknown {
		st.Count(gnss.BadField)
		if st.LatestFix(m.Mono).Good() {
			m.Fix = fix
			return
		}
	}
	st.SetFix(m, fix)
}

// decodeZDA: time, day, month, year (four digits, UTC), zone hours, zone minutes. The
// zone is for display and does not enter into the time.
func decodeZDA(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	if s.at(0) == "" || s.at(1) == "" || s.at(2) == "" || s.at(3) == "" {
		return st.Refuse(gnss.NoDate) // sent by many receivers until they know the time
	}
	if !setTime(st, m, s.at(0)) {
		return st.Refuse(gnss.BadTime)
	}
	day, ok1 := digits(s.at(1), 1, 2)
	month, ok2 := digits(s.at(2), 1, 2)
	year, ok3 := digits(s.at(3), 4, 4)
	if !ok1 || !ok2 || !ok3 {
		return st.Refuse(gnss.BadDate)
	}
	m.Year, m.Month, m.Day = year, month, day
	if !st.SetLabel(m, true) {
		return false
	}
	st.UseFix(m)
	m.Dated, m.Stated = true, true
	m.Valid = m.Fix == gnss.FixUnknown || m.Fix.Good()
	return true
}

// decodeGGA: time, latitude, N/S, longitude, E/W, quality 0 to 8, satellites used,
// HDOP, altitude, M, geoid separation, M, age of corrections, station.
func decodeGGA(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	fix, unknown := gnss.FixNone, false
	switch q := s.at(5); q {
	case "":
		// GPSDOs of Jackson Labs leave the quality empty although they have a fix.
		if s.at(1) != "" && s.at(3) != "" {
			fix = gnss.FixUnknown
		}
	case "0":
	case "1", "2", "3", "4", "5", "9": // 9: NovAtel, SBAS
		fix = gnss.FixGNSS
	case "6", "8":
		fix = gnss.FixEstimated
	case "7":
		fix = gnss.FixManual
	default:
		// Jackson Labs has qualities of its own. An unknown one is taken for no
		// fix; the time is as good as without one.
		unknown = true
	}
	if fix != gnss.FixUnknown {
		setFix(st, m, fix, unknown)
	}
	setSatellites(st, m, s, 6)
	setPosition(st, m, s, 1)
	m.HDOP = s.dop(7)
	setAltitude(m, s, 8)
	return setBareTime(st, m, s.at(0), fix)
}

// decodeGNS: as GGA, with a mode letter a satellite system in place of the quality,
// and [navigational status] as field 13. After a GN sentence others may follow
// with the satellites of single systems; they leave the mode empty.
func decodeGNS(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	fix := gnss.FixUnknown
	for _, c := range s.at(5) {
		fix = max(fix, modeFix(string(c), gnss.FixNone))
	}
	if fix != gnss.FixUnknown {
		st.SetFix(m, fix)
	}
	setSatellites(st, m, s, 6)
	setPosition(st, m, s, 1)
	m.HDOP = s.dop(7)
	setAltitude(m, s, 8)
	return setBareTime(st, m, s.at(0), fix)
}

// decodeGLL: latitude, N/S, longitude, E/W, time, status, [mode].
func decodeGLL(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	fix, unknown := gnss.FixNone, false
	switch s.at(5) {
	case "A":
		fix = modeFix(s.at(6), gnss.FixGNSS)
	case "V", "":
	default:
		unknown = true
	}
	setFix(st, m, fix, unknown)
	setPosition(st, m, s, 0)
	return setBareTime(st, m, s.at(4), fix)
}

// setBareTime labels a message that has a time of day without a date. FixUnknown
// means that the message reports no fix: then the one reported last applies.
func setBareTime(st *gnss.Stream, m *gnss.Message, tod string, fix gnss.Fix) bool {
	if tod == "" {
		if fix != gnss.FixUnknown && !fix.Good() && !m.FixElsewhere {
			st.ForgetDate() // as with a void RMC: the clock is lost
		}
		st.Count(gnss.NoDate)
		return true
	}
	if !setTime(st, m, tod) {
		return st.Refuse(gnss.BadTime)
	}
	if !st.CarryDate(m) {
		st.Count(gnss.NoDate)
		return true
	}
	if !st.SetLabel(m, false) {
		return false
	}
	// The status of these sentences concerns the position; the receiver's clock
	// may run on. The label is valid only with a fix.
	m.DateCarried, m.Stated = true, true
	if fix == gnss.FixUnknown {
		fix = st.LatestFix(m.Mono)
	}
	m.Valid = fix.Good()
	if !m.Valid {
		st.Count(gnss.VoidStatus)
	}
	return true
}

// decodeGSA: selection, dimension 1 to 3, twelve or more satellites, PDOP, HDOP,
// VDOP, [system].
func decodeGSA(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	switch s.at(1) {
	case "1":
		st.SetModeFix(m, gnss.FixNone)
	case "2":
		st.SetModeFix(m, gnss.Fix2D)
	case "3":
		st.SetModeFix(m, gnss.Fix3D)
	}
	m.SystemID, _ = digits(s.at(17), 1, 1)
	for i := 2; i < len(s.Fields) && i < 14; i++ {
		if id, ok := digits(s.at(i), 1, 3); ok && id > 0 {
			sat := satellite(m.Talker, m.SystemID, id)
			sat.Used = true
			m.Satellites = append(m.Satellites, sat)
		}
	}
	m.HDOP = s.dop(15)
	return true
}

// decodeGST: time, RMS of the residuals, error ellipse (major, minor, orientation),
// standard deviations of latitude, longitude and altitude in m.
func decodeGST(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	if t := s.at(0); t != "" && !setTime(st, m, t) {
		return st.Refuse(gnss.BadTime)
	}
	lat, ok1 := s.number(5, 0, 1e7)
	lon, ok2 := s.number(6, 0, 1e7)
	if ok1 && ok2 {
		m.HAcc = math.Hypot(lat, lon)
	}
	m.VAcc, _ = s.number(7, 0, 1e7)
	return true
}

// decodeTXT: sentences, number, identifier, text.
func decodeTXT(_ *gnss.Stream, m *gnss.Message, s sentence) bool {
	m.Parts, _ = digits(s.at(0), 1, 2)
	m.Part, _ = digits(s.at(1), 1, 2)
	m.Text = strings.Join(s.Fields[3:], ",")
	m.SetAntennaText()
	return true
}

// decodePUBX: $PUBX,04: time, ddmmyy, time of week, week, leap seconds with a D
// while they are the firmware's default, clock bias, clock drift, granularity.
func decodePUBX(st *gnss.Stream, m *gnss.Message, s sentence) bool {
	if s.at(0) != "04" {
		return st.Refuse(gnss.UnknownSentence)
	}
	m.Source, m.Talker = "PUBX,04", "P"
	m.Dated = true
	if s.at(1) == "" || s.at(2) == "" {
		return st.Refuse(gnss.NoDate)
	}
	if !setTime(st, m, s.at(1)) {
		return st.Refuse(gnss.BadTime)
	}
	dd, mm, yy, ok := sixDigits(s.at(2))
	if !ok {
		return st.Refuse(gnss.BadDate)
	}
	m.Year, m.Month, m.Day = st.Century(yy), mm, dd
	leap, isDefault := strings.CutSuffix(s.at(5), "D")
	m.UTC = gnss.UTCUnresolved
	if n, ok := digits(leap, 1, 2); ok && !isDefault {
		m.UTC = gnss.UTCResolved
		st.SetLeapOffset(m, n+gnss.GPSToTAI, gnss.LeapUnreported)
	}
	if !st.SetUTC(m, true) {
		return false
	}
	st.UseFix(m)
	m.Stated = true
	m.Valid = m.UTC == gnss.UTCResolved && (m.Fix == gnss.FixUnknown || m.Fix.Good())
	return true
}

// decodeVTG reads the speed over ground.
func decodeVTG(m *gnss.Message, v gonmea.VTG) bool {
	if len(v.Fields) > 4 && v.Fields[4] != "" && v.GroundSpeedKnots >= 0 && v.GroundSpeedKnots < 1e5 {
		m.Speed, m.HasSpeed = v.GroundSpeedKnots*1852/3600, true
	}
	return true
}

// decodeGSV: sentences, number, satellites in view, then four a sentence: identifier,
// elevation, azimuth, carrier to noise; [signal or system].
func decodeGSV(st *gnss.Stream, m *gnss.Message, g gonmea.GSV) bool {
	in := func(v, lo, hi int64) bool { return v >= lo && v <= hi }
	if !in(g.TotalMessages, 1, 99) || !in(g.MessageNumber, 1, 99) || !in(g.NumberSVsInView, 0, 999) {
		return st.Refuse(gnss.BadField)
	}
	m.Parts, m.Part, m.InView = int(g.TotalMessages), int(g.MessageNumber), int(g.NumberSVsInView)
	for i, v := range g.Info {
		if !in(v.SVPRNNumber, 1, 999) {
			continue
		}
		sat := satellite(m.Talker, 0, int(v.SVPRNNumber))
		if e := g.Fields[4+4*i]; e != "" && in(v.Elevation, -90, 90) {
			sat.Elevation = int(v.Elevation)
		}
		if a := g.Fields[5+4*i]; a != "" && in(v.Azimuth, 0, 360) {
			sat.Azimuth = int(v.Azimuth)
		}
		if in(v.SNR, 0, 99) {
			sat.CN0 = int(v.SNR)
		}
		m.Satellites = append(m.Satellites, sat)
	}
	return true
}
