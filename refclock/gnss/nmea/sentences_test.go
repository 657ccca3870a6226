package nmea

import (
	"strings"
	"testing"
	"time"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
)

// newDecoder returns a decoder of NMEA alone.
func newDecoder(cfg gnss.Config) *gnss.Decoder {
	return gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{New()}}, cfg)
}

// decodeAll runs lines through a Decoder; a line without a checksum gets one
// unless it begins with "=".
func decodeAll(t *testing.T, cfg gnss.Config, lines ...string) ([]*gnss.Message, gnss.Counters) {
	t.Helper()
	d := newDecoder(cfg)
	var out []*gnss.Message
	for i, l := range lines {
		b := []byte(strings.TrimPrefix(l, "="))
		if b[0] == '$' {
			if l[0] != '=' {
				b = Append(nil, l[1:])
			} else {
				b = append(b, '\r', '\n')
			}
		}
		d.Feed(b, int64(i)*1e8, func(m *gnss.Message) { out = append(out, m) })
	}
	d.Flush(func(m *gnss.Message) { out = append(out, m) })
	return out, d.Counters()
}

func TestBadSentencesAreRefusedWithTheirDefect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want gnss.Defect
	}{
		{"=$GPRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A*00", gnss.BadChecksum},
		{"=$GPRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A*G5", gnss.BadChecksum},
		{"=$GPRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A*", gnss.BadChecksum},
		{"=$GPRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.MissingChecksum},
		{"=$GPRMC,120000.00,A,4807\x80.0,N", gnss.BadCharacter},
		{"=$GPRMC,120000.00,A,4807\x00.0,N", gnss.BadCharacter},
		{"=$GPRMC,1200$GPRMC,12", gnss.Truncated},
		{"$GPTXT," + strings.Repeat("x", 600), gnss.TooLong},
		{"$GPRMC,120000.00,A", gnss.TooFewFields},
		{"$GPRMC", gnss.Noise}, // no comma: no sentence at all
		{"$GPTXT", gnss.Noise},
		{"$GPTXT,01", gnss.TooFewFields},
		{"$GPRMC,999999,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,240000,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,126000,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,120061,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,120060,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,12000,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,-20000,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,120000.x,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,120000.0000000001,A,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadTime},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,000000,,,A", gnss.BadDate},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,310424,,,A", gnss.BadDate},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,290223,,,A", gnss.BadDate},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,1524,,,A", gnss.BadDate},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,,,,A", gnss.NoDate},
		{"$GPRMC,000231.099,A,4829.0005,N,00022.0015,E,0.15,212.28,2208-1,,,A", gnss.BadDate}, // a Telit HE910 past its rollover
		{"$GPZDA,220516,D,5133.82,N,00042.24,W", gnss.BadDate},
		{"$GPRMC,120000,Q,4807.0,N,01131.0,E,0,0,010524,,,A", gnss.BadField},
		{"$GPRMC,235960,A,4807.0,N,01131.0,E,0,0,300624,,,A", gnss.NoLeapSecond},
		{"$GPRMC,120000,V,4807.0,N,01131.0,E,0,0,010524,,,N", gnss.VoidStatus},
		{"$GPZDA,120000,01,05,24,00,00", gnss.BadDate},
		{"$GPZDA,120000,00,05,2024,00,00", gnss.BadDate},
		{"$GPZDA,120000,01,13,2024,00,00", gnss.BadDate},
		{"$GPZDA,120000,01,05,1970,00,00", gnss.BadDate},
		{"$GPZDA,120000,,,,00,00", gnss.NoDate},
		{"$GPZDA,995959,01,05,2024,00,00", gnss.BadTime},
		{"$GPGGA,120000,4807.0,N,01131.0,E,1,08,1.0,1,M,1,M,,", gnss.NoDate},
		{"$GPGGA,120000,4807.0,N,01131.0,E,Z,08,1.0,1,M,1,M,,", gnss.BadField},
		{"$GPGGA,120000,4807.0,N,01131.0,E,1,-8,1.0,1,M,1,M,,", gnss.BadField},
		{"$GPGLL,4807.0,N,01131.0,E,120000,X", gnss.BadField},
		{"$GPGSV,0,1,00", gnss.BadField},
		{"$GPGSV,3,1,11,abc,1,2,3", gnss.BadField},
		{"$GPXYZ,1", gnss.UnknownSentence},
		{"$PUBX,00,1", gnss.UnknownSentence},
		{"$PUBX,04", gnss.NoDate},
		{"!AIVDM,1,1", gnss.Noise},
		{"$$$$", gnss.Noise},
		{"\x00\x01\x02", gnss.Noise},
	} {
		msgs, n := decodeAll(t, gnss.Config{}, c.in)
		for _, m := range msgs {
			if m.Valid || m.Stated {
				t.Errorf("%q: valid %+v", c.in, m)
			}
		}
		if n.Of(c.want) == 0 {
			t.Errorf("%q: %v not counted: %v", c.in, c.want, n)
		}
	}
}

func TestBadPositionLeavesTheTimeGood(t *testing.T) {
	t.Parallel()
	for _, lat := range []string{"9907.0", "NaN", "-Inf", "1e9", "48o7"} {
		m, n := decodeAll(t, gnss.Config{}, "$GPRMC,120000,A,"+lat+",N,01131.0,E,0,0,010524,,,A")
		if len(m) != 1 || !m[0].Valid || m[0].HasPos || n.Of(gnss.BadField) != 1 {
			t.Errorf("%s: %+v %v", lat, m, n)
		}
	}
}

func TestLabelsOfSentences(t *testing.T) {
	t.Parallel()
	sum := string(Append(nil, "GPZDA,120000,01,05,2024,00,0"))
	lower := "=" + sum[:len(sum)-4] + strings.ToLower(sum[len(sum)-4:len(sum)-2])
	if lower == "="+sum[:len(sum)-2] {
		t.Fatal("no letter in the checksum")
	}
	fixed := "$GNRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A,V"
	for _, c := range []struct {
		name   string
		in     []string
		want   string
		stated bool
		valid  bool
	}{
		{"void RMC", []string{"$GPRMC,120000,V,,,,,,,010524,,,N"}, "2024-05-01T12:00:00.000", false, false},
		{"dead reckoning", []string{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,010524,,,E"}, "2024-05-01T12:00:00.000", true, false},
		{"simulator", []string{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,010524,,,S"}, "2024-05-01T12:00:00.000", true, false},
		{"mode N", []string{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,010524,,,N"}, "2024-05-01T12:00:00.000", true, false},
		{"ZDA after a void RMC", []string{"$GPRMC,120000,V,,,,,,,010524,,,N", "$GPZDA,120000,01,05,2024,00,00"}, "2024-05-01T12:00:00.000", true, false},
		{"date of a void RMC", []string{"$GPRMC,120000,V,,,,,,,010524,,,N", "$GPGGA,120001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "", false, false},
		{"GGA without fix", []string{fixed, "$GPGGA,120001,,,,,0,00,,,M,,M,,"}, "2024-05-01T12:00:01.000", true, false},
		{"GGA of unknown quality", []string{fixed, "$GPGGA,120001,4807.0,N,01131.0,E,Q,00,,,M,,M,,"}, "2024-05-01T12:00:01.000", true, false},
		{"RMC of unknown status", []string{"$GPRMC,120000,Q,4807.0,N,01131.0,E,0,0,010524,,,A"}, "2024-05-01T12:00:00.000", false, false},
		{"GGA without fix and time, then with", []string{fixed, "$GNGGA,,,,,,0,00,,,M,,M,,", "$GNGGA,120001,,,,,1,05,,,M,,M,,"}, "", false, false},
		{"GLL void", []string{fixed, "$GPGLL,,,,,120001,V,N"}, "2024-05-01T12:00:01.000", true, false},
		{"GNS without fix", []string{fixed, "$GNGNS,120001,,,,,NNNN,00,,,,,"}, "2024-05-01T12:00:01.000", true, false},
		{"GGA of another session", []string{fixed, "$GPGGA,140001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "", false, false},
		{"GGA of another session before midnight", []string{fixed, "$GPGGA,003001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "", false, false},
		{"RMC without a date", []string{"$GNRMC,235959.000,A,3819.16721,N,02133.08984,E,0.0,0.0,,,,A"}, "", false, false},
		{"GNS of one system after one without fix", []string{fixed, "$GNGNS,120001,,,,,NN,00,,,,,", "$GPGNS,120001,,,,,,03,,,,,"}, "2024-05-01T12:00:01.000", true, false},
		{"GGA without quality after a void RMC", []string{fixed, "$GNRMC,120001,V,,,,,,,010524,,,N", "$GPGGA,120001.00,3715.6614,N,12157.6689,W,,11,0.8,86.7,M,-30.1,M,,"}, "2024-05-01T12:00:01.000", true, false},
		{"RMC of a rolled year, 1980", []string{"$GBRMC,000010.700,V,,,,,,,050180,,,N,V"}, "1980-01-05T00:00:10.700", false, false},
		{"PUBX,04 with default leap seconds", []string{"$PUBX,04,073731.00,091202,113851.00,1196,15D,1930035,-2660.664,43"}, "2002-12-09T07:37:31.000", true, false},

		{"RMC", []string{"$GPRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A"}, "2024-05-01T12:00:00.000", true, true},
		{"RMC of NMEA 2.0", []string{"$GPRMC,093802,A,5213.1439,N,02100.6511,E,000.0,226.0,160305"}, "2005-03-16T09:38:02.000", true, true},
		{"RMC, unknown navigational status", []string{"$GNRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A,X"}, "2024-05-01T12:00:00.000", true, true},
		{"RMC without a position", []string{"$GNRMC,120000.00,A,,,,,,,010524,,,A"}, "2024-05-01T12:00:00.000", true, true},
		{"any talker", []string{"$XQRMC,120000.5,A,4807.0,N,01131.0,E,0,0,010524,,,D"}, "2024-05-01T12:00:00.500", true, true},
		{"lower case checksum", []string{lower}, "2024-05-01T12:00:00.000", true, true},
		{"last nanosecond is not the next second's", []string{"$GPZDA,120000.9994,01,05,2024,00,00"}, "2024-05-01T12:00:00.999", true, true},
		{"nearest millisecond", []string{"$GPZDA,235959.999999999,31,12,2024,00,00"}, "2025-01-01T00:00:00.000", true, true},
		{"ZDA alone", []string{"$GPZDA,120000.02,01,05,2024,,"}, "2024-05-01T12:00:00.020", true, true},
		{"ZDA of a local zone", []string{"$GPZDA,120000.00,01,05,2024,-05,30"}, "2024-05-01T12:00:00.000", true, true},
		{"GGA dated by RMC", []string{fixed, "$GPGGA,120001.2,4807.0,N,01131.0,E,2,08,1,1,M,1,M,,"}, "2024-05-01T12:00:01.200", true, true},
		{"GLL dated by ZDA", []string{"$GPZDA,120000.00,01,05,2024,00,00", "$GPGLL,4807.0,N,01131.0,E,120000,A,A"}, "2024-05-01T12:00:00.000", true, true},
		{"GNS", []string{fixed, "$GNGNS,120001,4807.0,N,01131.0,E,NA,08,1,1,1,,"}, "2024-05-01T12:00:01.000", true, true},
		{"GNS of one system after the common one", []string{fixed, "$GNGNS,120001,4807.0,N,01131.0,E,RR,13,0.9,25.63,11.24,,", "$GPGNS,120001,,,,,,8,,,,1.0,23"}, "2024-05-01T12:00:01.000", true, true},
		{"ZDA after a GNS of one system", []string{"$GNGNS,120001,4807.0,N,01131.0,E,RR,13,0.9,25.63,11.24,,", "$GLGNS,120001,,,,,,5,,,,1.0,23", "$GNZDA,120001,01,05,2024,00,00"}, "2024-05-01T12:00:01.000", true, true},
		{"GNS with an unknown mode", []string{fixed, "$GNGNS,120001,4807.0,N,01131.0,E,AAX,14,0.6,161.5,48.0,,"}, "2024-05-01T12:00:01.000", true, true},
		{"GGA without quality", []string{fixed, "$GPGGA,120001.00,3715.6614,N,12157.6689,W,,11,0.8,86.7,M,-30.1,M,,"}, "2024-05-01T12:00:01.000", true, true},
		{"RMC without a date, after ZDA", []string{"$GNZDA,235958.000,11,09,2026,00,00", "$GNRMC,235959.000,A,3819.16721,N,02133.08984,E,0.0,0.0,,,,A"}, "2026-09-11T23:59:59.000", true, true},
		{"BeiDou talker", []string{"$BDRMC,080513.00,A,2231.52932,N,11355.98552,E,0.47,,130923,,,A,V"}, "2023-09-13T08:05:13.000", true, true},
		{"AIS and instruments between", []string{"!AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0*23", fixed, "$SDDPT,5.3,0.4,", "$IIXDR,C,,C,AIRTEMP,A,-1.0,D,HEEL", "$GPGLL,5251.0093,N,00518.8170,E,120001,A,A"}, "2024-05-01T12:00:01.000", true, true},
		{"proprietary noise", []string{"$PMTK001,314,3", "$PQTMPVT,1,31075000,20221225,083737.000,3,3,14,18,31.12738291,117.26372910", "$PAIR001,062,0", "$GQZDA,120000.000,01,05,2024,,", "$PSRFEPE,074157.799,A,1.1,24.65,25.14,0.1,61.5", "$GIGGA,120001.000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2024-05-01T12:00:01.000", true, true},
		{"a space before it", []string{fixed, " ", "$GPGGA,120001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2024-05-01T12:00:01.000", true, true},
		{"over midnight", []string{"$GPZDA,235959.00,31,12,2024,00,00", "$GPGGA,000000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2025-01-01T00:00:00.000", true, true},
		{"back over midnight", []string{"$GPZDA,000000.00,01,03,2024,00,00", "$GPGGA,235959.9,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2024-02-29T23:59:59.900", true, true},
		{"leap second", []string{"$GPRMC,235960.25,A,4807.0,N,01131.0,E,0,0,311216,,,A"}, "2016-12-31T23:59:60.250", true, true},
		{"GGA in a leap second", []string{"$GPZDA,235959.00,31,12,2016,00,00", "$GPGGA,235960,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2016-12-31T23:59:60.000", true, true},
		{"PUBX,04", []string{"$PUBX,04,073731.00,091202,113851.00,1196,13,1930035,-2660.664,43"}, "2002-12-09T07:37:31.000", true, true},
		{"year 99", []string{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,220899,,,A"}, "1999-08-22T12:00:00.000", true, true},
		{"year 79", []string{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,220879,,,A"}, "2079-08-22T12:00:00.000", true, true},
	} {
		msgs, n := decodeAll(t, gnss.Config{}, c.in...)
		if len(msgs) == 0 {
			t.Errorf("%s: nothing decoded: %v", c.name, n)
			continue
		}
		m := msgs[len(msgs)-1]
		got := ""
		if m.HasDate {
			got = gnsstest.Stamp(m)
		}
		if got != c.want || m.Stated != c.stated || m.Valid != c.valid {
			t.Errorf("%s: %s stated %v valid %v; want %s %v %v", c.name, got, m.Stated, m.Valid, c.want, c.stated, c.valid)
		}
	}
}

func TestDatesBeforeTheFloorAreMoved(t *testing.T) {
	t.Parallel()
	floor := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in    string
		floor time.Time
		want  string
		weeks int
	}{
		{"$GPZDA,120000,08,04,2007,00,00", time.Time{}, "2007-04-08T12:00:00.000", 0},
		{"$GPZDA,120000,08,04,2007,00,00", floor, "2026-11-22T12:00:00.000", 1024},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,080407,,,A", floor, "2026-11-22T12:00:00.000", 1024},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,230887,,,A", floor, "2026-11-22T12:00:00.000", 2048},
		{"$GPZDA,235959,31,10,2026,00,00", floor, "2046-06-16T23:59:59.000", 1024},
		{"$GPZDA,000000,01,11,2026,00,00", floor, "2026-11-01T00:00:00.000", 0},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,070236,,,A", floor, "2036-02-07T12:00:00.000", 0},
		{"$GPRMC,120000,A,4807.0,N,01131.0,E,0,0,010185,,,A", floor, "2043-11-17T12:00:00.000", 3072},
	} {
		m, _ := decodeAll(t, gnss.Config{NotBefore: c.floor}, c.in)
		if len(m) != 1 || gnsstest.Stamp(m[0]) != c.want || m[0].Rollover != c.weeks {
			t.Errorf("%s: %s, %d weeks; want %s, %d", c.in, gnsstest.Stamp(m[0]), m[0].Rollover, c.want, c.weeks)
		}
	}
	// A carried date is moved once, not once a message.
	m, _ := decodeAll(t, gnss.Config{NotBefore: floor}, "$GPZDA,235959,07,04,2007,00,00",
		"$GPGGA,000000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,", "$GPGGA,000001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,")
	if got := gnsstest.Stamp(m[2]); got != "2026-11-22T00:00:01.000" || m[2].Rollover != 1024 {
		t.Errorf("carried: %s, %d weeks", got, m[2].Rollover)
	}
}

// A date is not carried over a silence in which midnight may have passed, and a
// fix does not apply long after its epoch.
func TestDatesAndFixesGrowStale(t *testing.T) {
	t.Parallel()
	d := newDecoder(gnss.Config{})
	var last *gnss.Message
	emit := func(m *gnss.Message) { last = m }
	d.Feed(Append(nil, "GPRMC,120000,A,4807.0,N,01131.0,E,0,0,010524,,,A"), 0, emit)
	d.Feed(Append(nil, "GPGGA,120000,,,,,0,00,,,M,,M,,"), 0, emit)
	d.Feed(Append(nil, "GPZDA,120004,01,05,2024,,"), 4e9, emit)
	if last.Valid || last.Fix != gnss.FixNone {
		t.Errorf("ZDA 4 s after the fix was lost: %+v", last)
	}
	d.Feed(Append(nil, "GPZDA,120006,01,05,2024,,"), 6e9, emit)
	if !last.Valid || last.Fix != gnss.FixUnknown {
		t.Errorf("ZDA 6 s after the last fix: %+v", last)
	}
	d.Feed(Append(nil, "GPGGA,130007,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"), 3607e9, emit)
	if last.HasDate {
		t.Errorf("date carried over an hour of silence: %+v", last)
	}
}

func TestSatellitesAndStatus(t *testing.T) {
	t.Parallel()
	m, _ := decodeAll(t, gnss.Config{},
		"$GPGSV,3,2,11,14,25,170,00,16,57,,39,18,,040,,19,40,246,47",
		"$GNGSA,A,3,80,71,73,79,69,,,,,,,,1.83,1.09,1.47,2",
		"$GPGSA,A,3,27,23,13,07,25,,,,,,,,,,,,,,,,,,,,07.9,06.0,05.2",
		"$GPGST,223745.00,228650,2.5,2.4,126,3,4,3.1",
		"$GPTXT,01,01,02,ANTSTATUS=OPEN",
		"$GPTXT,01,01,01,ANTENNA OK")
	if len(m) != 6 {
		t.Fatalf("%d messages", len(m))
	}
	if s := m[0].Satellites; len(s) != 4 || s[0] != (gnss.Satellite{System: gnss.GPS, ID: 14, Elevation: 25, Azimuth: 170, CN0: 0, Used: false}) ||
		s[1] != (gnss.Satellite{System: gnss.GPS, ID: 16, Elevation: 57, Azimuth: gnss.NoAzimuth, CN0: 39, Used: false}) || s[2] != (gnss.Satellite{System: gnss.GPS, ID: 18, Elevation: gnss.NoElevation, Azimuth: 40, CN0: 0, Used: false}) {
		t.Errorf("GSV: %+v", s)
	}
	if s := m[1].Satellites; len(s) != 5 || s[0].System != gnss.GLONASS || !s[0].Used || m[1].HDOP != 1.09 || m[1].Fix != gnss.Fix3D {
		t.Errorf("GSA: %+v", m[1])
	}
	if len(m[2].Satellites) != 5 {
		t.Errorf("GSA with 24 places: %+v", m[2].Satellites)
	}
	old, _ := decodeAll(t, gnss.Config{}, "$GPGSA,A,3,07,46,76,193,,,,,,,,,1.83,1.09,1.47", "$GAGSA,A,3,34,,,,,,,,,,,,1.83,1.09,1.47")
	for i, want := range []gnss.System{gnss.GPS, gnss.SBAS, gnss.GLONASS, gnss.QZSS} {
		if old[0].Satellites[i].System != want {
			t.Errorf("GSA of one talker for all, %d: %v, want %v", i, old[0].Satellites[i].System, want)
		}
	}
	if old[1].Satellites[0].System != gnss.Galileo {
		t.Errorf("Galileo 34: %v", old[1].Satellites[0].System)
	}
	if m[3].HAcc != 5 || m[3].VAcc != 3.1 {
		t.Errorf("GST: %+v", m[3])
	}
	if !m[4].HasAntenna || m[4].Antenna != gnss.AntennaOpen || m[5].Antenna != gnss.AntennaOK {
		t.Errorf("TXT: %+v %+v", m[4], m[5])
	}
}

// Labels in GPS time and TAI need no leap seconds; PUBX,04 is UTC by its format.
func TestLabelsInTheConfiguredScaleWithTheConfiguredOffset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cfg   gnss.Config
		lines []string
		want  string // UTC; empty: refused
		free  bool   // of leap seconds
	}{
		{"second 60 in GPS time", gnss.Config{TimeScale: gnss.ScaleGPS, NewLeaps: true}, []string{"$GPZDA,235960.00,31,12,2016,00,00"}, "", false},
		{"no such date", gnss.Config{TimeScale: gnss.ScaleTAI}, []string{"$GPZDA,120000.00,31,02,2026,00,00"}, "", false},
		{"UTC", gnss.Config{}, []string{"$GPZDA,120000.00,23,11,2026,00,00"}, "2026-11-23 12:00:00", false},
		{"GPS time", gnss.Config{TimeScale: gnss.ScaleGPS}, []string{"$GPZDA,120018.00,23,11,2026,00,00"}, "2026-11-23 12:00:00", true},
		{"TAI", gnss.Config{TimeScale: gnss.ScaleTAI}, []string{"$GPZDA,120037.50,23,11,2026,00,00"}, "2026-11-23 12:00:00.5", true},
		{"GPS time across midnight of UTC", gnss.Config{TimeScale: gnss.ScaleGPS}, []string{"$GPZDA,000017.00,24,11,2026,00,00"}, "2026-11-23 23:59:59", true},
		{"a carried date across midnight of GPS time", gnss.Config{TimeScale: gnss.ScaleGPS},
			[]string{"$GPRMC,235959.00,A,4807.0,N,01131.0,E,0,0,231126,,,A", "$GPGGA,000000.00,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, "2026-11-23 23:59:42", true},
		{"a rollover in GPS time", gnss.Config{TimeScale: gnss.ScaleGPS, NotBefore: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
			[]string{"$GPZDA,120018.00,09,04,2007,00,00"}, "2026-11-23 12:00:00", true},
		{"PUBX,04 is UTC", gnss.Config{TimeScale: gnss.ScaleGPS}, []string{"$PUBX,04,120000.00,231126,129621.00,2446,18,0,0.000,21"}, "2026-11-23 12:00:00", false},
		{"offset", gnss.Config{LabelOffset: -time.Second}, []string{"$GPZDA,000000.00,24,11,2026,00,00"}, "2026-11-23 23:59:59", false},
		{"offset in TAI", gnss.Config{TimeScale: gnss.ScaleTAI, LabelOffset: time.Second}, []string{"$GPZDA,120037.00,23,11,2026,00,00"}, "2026-11-23 12:00:01", true},
	} {
		all, _ := decodeAll(t, c.cfg, c.lines...)
		if c.want == "" {
			if len(all) != 0 {
				t.Errorf("%s: %+v", c.name, all[0])
			}
			continue
		}
		if len(all) != len(c.lines) {
			t.Errorf("%s: %d messages", c.name, len(all))
			continue
		}
		m := all[len(all)-1]
		civil := time.Date(m.Year, time.Month(m.Month), m.Day, m.Hour, m.Minute, m.Second, m.Nanos, time.UTC)
		const layout = "2006-01-02 15:04:05.999"
		if got := m.Time.UTC(37).Format(layout); got != c.want || civil.Format(layout) != c.want || m.Uniform != c.free || !m.Stated {
			t.Errorf("%s: %s, calendar %s, free %v, %+v; want %s, %v", c.name, got, civil.Format(layout), m.Uniform, m, c.want, c.free)
		}
	}
}
