package nmea

import (
	"testing"
	"time"

	"noonmark/refclock/gnss"
)

// timed is a sentence and when it comes.
type timed struct {
	at   time.Duration
	text string
}

// play decodes sentences at their instants.
func play(cfg gnss.Config, in []timed) (out []*gnss.Message) {
	d := newDecoder(cfg)
	for _, x := range in {
		d.Feed(Append(nil, x.text), int64(x.at), func(m *gnss.Message) { out = append(out, m) })
	}
	return out
}

const ms = time.Millisecond

// An epoch begins with its first sentence, dated or not.
func TestEpochBeginsWithItsFirstSentence(t *testing.T) {
	t.Parallel()
	const rmc = ",A,4807.0,N,01131.0,E,0,0,231126,,,A"
	for _, c := range []struct {
		name string
		in   []timed
		want time.Duration // Epoch of the last message
	}{
		{"time stands still", []timed{{0, "GPRMC,120001.00" + rmc}, {3000 * ms, "GPRMC,120001.00" + rmc}}, 3000 * ms},
		{"another time of day", []timed{{500 * ms, "GNGGA,120001.000,,,,,0,00,,,M,,M,,"}, {1070 * ms, "GNRMC,120002.000" + rmc}}, 1070 * ms},
		{"no time of day", []timed{{500 * ms, "GPRMC,,V,,,,,,,,,,N"}}, 0},
		{"alone", []timed{{90 * ms, "GPRMC,120001.00" + rmc}}, 90 * ms},
		{"GGA first, nothing dated yet", []timed{{500 * ms, "GNGGA,120001.000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, {1070 * ms, "GNRMC,120001.000" + rmc}}, 500 * ms},
		{"GGA without a fix first", []timed{{500 * ms, "GNGGA,120001.000,,,,,0,00,,,M,,M,,"}, {1070 * ms, "GNRMC,120001.000" + rmc}}, 500 * ms},
		{"GST first", []timed{{200 * ms, "GNGST,120001.00,2,2.5,2.4,126,3,4,3.1"}, {400 * ms, "GNRMC,120001.00" + rmc}}, 200 * ms},
		{"ZDA with a time before its date", []timed{{200 * ms, "GPGLL,4807.0,N,01131.0,E,120001.00,A,A"}, {700 * ms, "GPZDA,120001.00,23,11,2026,00,00"}}, 200 * ms},
		{"other decimals", []timed{{200 * ms, "GPGGA,120001,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, {700 * ms, "GPRMC,120001.000" + rmc}}, 200 * ms},
		{"over midnight, the date comes later", []timed{{0, "GPRMC,235959.00" + rmc}, {900 * ms, "GPGGA,000000.00,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, {1500 * ms, "GPRMC,000000.00,A,4807.0,N,01131.0,E,0,0,241126,,,A"}}, 900 * ms},
		{"10 Hz with GGA first", []timed{{0, "GNGGA,120001.000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, {100 * ms, "GNGGA,120001.100,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, {150 * ms, "GNRMC,120001.000" + rmc}}, 0},
	} {
		m := play(gnss.Config{}, c.in)
		if got := time.Duration(m[len(m)-1].Epoch); got != c.want {
			t.Errorf("%s: epoch at %v, want %v", c.name, got, c.want)
		}
	}
}

// A sentence about one system without a fix does not silence another system that
// has one; the receiver as a whole does.
func TestFixOfSeveralSystems(t *testing.T) {
	t.Parallel()
	const zda, pos = "GNZDA,120001.00,23,11,2026,00,00", ",4807.0,N,01131.0,E,"
	good := func(talker string) string { return talker + "GGA,120001.00" + pos + "1,08,1,1,M,1,M,," }
	none := func(talker string) string { return talker + "GGA,120001.00,,,,,0,00,,,M,,M,," }
	rmc := func(talker, status string) string { return talker + "RMC,120001.00," + status + pos + "0,0,231126,,," }
	for _, c := range []struct {
		name      string
		in        []string
		valid     bool // of the last sentence
		elsewhere bool // of the last but one
	}{
		{"none has one", []string{none("GP"), none("GL"), zda}, false, false},
		{"the only one has none", []string{rmc("GP", "A"), none("GP"), zda}, false, false},
		{"the receiver has none", []string{good("GP"), rmc("GN", "V"), zda}, false, false},
		{"it loses the fix system by system", []string{good("GP"), good("GL"), none("GP"), none("GL"), zda}, false, false},
		{"UBX-like, the whole receiver by GN", []string{good("GP"), none("GN"), zda}, false, false},
		{"GLONASS has none", []string{rmc("GN", "A"), good("GP"), none("GL"), zda}, true, true},
		{"GPS has none", []string{good("GL"), none("GP"), zda}, true, true},
		{"none first", []string{none("GL"), none("GP"), good("GA"), zda}, true, false},
		{"three have none", []string{good("GP"), none("GL"), none("GA"), none("GB"), zda}, true, true},
		{"void RMC of another system", []string{rmc("GP", "A"), rmc("GL", "V"), zda}, true, true},
		{"void RMC of another system, without time", []string{rmc("GP", "A"), "GLRMC,,V,,,,,,,,,,N", zda}, true, true},
		{"GLL of another system", []string{rmc("GP", "A"), "GLGLL,,,,,120001.00,V,N", zda}, true, true},
		{"GNS of one system", []string{"GNGNS,120001.00" + pos + "AN,08,1,1,1,,", "GLGNS,120001.00,,,,,N,00,,,,,", zda}, true, true},
		{"GSA of the same talker", []string{rmc("GP", "A"), "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", zda}, true, true},
		{"GSA alone", []string{"GPTXT,01,01,02,ANTENNA OK", "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", zda}, false, false},
		{"GSA alone, of two systems", []string{"GPTXT,01,01,02,ANTENNA OK", "GPGSA,A,3,02,05,06,12,,,,,,,,,2.0,1.0,1.7", "GLGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", zda}, true, false},
		{"GSA after a void RMC", []string{rmc("GP", "V"), "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", zda}, false, false},
	} {
		var in []timed
		for i, s := range c.in {
			in = append(in, timed{time.Duration(i) * 40 * ms, s})
		}
		m := play(gnss.Config{}, in)
		if last, before := m[len(m)-1], m[len(m)-2]; last.Valid != c.valid || before.FixElsewhere != c.elsewhere {
			t.Errorf("%s: valid %v (fix %v), elsewhere %v", c.name, last.Valid, last.Fix, before.FixElsewhere)
		}
	}
	// A fix that another system had too long ago counts no more.
	m := play(gnss.Config{}, []timed{{0, good("GP")}, {1500 * ms, none("GL")}, {1600 * ms, zda}})
	if m[2].Valid {
		t.Error("a fix of 1.5 s ago still counts")
	}
	// A date is carried on while only one of two systems has lost the time.
	m = play(gnss.Config{}, []timed{{0, rmc("GP", "A")}, {100 * ms, "GLGGA,,,,,,0,00,,,M,,M,,"}, {200 * ms, good("GP")}})
	if last := m[len(m)-1]; !last.HasDate || !last.Valid {
		t.Errorf("date not carried: %+v", last)
	}
}

// How much a label needs to be used is configured.
func TestMinConfidence(t *testing.T) {
	t.Parallel()
	const zda, fixed = "GPZDA,120001.00,23,11,2026,00,00", "GPRMC,120001.00,A,4807.0,N,01131.0,E,0,0,231126,,,A"
	for _, c := range []struct {
		name string
		in   []string
		want [3]bool // fix, stated, reported_fix: whether the last is valid
	}{
		{"void RMC", []string{"GPRMC,120001.00,V,,,,,,,231126,,,N"}, [3]bool{false, false, false}},
		{"ZDA beside a void RMC", []string{"GPRMC,120001.00,V,,,,,,,231126,,,N", zda}, [3]bool{false, true, false}},
		{"ZDA alone", []string{zda}, [3]bool{true, true, false}},
		{"ZDA after a fix", []string{fixed, zda}, [3]bool{true, true, true}},
		{"RMC", []string{fixed}, [3]bool{true, true, true}},
	} {
		for level, want := range c.want {
			var in []timed
			for _, s := range c.in {
				in = append(in, timed{0, s})
			}
			m := play(gnss.Config{MinConfidence: gnss.Confidence(level)}, in)
			if got := m[len(m)-1].Valid; got != want {
				t.Errorf("%s, %v: valid %v", c.name, gnss.Confidence(level), got)
			}
		}
	}
}

// Two-digit years lie near the build date.
func TestTwoDigitYears(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		floor, yy, want int
	}{
		{2026, 80, 1980}, {2026, 47, 2047}, {2026, 46, 2046}, {2026, 26, 2026}, {2026, 27, 2027}, {2026, 99, 1999}, {2026, 7, 2007},
		{2070, 90, 2090}, {2070, 91, 1991}, {2070, 70, 2070}, {2095, 14, 2114}, {2095, 15, 2115}, {2095, 16, 2016},
	} {
		m := play(gnss.Config{NotBefore: time.Date(c.floor, 1, 1, 0, 0, 0, 0, time.UTC)}, []timed{{0, "GPRMC,120000,A,4807.0,N,01131.0,E,0,0,0101" + string([]byte{byte('0' + c.yy/10), byte('0' + c.yy%10)}) + ",,,A"}})
		if len(m) != 1 {
			t.Fatalf("%d: nothing decoded", c.yy)
		}
		if got := m[0].Time.UTC(37).AddDate(0, 0, -7*m[0].Rollover).Add(12 * time.Hour).Year(); got != c.want {
			t.Errorf("%02d, built in %d: %d, want %d", c.yy, c.floor, got, c.want)
		}
	}
}

// A fix is in dispute while another sentence of the same talker says that there is none.
func TestFixInDispute(t *testing.T) {
	t.Parallel()
	const pos = ",4807.0,N,01131.0,E,"
	rmc := func(talker, status, mode string) string {
		return talker + "RMC,120001.00," + status + pos + "0,0,231126,,," + mode
	}
	gga := func(talker, quality string) string {
		return talker + "GGA,120001.00" + pos + quality + ",08,1,1,M,1,M,,"
	}
	gsa := func(talker, mode string) string { return talker + "GSA,A," + mode + ",02,05,06,,,,,,,,,,1,1,1" }
	for _, c := range []struct {
		name string
		in   []timed
		want bool // of the last message
	}{
		{"GGA without a fix, the second before", []timed{{0, gga("GP", "0")}, {920 * ms, rmc("GP", "A", "A")}}, true},
		{"GGA of the whole receiver", []timed{{0, gga("GN", "0")}, {40 * ms, rmc("GN", "A", "A")}}, true},
		{"GGA with dead reckoning", []timed{{0, gga("GP", "6")}, {40 * ms, rmc("GP", "A", "")}}, true},
		{"GGA with a simulated fix", []timed{{0, gga("GP", "8")}, {40 * ms, rmc("GP", "A", "")}}, true},
		{"void RMC", []timed{{0, rmc("GP", "V", "N")}, {40 * ms, gga("GP", "1")}}, true},
		{"void RMC, then GSA", []timed{{0, rmc("GP", "V", "N")}, {40 * ms, gsa("GP", "3")}}, true},
		{"a fix in GLL as well", []timed{{0, gga("GP", "0")}, {40 * ms, "GPGLL,4807.0,N,01131.0,E,120001.00,A,A"}, {80 * ms, rmc("GP", "A", "A")}}, true},

		{"GGA of another system", []timed{{0, gga("GL", "0")}, {40 * ms, rmc("GP", "A", "A")}}, false},
		{"GGA of another system, GLONASS and the whole receiver", []timed{{0, gga("GL", "0")}, {40 * ms, rmc("GN", "A", "A")}}, false},
		{"GSA of a system without a fix", []timed{{0, gsa("GN", "1")}, {40 * ms, rmc("GN", "A", "A")}}, false},
		{"GGA has one again", []timed{{0, gga("GP", "0")}, {1000 * ms, gga("GP", "1")}, {1040 * ms, rmc("GP", "A", "A")}}, false},
		{"GGA without a fix long ago", []timed{{0, gga("GP", "0")}, {5000 * ms, rmc("GP", "A", "A")}}, false},
		{"RMC itself", []timed{{0, rmc("GP", "V", "N")}, {1000 * ms, rmc("GP", "A", "A")}}, false},
		{"no fix", []timed{{0, gga("GP", "0")}, {40 * ms, rmc("GP", "V", "N")}}, false},
	} {
		m := play(gnss.Config{}, c.in)
		if last := m[len(m)-1]; last.FixDisputed != c.want {
			t.Errorf("%s: disputed %v (fix %v)", c.name, last.FixDisputed, last.Fix)
		}
	}
}
