package replay

import (
	"testing"
	"time"

	"noonmark/internal/proctest"
)

const (
	s  = time.Second
	ms = time.Millisecond
)

// Receivers with a stale count, or that do not say where they have it from.
func TestMembersLeapCount(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	const wait = "doubted: leap_unconfirmed"
	noRTC, right, kept := "-no-rtc", "", "-kept"
	both := func(off time.Duration) func(*script, int) {
		return func(x *script, k int) {
			x.nmea(k, 120*ms, rmc("GN", x.utc(k, off)))
			x.nmea(k, 200*ms, gga("GN", x.utc(k, off)))
		}
	}
	stale := func(off time.Duration, until int) func(*script, int) {
		return func(x *script, k int) {
			if k >= until {
				off = 0
			}
			both(off)(x, k)
		}
	}
	with := func(off time.Duration, count, source byte) func(*script, int) {
		return func(x *script, k int) {
			both(off)(x, k)
			if k%2 == 0 {
				x.at(k, 300*ms, timeLS(count, source))
			}
		}
	}
	cold := func(first func(x *script, k int)) func(*script, int) {
		return func(x *script, k int) {
			switch {
			case k < 3:
				first(x, k)
			case k < 25:
				x.nmea(k, 120*ms, "GNRMC,,V,,,,,,,,,,N")
				x.nmea(k, 200*ms, "GNGGA,,,,,,0,00,99.99,,,,,,")
			case k < 200:
				both(3*s)(x, k)
			default:
				both(0)(x, k)
			}
		}
	}
	playMembers(t, []member{
		{name: "3 s ahead for ever", say: both(3 * s), expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}, {kept, 0, "doubted: second_opposed"}}},
		{name: "a second behind for ever", say: both(-s), expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}, {kept, 0, "doubted: second_opposed"}}},
		{name: "stale for 12 min", say: stale(2*s, 720), length: 1000, expect: []expectation{{noRTC, 800, ""}, {right, 740, ""}, {kept, 740, ""}}},
		{name: "right, the system clock 1 s off", say: both(0), length: 900, expect: []expectation{{"-system 1s", 0, wait}, {"-system 1s -system-rate 30", 800, ""}, {"-system -3s", 0, wait}, {"-system -3s -system-rate -30", 800, ""}, {"-system 0.4s", 800, ""}, {"-system 1.1s", 800, ""}, {"-system 25s", 800, ""}, {"-system -7230s", 800, ""}}},
		{name: "right, the system clock 1 s ahead and drifting away", say: both(0), length: 1100, expect: []expectation{{"-system 1s -system-rate 20", 1050, ""}}},
		{name: "a second late for ever, and the system clock is right", say: both(-s), length: 1000, expect: []expectation{{right, 0, wait}, {"-steer-system", 0, wait}, {kept, 0, "doubted: second_opposed"}}},
		{name: "the same, soon after the next pulse", say: func(x *script, k int) { x.nmea(k, 1030*ms, rmc("GN", x.utc(k, 0))) }, length: 1000, expect: []expectation{{right, 0, wait}, {kept, 0, wait}}},
		{name: "a second ahead for ever, soon after the pulse", say: func(x *script, k int) { x.nmea(k, 30*ms, rmc("GN", x.utc(k, s))) }, length: 1000, expect: []expectation{{kept, 0, wait}}},
		{name: "2 s late, count of GPS", say: with(-2*s, 18, 2), length: 1000, expect: []expectation{{right, 0, wait}}},
		{name: "right, and the lock is made on displaced pulses", say: func(x *script, k int) { x.nmea(k, 500*ms, rmc("GN", x.utc(k, 0))) }, length: 200, wrong: 20, expect: []expectation{{"-steer-system -pulse-shift 7:16:700000000", 100, ""}}},
		{name: "a second ahead for ever, and the system clock is right", say: both(s), length: 1000, expect: []expectation{{right, 0, wait}, {"-steer-system", 0, wait}}},
		{name: "before its pulse for ever, and the system clock is right", say: func(x *script, k int) { x.nmea(k, 750*ms, rmc("GN", x.utc(k+1, 0))) }, length: 1000, expect: []expectation{{right, 0, wait}, {"-label-offset -1s", 20, ""}}},
		{name: "BeiDou time that is not configured", say: both(4 * s), length: 1000, expect: []expectation{{right, 0, wait}, {"-label-offset -4s", 20, ""}}},
		{name: "GPS time with a fix that is not configured", say: both(18 * s), length: 1000, expect: []expectation{{right, 0, wait}, {"-time-scale gps", 20, ""}}},
		{name: "TAI with a fix that is not configured", say: both(37 * s), length: 1000, expect: []expectation{{right, 0, wait}, {"-time-scale tai", 20, ""}}},
		{name: "a date of last week", say: both(-7 * 24 * time.Hour), length: 1000, expect: []expectation{{right, 0, wait}, {"-steer-system", 0, wait}, {kept, 0, "doubted: second_opposed"}}},
		{name: "a date of next year", say: both(365 * 24 * time.Hour), length: 1000, expect: []expectation{{right, 0, wait}, {"-steer-system", 0, wait}}},
		{name: "a date five years ago, possible by not_before", say: both(-5 * 365 * 24 * time.Hour), length: 1000, expect: []expectation{{"-not-before 2020-01-01", 0, wait}}},
		{name: "GPS time with a date of tomorrow", say: both(18*s + 24*time.Hour), length: 1000, expect: []expectation{{"-time-scale gps", 0, wait}}},
		{name: "another second for a minute, and back", say: func(x *script, k int) {
			off := time.Duration(0)
			if k >= 900 && k < 960 {
				off = s
			}
			both(off)(x, k)
		}, length: 1100, expect: []expectation{{noRTC, 800, "disciplined"}, {"-steer-system", 20, "disciplined"}, {"-steer-system -no-rtc", 850, "disciplined"}}},
		{name: "PUBX,04 with the firmware's count beside RMC", say: func(x *script, k int) {
			u := x.utc(k, 0)
			x.nmea(k, 120*ms, rmc("GP", u))
			x.nmea(k, 200*ms, "PUBX,04,"+u.Format("150405.00")+","+u.Format("020106")+",129621.00,2446,18D,0,0.000,21")
		}, expect: []expectation{{noRTC, 0, wait}, {right, 20, ""}, {kept, 20, ""}}},
		{name: "NAV-PVT without resolved UTC beside RMC", say: func(x *script, k int) {
			x.at(k, 90*ms, unresolvedPVT(x.utc(k, 0)))
			x.nmea(k, 120*ms, rmc("GP", x.utc(k, 0)))
		}, expect: []expectation{{noRTC, 0, wait}, {right, 20, ""}, {kept, 20, ""}}},
		{name: "NAV-PVT without resolved UTC alone", say: func(x *script, k int) { x.at(k, 90*ms, unresolvedPVT(x.utc(k, 0))) },
			expect: []expectation{{noRTC, 0, "void_messages"}, {right, 0, "void_messages"}}},
		{name: "in a local time", say: both(-5 * time.Hour), length: 1000, expect: []expectation{{right, 0, wait}}},
		{name: "late by the wrong setting of receiver.label_offset", say: both(0), length: 1000, expect: []expectation{{"-label-offset -1s", 0, wait}}},
		{name: "GPS time a second late, count of GPS", say: func(x *script, k int) { x.at(k, 1390*ms, timeGPS(x.utc(k, 0), 7)) }, length: 1000, expect: []expectation{{right, 0, wait}}},
		{name: "right, the system clock 15 ms off", say: both(0), expect: []expectation{{"-system 15ms", 20, ""}, {"-system -15ms", 20, ""}, {"-system 15ms -prove", 0, wait}, {"-steer-system -system 15ms", 20, ""}}},
		{name: "right, the system clock 0.2 s off", say: both(0), length: 900, expect: []expectation{{"-system 200ms", 800, ""}, {"-system -200ms", 800, ""}, {"-steer-system -system 200ms", 850, ""}}},
		{name: "a second ahead for 5 min, the system clock near it by chance", say: stale(s, 300), length: 1000,
			expect: []expectation{{"-system 970ms", 900, ""}, {"-system 1030ms", 900, ""}, {"-system 700ms", 900, ""}, {"-steer-system -system 970ms", 900, ""}}},
		{name: "3 s ahead for 3 min, the system clock near it by chance", say: stale(3*s, 180), length: 1000, expect: []expectation{{"-system 2970ms", 900, ""}, {"-system 3250ms", 900, ""}}},
		{name: "a second behind for ever, the system clock near it by chance", say: both(-s), expect: []expectation{{"-system -970ms", 0, wait}, {"-system -1200ms", 0, wait}}},
		{name: "right, the system clock disciplined", say: both(0), expect: []expectation{{"-kept", 20, ""}, {"-kept -prove", 20, ""}}},
		{name: "count by the firmware", say: with(s, 17, 0), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count aided", say: with(s, 17, 6), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count configured", say: with(s, 17, 7), length: 1000, expect: []expectation{{noRTC, 0, wait}, {"-prove", 0, wait}}},
		{name: "count unknown", say: with(s, 17, 255), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count from a source of the future", say: with(s, 17, 9), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count configured, expired tables", start: "2029-03-05T12:00:00Z", say: with(s, 17, 7), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count aided, expired tables", start: "2029-03-05T12:00:00Z", say: with(s, 17, 6), expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {"-prove", 0, wait}}},
		{name: "count of GPS", say: with(0, 18, 2), expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}, {"-prove -system 2.4s", 20, ""}, {"-prove -system 2s", 0, "doubted: leap_unconfirmed"}}},
		{name: "count of Galileo", say: with(0, 18, 5), expect: []expectation{{noRTC, 20, ""}}},
		{name: "count of NavIC", say: with(0, 18, 8), expect: []expectation{{noRTC, 20, ""}}},
		{name: "lower count of GPS, expired tables", start: "2029-03-05T12:00:00Z", say: with(s, 17, 2), expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "lower count of GPS against a table in date", say: with(s, 17, 2), expect: []expectation{{noRTC, 0, "doubted: leap_contradicted"}}},
		{name: "a new leap second, expired tables", start: "2029-03-05T12:00:00Z", say: with(0, 19, 2), expect: []expectation{{"-no-rtc -leap-at 2027-12-31 -leap-known=false", 20, ""}, {"-leap-at 2027-12-31 -leap-known=false", 20, ""}}},
		{name: "GPS time of NAV-TIMEGPS without leap seconds beside stale RMC", say: func(x *script, k int) {
			both(3*s)(x, k)
			x.at(k, 300*ms, timeGPS(x.utc(k, 0), 3))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}, {kept, 20, ""}}},
		{name: "GPS time first, beside stale NAV-PVT", say: func(x *script, k int) {
			x.at(k, 60*ms, timeGPS(x.utc(k, 0), 3))
			x.at(k, 90*ms, navPVT(x.utc(k, 3*s)))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "GPS time first, beside RMC a second ahead", say: func(x *script, k int) {
			x.at(k, 390*ms, timeGPS(x.utc(k, 0), 3))
			x.nmea(k, 394*ms, rmc("GN", x.utc(k, s)))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "GPS time first, beside GGA two seconds ahead", say: func(x *script, k int) {
			x.at(k, 440*ms, timeGPS(x.utc(k, 0), 3))
			x.nmea(k, 446*ms, gga("GN", x.utc(k, 2*s)))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "GPS time last, beside RMC a second ahead", say: func(x *script, k int) {
			x.nmea(k, 300*ms, rmc("GN", x.utc(k, s)))
			x.at(k, 390*ms, timeGPS(x.utc(k, 0), 3))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "GPS time last of a burst that is longer than a second", say: func(x *script, k int) {
			x.nmea(k, 300*ms, rmc("GN", x.utc(k, 0)))
			for i := range 8 {
				x.nmea(k, time.Duration(400+i*80)*ms, "GPGSV,1,1,04,02,40,100,38,05,30,200,40,06,60,300,44,12,20,050,33")
			}
			x.at(k, 1060*ms, timeGPS(x.utc(k, 0), 3))
		}, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "GPS time alone, its leap seconds known or not", say: func(x *script, k int) {
			valid := byte(3)
			if k > 60 {
				valid = 7
			}
			x.at(k, 390*ms, timeGPS(x.utc(k, 0), valid))
		}, expect: []expectation{{noRTC, 20, ""}, {"-system -6.6s", 20, ""}, {"-system 2s", 0, wait}, {"-system -40s", 0, wait}, {"-system 70s", 20, ""}}},
		{name: "stale NAV-PVT whose UTC is resolved", say: func(x *script, k int) { x.at(k, 90*ms, navPVT(x.utc(k, s))) }, expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}}},
		{name: "GPS time without leap seconds for a while, then stale RMC alone", say: func(x *script, k int) {
			if k < 2 {
				x.at(k, 60*ms, timeGPS(x.utc(k, 0), 3))
				return
			}
			both(3*s)(x, k)
		}, expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}}},
		{name: "a new leap second in GPS time, expired tables", start: "2029-03-05T12:00:00Z", say: func(x *script, k int) {
			x.at(k, 60*ms, timeGPS(x.utc(k, s), 3)) // by 19 leap seconds
		}, expect: []expectation{{"-leap-at 2027-12-31 -leap-known=false", 0, wait}}},
		{name: "cold start after NAV-TIMEGPS with 18", say: cold(func(x *script, k int) {
			both(0)(x, k)
			x.at(k, 300*ms, timeGPS(x.utc(k, 0), 7))
		}), expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}}},
		{name: "cold start after NAV-TIMELS of GPS", say: cold(with(0, 18, 2)), length: 300, expect: []expectation{{noRTC, 0, wait}, {right, 230, ""}}},
		{name: "cold start of a locked receiver", say: func(x *script, k int) {
			switch {
			case k < 60:
				with(0, 18, 2)(x, k)
			case k < 80:
				x.nmea(k, 120*ms, "GNRMC,,V,,,,,,,,,,N")
			case k < 400:
				both(3*s)(x, k)
			default:
				both(0)(x, k)
			}
		}, length: 700, expect: []expectation{{noRTC, 20, ""}, {right, 20, ""}}},
		{name: "ZDA alone, from the receiver's own clock", say: func(x *script, k int) { x.nmea(k, 120*ms, zda("GP", x.utc(k, 2*s))) }, length: 1000,
			expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}, {kept, 0, "doubted: second_opposed"}}},
		{name: "ZDA alone, right", say: func(x *script, k int) { x.nmea(k, 120*ms, zda("GP", x.utc(k, 0))) },
			expect: []expectation{{noRTC, 0, wait}, {right, 20, ""}, {kept, 20, ""}}},
		{name: "ZDA with GGA", say: func(x *script, k int) {
			x.nmea(k, 120*ms, gga("GP", x.utc(k, 0)))
			x.nmea(k, 200*ms, zda("GP", x.utc(k, 0)))
		}, length: 900, expect: []expectation{{noRTC, 800, ""}}},
		{name: "GGA without a fix contradicts RMC", say: func(x *script, k int) {
			x.nmea(k, 120*ms, rmc("GP", x.utc(k, 0)))
			x.nmea(k, 200*ms, noGGA("GP", x.utc(k, 0)))
		}, length: 1000, expect: []expectation{{noRTC, 0, wait}, {right, 20, ""}}},
		{name: "GGA of another system has no fix", say: func(x *script, k int) {
			x.nmea(k, 120*ms, rmc("GP", x.utc(k, 0)))
			x.nmea(k, 200*ms, noGGA("GL", x.utc(k, 0)))
		}, length: 900, expect: []expectation{{noRTC, 800, ""}}},
		{name: "a position entered by hand", say: func(x *script, k int) {
			u := x.utc(k, 3*s)
			x.nmea(k, 120*ms, "GPRMC,"+clockOf(u)+",A,"+place+",0.004,,"+u.Format("020106")+",,,M")
			x.nmea(k, 200*ms, "GPGGA,"+clockOf(u)+","+place+",7,00,99.9,408.1,M,47.3,M,,")
		}, length: 1000, expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}}},
		{name: "a timing receiver that holds its position", say: func(x *script, k int) {
			u := x.utc(k, 0)
			x.nmea(k, 120*ms, "GPRMC,"+clockOf(u)+",A,"+place+",0.004,,"+u.Format("020106")+",,,M")
			x.nmea(k, 200*ms, "GPGGA,"+clockOf(u)+","+place+",7,09,0.9,408.1,M,47.3,M,,")
		}, length: 900, expect: []expectation{{noRTC, 800, ""}, {right, 20, ""}}},
		{name: "ZDA with GGA without a fix", say: func(x *script, k int) {
			x.nmea(k, 120*ms, noGGA("GP", x.utc(k, 2*s)))
			x.nmea(k, 200*ms, zda("GP", x.utc(k, 2*s)))
		}, length: 900, expect: []expectation{{noRTC, 0, "void_messages"}, {right, 0, "void_messages"}}},
		{name: "PUBX,04 alone, 2 s off", say: func(x *script, k int) {
			u := x.utc(k, 2*s)
			x.nmea(k, 120*ms, "PUBX,04,"+u.Format("150405.00")+","+u.Format("020106")+",129621.00,2446,18,0,0.000,21")
		}, length: 1000, expect: []expectation{{noRTC, 0, wait}, {right, anyLock, ""}}},
		{name: "GPS time that is not configured", say: func(x *script, k int) { x.nmea(k, 120*ms, zda("GP", x.utc(k, 18*s))) }, length: 900,
			expect: []expectation{{noRTC, 0, wait}, {right, 0, wait}, {kept, 0, "doubted: second_opposed"}}},
		{name: "UTC with a fix for long, and TAI is configured", say: both(0), length: 1000, expect: []expectation{{"-time-scale tai", 0, wait}}},
		{name: "UTC, and GPS time is configured", say: both(0), expect: []expectation{{"-time-scale gps", 0, wait}, {"-time-scale tai", anyLock, ""}, {"-time-scale gps -kept", 0, "doubted: second_opposed"}}},
		{name: "GPS time, and TAI is configured", say: both(18 * s), expect: []expectation{{"-time-scale tai", 0, wait}, {"-time-scale gps -no-rtc", 20, ""}}},
	})
}
