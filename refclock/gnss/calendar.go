package gnss

import (
	"runtime/debug"
	"time"

	"noonmark/phc/tai"
)

const (
	// GPSToTAI is TAI - GPS time, s, constant by definition.
	GPSToTAI = 19
	// GPSEpoch is the POSIX time of the GPS epoch, 1980-01-06.
	GPSEpoch = 315964800
	// WeekSeconds is the length of a week, s.
	WeekSeconds = 7 * 86400
	// rolloverWeeks is the period of the ten-bit week number (IS-GPS-200,
	// 20.3.3.3.1.1). A receiver past its pivot date is wrong by multiples of it.
	rolloverWeeks = 1024
)

// BuildDate returns the date of the commit from which this program was built,
// or of this file if that is unknown. It is the default floor for dates: the
// program cannot run before it was made.
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

// GPSTime returns the instant of a GPS week and time of week, ns.
func GPSTime(week int, towNS int64) tai.Time {
	return tai.FromUnix(GPSEpoch+int64(week)*WeekSeconds, 0, GPSToTAI) + tai.Time(towNS)
}

// civil is a calendar date.
type civil struct{ year, month, day int }

func (c civil) time() time.Time {
	return time.Date(c.year, time.Month(c.month), c.day, 0, 0, 0, 0, time.UTC)
}

func civilOf(t time.Time) civil { return civil{t.Year(), int(t.Month()), t.Day()} }

func (c civil) add(days int) civil { return civilOf(c.time().AddDate(0, 0, days)) }

// exists reports whether the date is in the calendar, and in the age of GPS.
func (c civil) exists() bool {
	return c.year >= 1980 && c.year <= 2261 && c.month >= 1 && c.month <= 12 && c.day >= 1 && civilOf(c.time()) == c
}

// dates supplies what receivers leave out: centuries, the date of a bare time of
// day, and weeks lost to a rollover.
type dates struct {
	floor time.Time // no date lies before it; zero: unknown
	leaps *tai.Table

	known  bool // a date has been given and not been withdrawn
	date   civil
	tod    int64 // time of day, ns, that came with it
	mono   int64
	offset int // TAI - UTC, s, as announced by the receiver; 0 unknown
}

// staleDate is the age, ns, from which a date is no longer carried: after a
// longer silence nothing tells how often midnight has passed.
const staleDate = 3600e9

// PlausibleYears is how many years after the earliest possible date a program is
// expected to run. Later dates are taken for the receiver's error.
const PlausibleYears = 20

// century resolves a two-digit year. For recorded history the result lies in
// 1980 to 2079. Otherwise it is the latest that is not PlausibleYears after the
// floor, so that a receiver whose date is short of rollovers is recognised and not
// moved a century ahead.
func (c *dates) century(yy int) int {
	const firstYear = 1980 // GPS time begins on 1980-01-06
	base := max(firstYear, c.floor.Year()+PlausibleYears-99)
	y := base - base%100 + yy
	if y < base {
		y += 100
	}
	return y
}

// rollover returns the date with as many times 1024 weeks added as it needs to
// be possible, and the number of weeks. A date is impossible before the floor,
// and if the receiver announces more leap seconds than there had been by then.
func (c *dates) rollover(d civil) (civil, int) {
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

// set notes the date of a message that has one and is valid.
func (c *dates) set(d civil, tod, mono int64) {
	c.known, c.date, c.tod, c.mono = true, d, tod, mono
}

func (c *dates) forget() { c.known = false }

// carry returns the date of a bare time of day: that of the latest message with
// a date, one day on or back if midnight lies between. A time of day that jumps
// is another session of the receiver, or another log: its date is unknown.
func (c *dates) carry(tod, mono int64) (civil, bool) {
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

// instant is rollover for an instant of GPS time.
func (c *dates) instant(t tai.Time) (tai.Time, int) {
	d := civilOf(t.UTC(GPSToTAI))
	_, weeks := c.rollover(d)
	return t + tai.Time(weeks)*WeekSeconds*tai.Second, weeks
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
