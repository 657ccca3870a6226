package gnss

import (
	"math"
	"strings"

	"github.com/adrianmo/go-nmea"
)

// sentence is a split sentence whose fields we read ourselves. go-nmea takes
// it apart; of its typed sentences only GSV and VTG are used, because the
// others lose what matters here: a time of 99:99:99 passes, second 60 becomes
// the next midnight, two-digit years have no century, an empty position or an
// unknown navigation status fails a whole RMC, GGA knows six of nine
// qualities, GSA wants exactly twelve satellites, a short TXT panics, and GST
// and PUBX are missing.
type sentence struct{ nmea.BaseSentence }

func newSentenceParser() nmea.SentenceParser {
	own := func(s nmea.BaseSentence) (nmea.Sentence, error) { return sentence{s}, nil }
	p := nmea.SentenceParser{
		CustomParsers: make(map[string]nmea.ParserFunc),
		// The framer has checked the sum; its comparison here is over upper
		// case only.
		CheckCRC: func(nmea.BaseSentence, string) error { return nil },
	}
	for _, t := range [...]string{"RMC", "ZDA", "GGA", "GNS", "GLL", "GSA", "GST", "TXT", "UBX"} {
		p.CustomParsers[t] = own
	}
	return p
}

// nmeaTypes are the types of sentence decoded, with the fields they need.
var nmeaTypes = map[string]int{
	"RMC": 9, "ZDA": 4, "GGA": 7, "GNS": 7, "GLL": 6, "GSA": 2, "GSV": 3, "GST": 1, "VTG": 7, "TXT": 3, "UBX": 1,
}

// nmea decodes a framed sentence into m and reports whether there is something
// to hand out.
func (d *Decoder) nmea(m *Message, b []byte) bool {
	addr, _, _ := strings.Cut(string(b[1:min(len(b), 12)]), ",")
	typ := ""
	switch {
	case addr == "PUBX":
		typ = "UBX"
	case len(addr) == 5 && addr[0] != 'P':
		typ = addr[2:]
	}
	want, ok := nmeaTypes[typ]
	if !ok || typ == "UBX" && addr != "PUBX" {
		return d.refuse(UnknownSentence)
	}
	parsed, err := d.parser.Parse(string(b))
	s, own := parsed.(sentence)
	if own && len(s.Fields) < want {
		return d.refuse(TooFewFields)
	}
	if err != nil {
		return d.refuse(BadField)
	}
	m.Source, m.Talker = typ, addr[:2]
	switch p := parsed.(type) {
	case nmea.GSV:
		return d.gsv(m, p)
	case nmea.VTG:
		return d.vtg(m, p)
	}
	switch typ {
	case "RMC":
		return d.rmc(m, s)
	case "ZDA":
		return d.zda(m, s)
	case "GGA":
		return d.gga(m, s)
	case "GNS":
		return d.gns(m, s)
	case "GLL":
		return d.gll(m, s)
	case "GSA":
		return d.gsa(m, s)
	case "GST":
		return d.gst(m, s)
	case "TXT":
		return d.txt(m, s)
	case "UBX":
		return d.pubx(m, s)
	}
	return d.refuse(UnknownSentence)
}

// rmc: time, status, latitude, N/S, longitude, E/W, knots, course, ddmmyy,
// variation, E/W, [mode, [navigational status]].
func (d *Decoder) rmc(m *Message, s sentence) bool {
	fix, void := FixNone, true
	switch s.at(1) {
	case "A", "D":
		fix, void = modeFix(s.at(11), FixGNSS), false
	case "V", "":
	default:
		d.c.count(BadField)
	}
	d.setFix(m, fix)
	d.position(m, s, 2)
	if v, ok := s.number(6, 0, 1e5); ok {
		m.Speed, m.HasSpeed = v*1852/3600, true
	}
	if s.at(0) == "" || s.at(8) == "" {
		if void {
			// A receiver that says void and nothing more has lost its clock:
			// the date it gave before is no longer its word.
			d.cal.forget()
			d.c.count(VoidStatus)
			return true
		}
		return d.bareTime(m, s.at(0), fix) // the date may be known from a ZDA
	}
	if !m.setTime(s.at(0)) {
		return d.refuse(BadTime)
	}
	dd, mm, yy, ok := sixDigits(s.at(8))
	if !ok {
		return d.refuse(BadDate)
	}
	m.Year, m.Month, m.Day = d.cal.century(yy), mm, dd
	// MTK 3301 and others send invented times while the status is void, so
	// the label of a void RMC counts for nothing, and neither does its date.
	if !d.label(m, !void) {
		return false
	}
	if void {
		d.c.count(VoidStatus)
		return true
	}
	m.Stated = true
	m.Valid = fix.Good()
	return true
}

// zda: time, day, month, year (four digits, UTC), zone hours, zone minutes. The
// zone is for display and does not enter into the time.
func (d *Decoder) zda(m *Message, s sentence) bool {
	if s.at(0) == "" || s.at(1) == "" || s.at(2) == "" || s.at(3) == "" {
		return d.refuse(NoDate) // sent by many receivers until they know the time
	}
	if !m.setTime(s.at(0)) {
		return d.refuse(BadTime)
	}
	day, ok1 := digits(s.at(1), 1, 2)
	month, ok2 := digits(s.at(2), 1, 2)
	year, ok3 := digits(s.at(3), 4, 4)
	if !ok1 || !ok2 || !ok3 {
		return d.refuse(BadDate)
	}
	m.Year, m.Month, m.Day = year, month, day
	if !d.label(m, true) {
		return false
	}
	m.Fix = d.fixSpeaks(m.Mono)
	m.Stated = true
	m.Valid = m.Fix == FixUnknown || m.Fix.Good()
	return true
}

// gga: time, latitude, N/S, longitude, E/W, quality 0 to 8, satellites used,
// HDOP, altitude, M, geoid separation, M, age of corrections, station.
func (d *Decoder) gga(m *Message, s sentence) bool {
	fix := FixNone
	switch q := s.at(5); q {
	case "":
		// GPSDOs of Jackson Labs leave the quality out and have a fix all the same.
		if s.at(1) != "" && s.at(3) != "" {
			fix = FixUnknown
		}
	case "0":
	case "1", "2", "3", "4", "5", "9": // 9: NovAtel, SBAS
		fix = FixGNSS
	case "6", "8":
		fix = FixEstimated
	case "7":
		fix = FixManual
	default:
		// Jackson Labs has qualities of its own. What is not known is no fix;
		// the time is as good as without one.
		d.c.count(BadField)
	}
	if fix != FixUnknown {
		d.setFix(m, fix)
	}
	d.sats(m, s, 6)
	d.position(m, s, 1)
	m.HDOP = s.dop(7)
	d.altitude(m, s, 8)
	return d.bareTime(m, s.at(0), fix)
}

// gns: as GGA, with a mode letter a satellite system in place of the quality,
// and [navigational status] as field 13. After a GN sentence others may follow
// with the satellites of single systems; they leave the mode empty.
func (d *Decoder) gns(m *Message, s sentence) bool {
	fix := FixUnknown
	for _, c := range s.at(5) {
		fix = max(fix, modeFix(string(c), FixNone))
	}
	if fix != FixUnknown {
		d.setFix(m, fix)
	}
	d.sats(m, s, 6)
	d.position(m, s, 1)
	m.HDOP = s.dop(7)
	d.altitude(m, s, 8)
	return d.bareTime(m, s.at(0), fix)
}

// gll: latitude, N/S, longitude, E/W, time, status, [mode].
func (d *Decoder) gll(m *Message, s sentence) bool {
	fix := FixNone
	switch s.at(5) {
	case "A":
		fix = modeFix(s.at(6), FixGNSS)
	case "V", "":
	default:
		d.c.count(BadField)
	}
	d.setFix(m, fix)
	d.position(m, s, 0)
	return d.bareTime(m, s.at(4), fix)
}

// bareTime labels a message that has a time of day without a date. FixUnknown
// is a message that does not say what the fix is: then the latest word counts.
func (d *Decoder) bareTime(m *Message, tod string, fix Fix) bool {
	if tod == "" {
		if fix != FixUnknown && !fix.Good() {
			d.cal.forget() // as with a void RMC: no clock any more
		}
		d.c.count(NoDate)
		return true
	}
	if !m.setTime(tod) {
		return d.refuse(BadTime)
	}
	date, ok := d.cal.carry(m.timeOfDay(), m.Mono)
	if !ok {
		d.c.count(NoDate)
		return true
	}
	m.Year, m.Month, m.Day = date.year, date.month, date.day
	if !d.label(m, false) {
		return false
	}
	// The status of these sentences speaks of the position; the receiver's
	// clock may run on. It is good for a label only with a fix.
	m.DateCarried, m.Stated = true, true
	if fix == FixUnknown {
		fix = d.fixSpeaks(m.Mono)
	}
	m.Valid = fix.Good()
	if !m.Valid {
		d.c.count(VoidStatus)
	}
	return true
}

// gsa: selection, dimension 1 to 3, twelve or more satellites, PDOP, HDOP,
// VDOP, [system].
func (d *Decoder) gsa(m *Message, s sentence) bool {
	switch s.at(1) {
	case "1":
		m.Fix = FixNone
	case "2":
		m.Fix = Fix2D
	case "3":
		m.Fix = Fix3D
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

// gst: time, RMS of the residuals, error ellipse (major, minor, orientation),
// standard deviations of latitude, longitude and altitude in m.
func (d *Decoder) gst(m *Message, s sentence) bool {
	if t := s.at(0); t != "" && !m.setTime(t) {
		return d.refuse(BadTime)
	}
	lat, ok1 := s.number(5, 0, 1e7)
	lon, ok2 := s.number(6, 0, 1e7)
	if ok1 && ok2 {
		m.HAcc = math.Hypot(lat, lon)
	}
	m.VAcc, _ = s.number(7, 0, 1e7)
	return true
}

// txt: sentences, number, identifier, text.
func (d *Decoder) txt(m *Message, s sentence) bool {
	m.Parts, _ = digits(s.at(0), 1, 2)
	m.Part, _ = digits(s.at(1), 1, 2)
	m.Text = strings.Join(s.Fields[3:], ",")
	d.antennaText(m)
	return true
}

// antennaText reads the antenna's state where receivers tell it in words:
// u-blox ("ANTSTATUS=OK"), CASIC and MTK ("ANTENNA OPEN").
func (d *Decoder) antennaText(m *Message) {
	word, ok := strings.CutPrefix(m.Text, "ANTSTATUS=")
	if !ok {
		if word, ok = strings.CutPrefix(m.Text, "ANTENNA "); !ok {
			return
		}
	}
	m.HasAntenna = true
	switch strings.TrimSpace(word) {
	case "OK":
		m.Antenna = AntennaOK
	case "OPEN":
		m.Antenna = AntennaOpen
	case "SHORT":
		m.Antenna = AntennaShort
	}
}

// pubx: $PUBX,04: time, ddmmyy, time of week, week, leap seconds with a D
// while they are the firmware's default, clock bias, clock drift, granularity.
func (d *Decoder) pubx(m *Message, s sentence) bool {
	if s.at(0) != "04" {
		return d.refuse(UnknownSentence)
	}
	m.Source, m.Talker = "PUBX,04", "P"
	if s.at(1) == "" || s.at(2) == "" {
		return d.refuse(NoDate)
	}
	if !m.setTime(s.at(1)) {
		return d.refuse(BadTime)
	}
	dd, mm, yy, ok := sixDigits(s.at(2))
	if !ok {
		return d.refuse(BadDate)
	}
	m.Year, m.Month, m.Day = d.cal.century(yy), mm, dd
	leap, isDefault := strings.CutSuffix(s.at(5), "D")
	if n, ok := digits(leap, 1, 2); ok && !isDefault {
		m.LeapOffset = n + gpsToTAI
	}
	m.UTCUnresolved = m.LeapOffset == 0
	if !d.label(m, true) {
		return false
	}
	m.Fix = d.fixSpeaks(m.Mono)
	m.Stated = true
	m.Valid = !m.UTCUnresolved && (m.Fix == FixUnknown || m.Fix.Good())
	return true
}

// vtg: only the speed over ground is of use here.
func (d *Decoder) vtg(m *Message, v nmea.VTG) bool {
	if len(v.Fields) > 4 && v.Fields[4] != "" && v.GroundSpeedKnots >= 0 && v.GroundSpeedKnots < 1e5 {
		m.Speed, m.HasSpeed = v.GroundSpeedKnots*1852/3600, true
	}
	return true
}

// gsv: sentences, number, satellites in view, then four a sentence: identifier,
// elevation, azimuth, carrier to noise; [signal or system].
func (d *Decoder) gsv(m *Message, g nmea.GSV) bool {
	in := func(v, lo, hi int64) bool { return v >= lo && v <= hi }
	if !in(g.TotalMessages, 1, 99) || !in(g.MessageNumber, 1, 99) || !in(g.NumberSVsInView, 0, 999) {
		return d.refuse(BadField)
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
