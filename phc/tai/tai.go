// Package tai is the time scale of the program: International Atomic Time in
// int64 nanoseconds, and the table of leap seconds that converts it to UTC on the
// wire and on the screen.
package tai

import (
	"math"
	"time"
)

// Time is an instant in TAI: nanoseconds since 1970-01-01 00:00:00 TAI, the
// epoch of a PTP hardware clock (IEEE 1588-2019, 7.2.3). Leap seconds do not
// exist on this scale. The range is the years 1678 to 2262.
type Time int64

// Second is one second of Time.
const Second Time = 1e9

// Add returns t + d, clamped to the range.
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	if d > 0 && s < t {
		return math.MaxInt64
	}
	if d < 0 && s > t {
		return math.MinInt64
	}
	return s
}

// Sub returns t - u, positive if t is later, clamped to the range of a Duration.
func (t Time) Sub(u Time) time.Duration {
	d := t - u
	if (t >= u) != (d >= 0) {
		if t >= u {
			return math.MaxInt64
		}
		return math.MinInt64
	}
	return time.Duration(d)
}

// Round returns t rounded to the nearest whole second, halves upward.
func (t Time) Round() Time { return (t + Second/2).Floor() }

// Floor returns the last whole second not after t.
func (t Time) Floor() Time {
	r := t % Second
	if r < 0 {
		r += Second
	}
	return t - r
}

// Unix returns t as POSIX seconds and nanoseconds for the given TAI - UTC in
// seconds. POSIX has no label for an inserted leap second; the caller decides
// which offset is in force.
func (t Time) Unix(offset int) (sec, nsec int64) {
	u := t - Time(offset)*Second
	f := u.Floor()
	return int64(f / Second), int64(u - f)
}

// FromUnix is the inverse of Unix.
func FromUnix(sec, nsec int64, offset int) Time {
	return Time(sec+int64(offset))*Second + Time(nsec)
}

// UTC returns t as a time.Time in UTC for the given TAI - UTC in seconds, for
// screens and logs.
func (t Time) UTC(offset int) time.Time {
	sec, nsec := t.Unix(offset)
	return time.Unix(sec, nsec).UTC()
}
