package gnss

import (
	"runtime/debug"
	"time"

	"noonmark/phc/tai"
)

const (
	// gpsToTAI is TAI - GPS time in seconds, constant by definition.
	gpsToTAI = 19
	// gpsUnix is the POSIX time of the GPS epoch.
	gpsUnix = 315964800
	// rolloverWeeks is the period of the ten-bit week number (IS-GPS-200,
	// 20.3.3.3.1.1); a receiver past its pivot is wrong by multiples of it.
	rolloverWeeks = 1024
	weekSeconds   = 7 * 86400
)

// BuildDate returns the date of the commit this program was built from, or of
// this file where that is unknown. It is the floor for dates when nobody
// configures one: the program cannot run before it was made.
func BuildDate() time.Time {
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t.UTC().Truncate(24 * time.Hour)
			}
		}
	}
	return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
}

// civil is a calendar date.
type civil struct{ year, month, day int }

func (c civil) time() time.Time {
	return time.Date(c.year, time.Month(c.month), c.day, 0, 0, 0, 0, time.UTC)
}

func civilOf(t time.Time) civil { return civil{t.Year(), int(t.Month()), t.Day()} }

func (c civil) add(days int) civil { return civilOf(c.time().AddDate(0, 0, days)) }

// exists reports whether the date is one of the calendar and of the age of GPS.
func (c civil) exists() bool {
	return c.year >= 1980 && c.year <= 2261 && c.month >= 1 && c.month <= 12 && c.day >= 1 && civilOf(c.time()) == c
}

// calendar supplies what receivers leave out of dates: centuries, the date of
// a bare time of day, and weeks lost to a rollover.
type calendar struct {
	floor time.Time // no date lies before it; zero if nothing is known
	leaps *tai.Table

	known  bool // a date has been given and not been taken back
	date   civil
	tod    int64 // ns of the day that went with it
	mono   int64
	offset int // TAI - UTC as the receiver announced it; 0 unknown
}

// staleDate is the age in ns from which a carried date is forgotten: after a
// longer silence nobody can say how often midnight has passed.
const staleDate = 3600e9

// century resolves a two-digit year: into 1980 to 2079 for recorded history,
// and into the hundred years that begin forty before the floor otherwise, so
// that a receiver whose date is short of one or two rollovers is recognised as
// such instead of being sent a century ahead.
func (c *calendar) century(yy int) int {
	const firstYear = 1980 // GPS time begins on 1980-01-06
	base := max(firstYear, c.floor.Year()-40)
	y := base - base%100 + yy
	if y < base {
		y += 100
	}
	return y
}

// rollover returns the date with as many times 1024 weeks added as it needs to
// be possible, and how many weeks that is. A date is impossible before the
// floor, or when the receiver announces more leap seconds than there had been
// by then.
func (c *calendar) rollover(d civil) (civil, int) {
	weeks := 0
	for d.time().Before(c.floor) && weeks < 4*rolloverWeeks {
		d, weeks = d.add(7*rolloverWeeks), weeks+rolloverWeeks
	}
	if c.offset == 0 || weeks > 0 {
		return d, weeks
	}
	if s := d.add(7 * rolloverWeeks); c.leaps.OffsetUTC(d.time().Unix()) < c.offset-1 && c.leaps.OffsetUTC(s.time().Unix()) == c.offset {
		return s, rolloverWeeks
	}
	return d, 0
}

// set notes the date of a message that carries one and is to be believed.
func (c *calendar) set(d civil, tod, mono int64) {
	c.known, c.date, c.tod, c.mono = true, d, tod, mono
}

func (c *calendar) forget() { c.known = false }

// carry returns the date of a bare time of day: that of the latest dated
// message, one day on or back where midnight lies between. A time of day that
// jumps is another session of the receiver, or another log: its date is not
// known.
func (c *calendar) carry(tod, mono int64) (civil, bool) {
	const day, half = 86400e9, 43200e9
	if !c.known || mono-c.mono > staleDate {
		c.known = false
		return civil{}, false
	}
	d, jump := c.date, tod-c.tod
	switch {
	case jump < -half:
		d, jump = d.add(1), jump+day
	case jump > half:
		d, jump = d.add(-1), jump-day
	}
	if max(jump, -jump) > staleDate {
		c.known = false
		return civil{}, false
	}
	c.set(d, tod, mono)
	return d, true
}

// gpsTime returns the instant of a GPS week and time of week in ns.
func gpsTime(week int, towNS int64) tai.Time {
	return tai.FromUnix(gpsUnix+int64(week)*weekSeconds, 0, gpsToTAI) + tai.Time(towNS)
}

// instant is rollover for an instant of GPS time.
func (c *calendar) instant(t tai.Time) (tai.Time, int) {
	d := civilOf(t.UTC(gpsToTAI))
	_, weeks := c.rollover(d)
	return t + tai.Time(weeks)*weekSeconds*tai.Second, weeks
}

// roundMS rounds to the millisecond: receivers add the distance of their
// navigation epoch from the second, which is no part of the label.
func roundMS(t tai.Time) tai.Time {
	const ms = tai.Second / 1000
	r := (t + ms/2) % ms
	if r < 0 {
		r += ms
	}
	return t + ms/2 - r
}
