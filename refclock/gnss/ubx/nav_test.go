package ubx

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
)

var le = binary.LittleEndian

func timeGPS(week int, ms int64, ns int32, leap int8, valid byte) []byte {
	p := make([]byte, 16)
	le.PutUint32(p, uint32(ms))
	le.PutUint32(p[4:], uint32(ns))
	le.PutUint16(p[8:], uint16(week))
	p[10], p[11] = byte(leap), valid
	le.PutUint32(p[12:], 25)
	return p
}

// pvt makes a NAV-PVT of 2024-05-01 12:00:sec + nano.
func pvt(sec byte, nano int32, valid, fix, flags byte) []byte {
	p := make([]byte, 92)
	le.PutUint16(p[4:], 2024)
	copy(p[6:], []byte{5, 1, 12, 0, sec, valid})
	le.PutUint32(p[12:], 12)
	le.PutUint32(p[16:], uint32(nano))
	p[20], p[21], p[23] = fix, flags, 17
	return p
}

func timeUTC(valid byte) []byte {
	p := make([]byte, 20)
	le.PutUint16(p[12:], 2024)
	copy(p[14:], []byte{5, 1, 12, 0, 0, valid})
	return p
}

func sol(fix, flags byte) []byte {
	p := make([]byte, 52)
	le.PutUint32(p, 302418000) // 2024-05-01 12:00:00 UTC
	le.PutUint16(p[8:], 2312)
	p[10], p[11], p[47] = fix, flags, 9
	return p
}

// decodeLast decodes frames and returns the last message.
func decodeLast(t *testing.T, cfg gnss.Config, frames ...[]byte) *gnss.Message {
	t.Helper()
	d := newDecoder(cfg)
	var last *gnss.Message
	for _, f := range frames {
		d.Feed(f, 0, func(m *gnss.Message) { last = m })
	}
	return last
}

func TestLabelsOfMessages(t *testing.T) {
	t.Parallel()
	noon := tai.FromUnix(1714564800, 0, 37)
	for _, c := range []struct {
		name   string
		id     int
		p      []byte
		want   tai.Time
		stated bool
		valid  bool
	}{
		{"PVT, nothing valid", navPVT, pvt(0, 0, 0, 0, 0), noon, false, false},
		{"PVT, date only", navPVT, pvt(0, 0, 1, 3, 1), noon, false, false},
		{"PVT, leap seconds unknown", navPVT, pvt(0, 0, 3, 3, 1), noon, true, false},
		{"PVT, no fix", navPVT, pvt(0, 0, 7, 0, 0), noon, true, false},
		{"PVT, fix not ok", navPVT, pvt(0, 0, 7, 3, 0), noon, true, false},
		{"PVT, dead reckoning", navPVT, pvt(0, 0, 7, 1, 1), noon, true, false},
		{"SOL, no week", navSOL, sol(3, 9), 0, false, false},
		{"SOL, no fix", navSOL, sol(0, 12), noon, true, false},
		{"TIMEUTC, UTC not known", navTimeUTC, timeUTC(3), noon, false, false},
		{"TIMEGPS, no week", navTimeGPS, timeGPS(2312, 302418000, 0, 18, 5), 0, false, false},

		{"PVT", navPVT, pvt(0, 0, 7, 3, 1), noon, true, true},
		{"PVT, time only", navPVT, pvt(0, 0, 7, 5, 1), noon, true, true},
		{"PVT, before the second", navPVT, pvt(0, -358577, 7, 3, 1), noon, true, true},
		{"PVT, after it", navPVT, pvt(0, 358577, 7, 3, 1), noon, true, true},
		{"PVT, of 10 Hz", navPVT, pvt(1, -300000009, 7, 3, 1), noon + 700e6, true, true},
		{"SOL", navSOL, sol(3, 13), noon, true, true},
		{"TIMEUTC", navTimeUTC, timeUTC(7), noon, true, true},
		{"TIMEGPS", navTimeGPS, timeGPS(2312, 302418000, -123, 18, 7), noon, true, true},
		{"TIMEGPS, leap seconds unknown", navTimeGPS, timeGPS(2312, 302418000, 499999, 0, 3), noon, true, true},
	} {
		m := decodeLast(t, gnss.Config{}, Append(nil, c.id, c.p))
		if m == nil {
			t.Errorf("%s: nothing decoded", c.name)
			continue
		}
		if m.Time != c.want || m.Stated != c.stated || m.Valid != c.valid || m.HasDate != (c.want != 0) {
			t.Errorf("%s: %d stated %v valid %v; want %d %v %v", c.name, m.Time-noon, m.Stated, m.Valid, c.want-noon, c.stated, c.valid)
		}
	}
}

func TestBadMessagesAreRefusedWithTheirDefect(t *testing.T) {
	t.Parallel()
	bad := pvt(61, 0, 7, 3, 1)
	nano := pvt(0, -2e9, 7, 3, 1)
	feb := pvt(0, 0, 7, 3, 1)
	feb[6], feb[7] = 2, 30
	sixty := pvt(60, 0, 7, 3, 1)
	sixty[8], sixty[9] = 23, 59
	sats := make([]byte, 8)
	sats[5] = 1
	rf := []byte{0, 1, 0, 0}
	for _, c := range []struct {
		id   int
		p    []byte
		want gnss.Defect
	}{
		{navPVT, bad, gnss.BadTime},
		{navPVT, nano, gnss.BadTime},
		{navPVT, feb, gnss.BadDate},
		{navPVT, sixty, gnss.NoLeapSecond},
		{navPVT, bad[:60], gnss.BadLength},
		{navTimeGPS, timeGPS(-1, 0, 0, 18, 7), gnss.BadDate},
		{navTimeGPS, timeGPS(2312, 700000000, 0, 18, 7), gnss.BadTime},
		{navSAT, sats, gnss.BadLength},
		{navSVInfo, []byte{0, 0, 0, 0, 9, 0, 0, 0}, gnss.BadLength},
		{monRF, rf, gnss.BadLength},
		{secSIG, []byte{1, 0, 0, 0}, gnss.BadLength},
		{secSIG, []byte{9, 0, 0, 0}, gnss.UnknownSentence},
		{0x0105, nil, gnss.UnknownSentence},
		{0x0409, nil, gnss.UnknownSentence},
	} {
		d := newDecoder(gnss.Config{})
		d.Feed(Append(nil, c.id, c.p), 0, func(m *gnss.Message) { t.Errorf("%04x: %+v", c.id, m) })
		n := d.Counters()
		if n.Of(c.want) != 1 {
			t.Errorf("%04x: %v not counted: %v", c.id, c.want, n)
		}
	}
}

func timeLS(curr, src, change int8, in int32, week, day uint16, valid byte) []byte {
	p := make([]byte, 24)
	p[8], p[9], p[11], p[23] = byte(src), byte(curr), byte(change), valid
	le.PutUint32(p[12:], uint32(in))
	le.PutUint16(p[16:], week)
	le.PutUint16(p[18:], day)
	return Append(nil, navTimeLS, p)
}

func TestTimeLSAnnouncesLeapSeconds(t *testing.T) {
	t.Parallel()
	// The leap second of 2016-12-31: Saturday, day 7 of GPS week 1929.
	at := tai.FromUnix(1483228800, 0, 37)
	for _, c := range []struct {
		name   string
		in     []byte
		offset int
		event  bool
		sign   int
		at     tai.Time
		source gnss.LeapSource
	}{
		{"not valid", timeLS(18, 2, 1, 100, 1929, 7, 0), 0, false, 0, 0, gnss.LeapGPS},
		{"no event known", timeLS(18, 0, 1, 100, 1929, 7, 1), 37, false, 0, 0, gnss.LeapFirmware},
		{"two seconds at once", timeLS(18, 2, 2, 100, 1929, 7, 3), 37, false, 0, 0, gnss.LeapGPS},
		{"none ahead", timeLS(18, 2, 0, -100, 1929, 7, 3), 37, true, 0, 0, gnss.LeapGPS},
		{"day 9", timeLS(17, 2, 1, 100, 1929, 9, 3), 36, true, 1, 0, gnss.LeapGPS},
		{"source 255", timeLS(18, -1, 0, 0, 0, 0, 1), 37, false, 0, 0, gnss.LeapUnknown},
		{"source 9", timeLS(18, 9, 0, 0, 0, 0, 1), 37, false, 0, 0, gnss.LeapUnknown},
		{"aided", timeLS(18, 6, 0, 0, 0, 0, 1), 37, false, 0, 0, gnss.LeapAided},
		{"configured", timeLS(18, 7, 0, 0, 0, 0, 1), 37, false, 0, 0, gnss.LeapConfigured},
		{"NavIC", timeLS(18, 8, 0, 0, 0, 0, 1), 37, false, 0, 0, gnss.LeapNavIC},
		{"ahead", timeLS(17, 2, 1, 100, 1929, 7, 3), 36, true, 1, at, gnss.LeapGPS},
		{"just past", timeLS(18, 2, 1, -5, 1929, 7, 3), 37, true, 1, at, gnss.LeapGPS},
	} {
		m := decodeLast(t, gnss.Config{}, c.in)
		if m.LeapOffset != c.offset || m.HasLeapEvent != c.event || m.LeapSign != c.sign || m.LeapAt != c.at || m.LeapSource != c.source {
			t.Errorf("%s: offset %d event %v sign %d at %d source %s", c.name, m.LeapOffset, m.HasLeapEvent, m.LeapSign, m.LeapAt, m.LeapSource)
		}
	}
}

// Only an explicit list of sources is heard from satellites, and NAV-TIMEGPS goes
// by the source that NAV-TIMELS named last.
func TestLeapSources(t *testing.T) {
	t.Parallel()
	heard := map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 8: true}
	gps := Append(nil, navTimeGPS, timeGPS(2445, 0, 0, 18, 7))
	for src := range 256 {
		ls := timeLS(18, int8(src), 0, 0, 0, 0, 1)
		if m := decodeLast(t, gnss.Config{}, ls); m.LeapOffset != 37 || m.LeapSource.FromSatellites() != heard[src] {
			t.Errorf("NAV-TIMELS, source %d: %v", src, m.LeapSource)
		}
		if m := decodeLast(t, gnss.Config{}, ls, gps); m.LeapOffset != 37 || m.LeapSource.FromSatellites() != heard[src] {
			t.Errorf("NAV-TIMEGPS after source %d: %v", src, m.LeapSource)
		}
	}
	for _, c := range []struct {
		name   string
		in     []byte
		offset int
		source gnss.LeapSource
		utc    gnss.UTC
	}{
		{"NAV-TIMEGPS, leap seconds not valid", Append(nil, navTimeGPS, timeGPS(2445, 0, 0, 18, 3)), 0, gnss.LeapUnreported, gnss.UTCUnresolved},
		{"NAV-SOL", Append(nil, navSOL, sol(3, 13)), 0, gnss.LeapUnreported, gnss.UTCUnreported},
		{"NAV-TIMEGPS", gps, 37, gnss.LeapHeard, gnss.UTCResolved},
	} {
		if m := decodeLast(t, gnss.Config{}, c.in); m.LeapOffset != c.offset || m.LeapSource != c.source || m.UTC != c.utc || !m.Valid || !m.Uniform {
			t.Errorf("%s: %d, %v, UTC %v, valid %v, uniform %v", c.name, m.LeapOffset, m.LeapSource, m.UTC, m.Valid, m.Uniform)
		}
	}
}

// A receiver that announces 18 leap seconds cannot be in 2007.
func TestLeapCountShowsARollover(t *testing.T) {
	t.Parallel()
	in := Append(nil, navTimeGPS, timeGPS(2445-1024, 0, 0, 18, 7))
	m := decodeLast(t, gnss.Config{}, in)
	if got := gnsstest.Stamp(m); got != "2026-11-14T23:59:42.000" || m.Rollover != 1024 {
		t.Errorf("%s, %d weeks", got, m.Rollover)
	}
	m = decodeLast(t, gnss.Config{}, Append(nil, navTimeGPS, timeGPS(2445-1024, 0, 0, 14, 7)))
	if got := gnsstest.Stamp(m); got != "2007-03-31T23:59:46.000" || m.Rollover != 0 {
		t.Errorf("%s, %d weeks", got, m.Rollover)
	}
	floor := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	m = decodeLast(t, gnss.Config{NotBefore: floor}, Append(nil, navSOL, sol(3, 13)))
	if got := gnsstest.Stamp(m); got != "2043-12-16T12:00:00.000" || m.Rollover != 1024 {
		t.Errorf("%s, %d weeks", got, m.Rollover)
	}
}

func TestTimTPDescribesTheNextPulse(t *testing.T) {
	t.Parallel()
	tp := func(qerr int32, week uint16, flags, ref byte) []byte {
		p := make([]byte, 16)
		le.PutUint32(p, 302419000)
		le.PutUint32(p[4:], 1<<31) // half a millisecond
		le.PutUint32(p[8:], uint32(qerr))
		le.PutUint16(p[12:], week)
		p[14], p[15] = flags, ref
		return Append(nil, timTP, p)
	}
	gps := tai.FromUnix(1714564801, 500000, 37)
	for _, c := range []struct {
		name string
		in   []byte
		qerr int64
		has  bool
		at   tai.Time
	}{
		{"before the first fix", tp(0, 0, 0, 0), 0, true, 0},
		{"error invalid", tp(-7000, 2312, 16, 0), -7000, false, gps},
		{"UTC not available", tp(-7000, 2312, 1, 0), -7000, true, 0},
		{"GLONASS grid", tp(5, 2312, 0, 1), 5, true, 0},
		{"GPS grid", tp(-7000, 2312, 0, 0), -7000, true, gps},
		{"UTC grid", tp(7000, 2312, 3, 0), 7000, true, gps + 18*tai.Second},
	} {
		m := decodeLast(t, gnss.Config{}, c.in)
		if m.QErrPS != c.qerr || m.HasQErr != c.has || m.PulseTime != c.at || m.HasPulse != (c.at != 0) || m.HasDate {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
}

// grids.ubx has one instant by the grids of GPS, GLONASS, BeiDou and Galileo, then by
// UTC and unknown ones. Those whose weeks are counted otherwise give no label, and the
// quantisation error is read all the same.
func TestTimTPGrids(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/grids.ubx")
	if err != nil {
		t.Fatal(err)
	}
	const gps = tai.Time(315964800+19)*tai.Second + 2446*7*86400*tai.Second + 129619*tai.Second
	want := []struct {
		qerr int64
		has  bool
		at   tai.Time
	}{
		{1000, true, gps}, {1000, true, 0}, {1000, true, 0}, {1000, true, 0},
		{0, false, gps}, {500, true, 0}, {1000, true, gps},
	}
	var got []*gnss.Message
	d := newDecoder(gnss.Config{})
	d.Feed(b, 1, func(m *gnss.Message) { got = append(got, m) })
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, w := range want {
		if m := got[i]; m.QErrPS != w.qerr || m.HasQErr != w.has || m.PulseTime != w.at || m.HasPulse != (w.at != 0) || m.HasDate {
			t.Errorf("message %d: %v, %d ps (%v), want %v, %d ps (%v)", i, m.PulseTime, m.QErrPS, m.HasQErr, w.at, w.qerr, w.has)
		}
	}
}

// timels.ubx has each source of the leap count: five were heard from satellites.
func TestSourcesOfTheLeapCount(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/timels.ubx")
	if err != nil {
		t.Fatal(err)
	}
	want := []gnss.LeapSource{gnss.LeapFirmware, gnss.LeapGLONASS, gnss.LeapGPS, gnss.LeapGalileo, gnss.LeapAided, gnss.LeapConfigured, gnss.LeapNavIC, gnss.LeapUnknown, gnss.LeapConfigured}
	heard := []bool{false, true, true, true, false, false, true, false, false}
	i := 0
	newDecoder(gnss.Config{}).Feed(b, 1, func(m *gnss.Message) {
		if i < len(want) && (m.LeapSource != want[i] || m.LeapSource.FromSatellites() != heard[i] || (m.LeapOffset == 37) != (i < 8)) {
			t.Errorf("message %d: source %v (heard: %v), TAI-UTC %d", i, m.LeapSource, m.LeapSource.FromSatellites(), m.LeapOffset)
		}
		i++
	})
	if i != len(want) {
		t.Errorf("%d messages, want %d", i, len(want))
	}
}

func TestStateOfTheReceiver(t *testing.T) {
	t.Parallel()
	hw := make([]byte, 60)
	hw[20], hw[21], hw[22], hw[45] = 4, 1, 2<<2, 200
	rf := make([]byte, 4+48)
	rf[1] = 2
	rf[4+2], rf[4+24+1], rf[4+24+2], rf[4+24+16] = 2, 3, 3, 17
	svin := make([]byte, 28)
	le.PutUint32(svin, 3600)
	le.PutUint32(svin[16:], 4000000) // (2 m)^2 in mm2
	le.PutUint32(svin[20:], 3599)
	svin[24] = 1
	ver := make([]byte, 70)
	copy(ver, "EXT CORE 1.00 (535349)")
	copy(ver[30:], "00190000")
	copy(ver[40:], "FWVER=TIM 2.25")
	for _, c := range []struct {
		id int
		p  []byte
		ok func(*gnss.Message) bool
	}{
		{monHW, hw, func(m *gnss.Message) bool {
			return m.Antenna == gnss.AntennaOpen && m.AntennaPower == gnss.PowerOn && m.Jamming == gnss.ThreatWarning && m.JamIndicator == 200
		}},
		{monRF, rf, func(m *gnss.Message) bool {
			return m.Antenna == gnss.AntennaShort && m.Jamming == gnss.ThreatCritical && m.JamIndicator == 17
		}},
		{secSIG, []byte{1, 0, 0, 0, 1 | 2<<1, 0, 0, 0, 1 | 2<<1, 0, 0, 0}, func(m *gnss.Message) bool {
			return m.Jamming == gnss.ThreatWarning && m.Spoofing == gnss.ThreatWarning
		}},
		{secSIG, []byte{1, 0, 0, 0, 2 << 1, 0, 0, 0, 2 << 1, 0, 0, 0}, func(m *gnss.Message) bool { // detectors off
			return m.Jamming == gnss.ThreatUnknown && m.Spoofing == gnss.ThreatUnknown
		}},
		{secSIG, []byte{2, 1 | 1<<1 | 8 | 3<<4, 0, 0}, func(m *gnss.Message) bool {
			return m.Jamming == gnss.ThreatNone && m.Spoofing == gnss.ThreatCritical
		}},
		{secSIG, []byte{3, 1 | 2<<1 | 8 | 2<<4, 0, 1, 0x26, 0x0A, 0x18, 1}, func(m *gnss.Message) bool { // 1575.462 MHz jammed
			return m.Jamming == gnss.ThreatWarning && m.Spoofing == gnss.ThreatWarning
		}},
		{navStatus, []byte{0, 0, 0, 0, 3, 1, 0, 2 << 3, 0, 0, 0, 0, 0, 0, 0, 0}, func(m *gnss.Message) bool {
			return m.Fix == gnss.Fix3D && m.Spoofing == gnss.ThreatWarning
		}},
		{timSVIN, svin, func(m *gnss.Message) bool {
			return m.HasSurvey && m.SurveyValid && !m.SurveyActive && m.SurveyAcc == 2 && m.SurveyObs == 3599
		}},
		{monVER, ver, func(m *gnss.Message) bool {
			return m.Text == "EXT CORE 1.00 (535349)" && m.HW == "00190000" && len(m.Modules) == 1 && m.Modules[0] == "FWVER=TIM 2.25"
		}},
		{ackAck, []byte{6, 0x8A}, func(m *gnss.Message) bool { return m.Source == "ACK-ACK" && m.AckClass == 6 && m.AckID == 0x8A }},
		{0x0400, []byte("ANTSTATUS=SHORT"), func(m *gnss.Message) bool { return m.Source == "INF-ERROR" && m.Antenna == gnss.AntennaShort }},
	} {
		if m := decodeLast(t, gnss.Config{}, Append(nil, c.id, c.p)); m == nil || !c.ok(m) {
			t.Errorf("%04x: %+v", c.id, m)
		}
	}
}

func TestNavSATListsSatellites(t *testing.T) {
	t.Parallel()
	p := make([]byte, 8+24)
	p[5] = 2
	copy(p[8:], []byte{0, 12, 44, 51, 200, 0, 0, 0, 8, 0, 0, 0})
	copy(p[20:], []byte{6, 3, 0, 0xA5, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0})
	m := decodeLast(t, gnss.Config{}, Append(nil, navSAT, p))
	if len(m.Satellites) != 2 || m.Sats != 1 || m.Satellites[0] != (gnss.Satellite{System: gnss.GPS, ID: 12, Elevation: 51, Azimuth: 200, CN0: 44, Used: true}) ||
		m.Satellites[1] != (gnss.Satellite{System: gnss.GLONASS, ID: 3, Elevation: gnss.NoElevation, Azimuth: gnss.NoAzimuth, CN0: 0, Used: false}) {
		t.Errorf("%+v", m.Satellites)
	}
}
