package replay

import (
	"fmt"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

// Bursts whose date comes late, labels with a fraction, and dates around midnight.
func TestMembersWhichSecond(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	const wait, fraction = "doubted: leap_unconfirmed", "no_messages: message_fraction"
	burst := func(first, last time.Duration, text ...func(talker string, t time.Time) string) func(*script, int) {
		return func(x *script, k int) {
			u := x.utc(k, 0)
			for i, f := range text {
				at := first
				if n := len(text) - 1; n > 0 {
					at += (last - first) * time.Duration(i) / time.Duration(n)
				}
				x.nmea(k, at, f("GN", u))
			}
		}
	}
	gll := func(talker string, t time.Time) string { return talker + "GLL," + place + "," + clockOf(t) + ",A,A" }
	gns := func(talker string, t time.Time) string {
		return talker + "GNS," + clockOf(t) + "," + place + ",AA,14,0.6,161.5,48.0,,"
	}
	gst := func(talker string, t time.Time) string {
		return talker + "GST," + clockOf(t) + ",2,2.5,2.4,126,3,4,3.1"
	}
	undatedRMC := func(talker string, t time.Time) string {
		return talker + "RMC," + clockOf(t) + ",A," + place + ",0.004,,,,,A"
	}
	at := func(within, late time.Duration) func(*script, int) {
		return func(x *script, k int) { x.nmea(k, within+late, rmc("GP", x.utc(k, within))) }
	}
	grid := func(hz int, late time.Duration) func(*script, int) {
		return func(x *script, k int) {
			for i := range hz {
				in := time.Second / time.Duration(hz) * time.Duration(i)
				x.nmea(k, in+late, rmc("GN", x.utc(k, in)))
				x.nmea(k, in+late+8*ms, gga("GN", x.utc(k, in)))
			}
		}
	}
	// lag is a receiver whose date changes so many seconds late at midnight.
	lag := func(n int) func(*script, int) {
		return func(x *script, k int) {
			u := x.utc(k, 0)
			d := u.Add(-time.Duration(n) * time.Second)
			x.nmea(k, 120*ms, gga("GP", u))
			x.nmea(k, 200*ms, "GPRMC,"+clockOf(u)+",A,"+place+",0.004,,"+d.Format("020106")+",,,A")
		}
	}
	good := []expectation{{"-no-rtc", 0, wait}, {"", 20, ""}, {"-kept", 20, ""}}
	var all []member
	add := func(name string, say func(*script, int), x ...expectation) {
		all = append(all, member{name: name, say: say, expect: x})
	}
	add("GGA first, RMC 1.07 s after the second", burst(500*ms, 1070*ms, gga, gga, rmc), good...)
	add("GGA first, RMC 1.35 s after the second", burst(600*ms, 1350*ms, gga, rmc), good...)
	add("GLL first, ZDA last", burst(300*ms, 1200*ms, gll, gga, zda), good...)
	add("GNS first, RMC last", burst(400*ms, 1100*ms, gns, rmc), good...)
	add("GST first, RMC last", burst(400*ms, 1100*ms, gst, rmc), good...)
	add("RMC without a date first, ZDA last", burst(400*ms, 1100*ms, undatedRMC, zda), good...)
	add("RMC first and ZDA after the next pulse", burst(700*ms, 1300*ms, rmc, gga, zda), good...)
	add("GGA first, and one in four lost", func(x *script, k int) {
		if k%4 != 1 {
			x.nmea(k, 400*ms, gga("GN", x.utc(k, 0)))
		}
		x.nmea(k, 900*ms, rmc("GN", x.utc(k, 0)))
	}, good...)
	add("RMC alone, 1.05 s after its second: nothing tells", at(0, 1050*ms), expectation{"-no-rtc", 0, wait}, expectation{"", 0, wait}, expectation{"-kept", 0, "doubted: second_opposed"})
	add("RMC before its pulse, corrected", func(x *script, k int) { x.nmea(k, 750*ms, rmc("GP", x.utc(k+1, 0))) },
		expectation{"-label-offset -1s", 20, ""}, expectation{"", 0, wait}, expectation{"-kept", 0, "doubted: second_opposed"})
	add("RMC after the next pulse, corrected", at(0, 1050*ms), expectation{"-label-offset 1s", 20, ""}, expectation{"-label-offset 1s -kept", 20, ""})
	for _, within := range []time.Duration{ms, 30 * ms, 300 * ms, 500 * ms, 700 * ms, 990 * ms} {
		for _, late := range []time.Duration{25 * ms, 400 * ms, 800 * ms} {
			add(fmt.Sprintf("labels at %v, %v late", within, late), at(within, late), good...)
		}
	}
	add("10 Hz", grid(10, 40*ms), good...)
	add("10 Hz, late", grid(10, 450*ms), good...)
	add("5 Hz", grid(5, 120*ms), good...)
	add("5 Hz, past the next pulse", grid(5, 850*ms), good...)
	add("2 Hz", grid(2, 300*ms), good...)
	add("a fraction that varies, and messages that do not", func(x *script, k int) {
		x.nmea(k, 500*ms, rmc("GP", x.utc(k, time.Duration(k*370%1000)*ms)))
	}, expectation{"-kept", 0, fraction}, expectation{"", 0, fraction}, expectation{"-no-rtc", 0, fraction})
	add("no date at all", burst(100*ms, 200*ms, gga, gll), expectation{"", 0, "no_messages: message_no_date"}, expectation{"-no-rtc", 0, "no_messages: message_no_date"})
	add("no time of day at all", func(x *script, k int) { x.nmea(k, 100*ms, "GPGSV,1,1,01,02,40,100,38") }, expectation{"", 0, "no_messages: message_no_date"})
	for _, n := range []int{0, 1, 2, 3, 5, 10} {
		for _, before := range []int{1, 4, 30, 60} {
			all = append(all, member{
				name: fmt.Sprintf("the date changes %d s late, %d s after the start", n, before), say: lag(n), length: 120,
				start:  time.Date(2026, 11, 24, 0, 0, -before, 0, time.UTC).Format(time.RFC3339),
				expect: []expectation{{"-no-rtc", 0, ""}, {"", 60, ""}, {"-kept", 60, ""}},
			})
		}
	}
	for _, n := range []int{7, 15} {
		all = append(all, member{
			name: fmt.Sprintf("the date changes %d s late, after a lock of minutes", n), say: lag(n), length: 460, start: "2026-11-23T23:54:00Z",
			expect: []expectation{{"", 20, "disciplined"}, {"-steer-system", 20, "disciplined"}},
		})
	}
	playMembers(t, all)
}

// Dates that cannot be.
func TestMembersDates(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	weeks := func(n int) func(*script, int) {
		return func(x *script, k int) {
			u := x.utc(k, 0).AddDate(0, 0, 7*n)
			x.nmea(k, 120*ms, rmc("GP", u))
			x.nmea(k, 200*ms, gga("GP", u))
		}
	}
	day := func(date string, source func(string, time.Time) string) func(*script, int) {
		d, err := time.Parse(time.DateOnly, date)
		if err != nil {
			panic(err)
		}
		return func(x *script, k int) {
			u := x.utc(k, 0)
			u = time.Date(d.Year(), d.Month(), d.Day(), u.Hour(), u.Minute(), u.Second(), 0, time.UTC)
			x.nmea(k, 120*ms, source("GP", u))
		}
	}
	const early, rolled, ahead = "no_messages: message_too_early", "no_messages: message_rollover", "no_messages: message_date_ahead"
	three := func(reason, alone string) []expectation {
		return []expectation{{"", 0, reason}, {"-kept", 0, reason}, {"-no-rtc", 0, alone}}
	}
	playMembers(t, []member{
		{name: "1024 weeks ahead", say: weeks(1024), expect: three(ahead, ahead)},
		{name: "2048 weeks ahead", say: weeks(2048), expect: three(ahead, ahead)},
		{name: "2046 by ZDA", say: day("2046-12-24", zda), expect: three(ahead, ahead)},
		{name: "2079 by RMC", say: day("2079-06-01", rmc), expect: three(ahead, ahead)},
		{name: "1980 by RMC", say: day("1980-01-06", rmc), expect: three(early, rolled)},
		{name: "2021 is not 2040", say: day("2021-03-07", rmc), expect: three(early, rolled)},
		{name: "2021 by ZDA", say: day("2021-03-07", zda), expect: three(early, rolled)},
		{name: "2017 is not 2036", say: day("2017-01-01", rmc), expect: three(early, rolled)},
		{name: "2024", say: day("2024-06-01", rmc), expect: three(early, rolled)},
		{name: "1024 weeks old", say: weeks(-1024), expect: []expectation{{"", 20, ""}, {"-kept", 20, ""}, {"-no-rtc", 0, rolled}, {"-system -1000h", 0, ""}}},
		{name: "2048 weeks old", say: weeks(-2048), expect: []expectation{{"", 20, ""}, {"-no-rtc", 0, rolled}}},
		{name: "an hour off", say: func(x *script, k int) {
			u := x.utc(k, -time.Hour)
			x.nmea(k, 120*ms, rmc("GP", u))
		}, expect: []expectation{{"", 0, ""}, {"-kept", 0, "doubted: second_opposed"}, {"-no-rtc", 0, ""}}},
		{name: "a day off", say: func(x *script, k int) {
			u := x.utc(k, 24*time.Hour)
			x.nmea(k, 120*ms, rmc("GP", u))
		}, expect: []expectation{{"", 0, ""}, {"-kept", 0, "doubted: second_opposed"}, {"-no-rtc", 0, ""}}},
		{name: "not_before after the truth", say: weeks(0), expect: []expectation{{"-not-before 2027-01-01", 0, rolled}, {"-not-before 2027-01-01 -no-rtc", 0, rolled}, {"-not-before 2020-01-01", 20, ""}}},
		{name: "a receiver of 2021 with not_before of today", start: "2021-03-07T12:00:00Z", say: weeks(0), expect: []expectation{{"-not-before 2026-11-01", 0, rolled}, {"-not-before 2026-11-01 -kept", 0, rolled}, {"-not-before 2026-11-01 -no-rtc", 0, rolled}, {"", 20, ""}}},
		{name: "nine years after the build", start: "2036-02-07T06:00:00Z", say: weeks(0), expect: []expectation{{"", 20, ""}, {"-kept", 20, ""}}},
	})
}

// A sentence of one satellite system without a fix does not silence another.
func TestMembersConstellations(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	say := func(f func(u time.Time) []string) func(*script, int) {
		return func(x *script, k int) {
			for i, text := range f(x.utc(k, 0)) {
				x.nmea(k, 120*ms+time.Duration(i)*40*ms, text)
			}
		}
	}
	noTime := func(talker string) string { return talker + "GGA,,,,,,0,00,99.9,,M,,M,," }
	gsa := func(talker, mode, system string) string {
		return talker + "GSA,A," + mode + ",,,,,,,,,,,,,99.9,99.9,99.9" + system
	}
	good := []expectation{{"", 20, ""}, {"-kept", 20, ""}}
	void := []expectation{{"", 0, "void_messages"}, {"-no-rtc", 0, "void_messages"}}
	playMembers(t, []member{
		{name: "no system has a fix", say: say(func(u time.Time) []string { return []string{noGGA("GP", u), noGGA("GL", u), zda("GN", u)} }), expect: void},
		{name: "the receiver has none, though a system says so", say: say(func(u time.Time) []string { return []string{gga("GP", u), voidRMC("GN", u), zda("GN", u)} }), expect: void},
		{name: "GLONASS has none", say: say(func(u time.Time) []string { return []string{rmc("GN", u), gga("GP", u), noGGA("GL", u), zda("GN", u)} }), expect: good},
		{name: "GPS has none", say: say(func(u time.Time) []string { return []string{noGGA("GP", u), gga("GL", u), zda("GN", u)} }), expect: good},
		{name: "GPS has none, and reports it last", say: say(func(u time.Time) []string { return []string{zda("GN", u), gga("GL", u), noGGA("GP", u)} }), expect: good},
		{name: "four systems, three have none", say: say(func(u time.Time) []string {
			return []string{noGGA("GL", u), gga("GP", u), noGGA("GA", u), noGGA("GB", u), zda("GN", u)}
		}), expect: good},
		{name: "void RMC of GLONASS", say: say(func(u time.Time) []string { return []string{rmc("GP", u), voidRMC("GL", u)} }), expect: good},
		{name: "void RMC of GLONASS first", say: say(func(u time.Time) []string { return []string{voidRMC("GL", u), rmc("GP", u)} }), expect: good},
		{name: "void RMC of GLONASS without time", say: say(func(u time.Time) []string { return []string{rmc("GP", u), "GLRMC,,V,,,,,,,,,,N", gga("GP", u)} }), expect: good},
		{name: "GGA of Galileo without time", say: say(func(u time.Time) []string { return []string{gga("GP", u), noTime("GA"), zda("GN", u)} }), expect: good},
		{name: "GNS: one system of three", say: say(func(u time.Time) []string {
			return []string{"GNGNS," + clockOf(u) + "," + place + ",NAN,09,0.9,408.1,47.3,,", zda("GN", u)}
		}), expect: good},
		{name: "GNS of single systems", say: say(func(u time.Time) []string {
			return []string{"GPGNS," + clockOf(u) + "," + place + ",A,09,0.9,408.1,47.3,,", "GLGNS," + clockOf(u) + ",,,,,N,00,,,,,", zda("GN", u)}
		}), expect: good},
		{name: "GSA of a system without a fix", say: say(func(u time.Time) []string { return []string{rmc("GN", u), gsa("GN", "3", ",1"), gsa("GN", "1", ",2")} }), expect: good},
		{name: "GSA without a fix first", say: say(func(u time.Time) []string { return []string{gsa("GP", "1", ""), rmc("GP", u), gga("GP", u)} }), expect: good},
		{name: "GSA without a fix now and then", say: func(x *script, k int) {
			x.nmea(k, 120*ms, rmc("GP", x.utc(k, 0)))
			if k%7 == 3 {
				x.nmea(k, 980*ms, gsa("GP", "1", ""))
			}
		}, expect: good},
		{name: "GSA alone says that there is no fix", say: say(func(u time.Time) []string { return []string{zda("GP", u), gsa("GP", "1", "")} }), expect: void},
		{name: "GSA alone, of one system without a fix", say: say(func(u time.Time) []string { return []string{gsa("GP", "3", ""), gsa("GL", "1", ""), zda("GN", u)} }), expect: good},
		{name: "GLL of another system", say: say(func(u time.Time) []string { return []string{rmc("GP", u), "GLGLL,,,,," + clockOf(u) + ",V,N"} }), expect: good},
		{name: "systems in turns, a second each", say: func(x *script, k int) {
			u := x.utc(k, 0)
			a, b := "GP", "GL"
			if k%2 == 1 {
				a, b = b, a
			}
			for i, text := range []string{gga(a, u), noGGA(b, u), zda("GN", u)} {
				x.nmea(k, 120*ms+time.Duration(i)*40*ms, text)
			}
		}, expect: good},
	})
}
