package ntp

import (
	"math"
	"math/bits"
	"time"

	"noonmark/phc/tai"
)

// unixEpoch is the POSIX epoch in seconds of NTP era 0 (RFC 5905, figure 4).
const unixEpoch = 2208988800

// Timestamp is a 64-bit NTP timestamp (RFC 5905, section 6): seconds since the
// beginning of an era in the upper half, the fraction in the lower; the unit is
// 2^-32 s, about 0.23 ns. It wraps with every era of 2^32 s, the first time at
// 2036-02-07 06:28:16 UTC, so timestamps must not be compared with <: see Sub and
// TAI. Zero means "unknown" in a packet.
type Timestamp uint64

// FromTAI returns the timestamp of t in UTC for the given TAI - UTC in seconds,
// rounded to the nearest unit. It does not contain the era.
func FromTAI(t tai.Time, taiOffset int) Timestamp {
	sec, nsec := t.Unix(taiOffset)
	return Timestamp(uint64(sec+unixEpoch)<<32 + (uint64(nsec)<<32+5e8)/1e9)
}

// TAI returns the instant nearest to pivot, at most half an era (68 years) from
// it, that has this timestamp, for the given TAI - UTC in seconds; rounded to
// the nearest nanosecond and limited to the range of tai.Time.
func (t Timestamp) TAI(pivot tai.Time, taiOffset int) tai.Time {
	return pivot.Add(t.Sub(FromTAI(pivot, taiOffset)))
}

// Sub returns t - u, positive when t is the later of two timestamps less than
// half an era apart, rounded to the nearest nanosecond. It is correct across the
// end of an era.
func (t Timestamp) Sub(u Timestamp) time.Duration {
	d := int64(t - u)
	return time.Duration(d>>32)*time.Second + time.Duration((uint64(uint32(d))*1e9+1<<31)>>32)
}

// Add returns t + d, wrapping with the era, rounded to the nearest unit.
func (t Timestamp) Add(d time.Duration) Timestamp {
	sec, nsec := d/time.Second, d%time.Second
	if nsec < 0 {
		sec, nsec = sec-1, nsec+time.Second
	}
	return t + Timestamp(uint64(sec)<<32+(uint64(nsec)<<32+5e8)/1e9)
}

// Short is the 16.16-bit format of root delay and root dispersion (RFC 5905,
// section 6); the unit is 2^-16 s, about 15 µs.
type Short uint32

// ShortFrom returns d rounded up, so that a bound stays a bound. It returns 0 for
// a negative d, and the largest value (about 18 h) for one beyond the format.
func ShortFrom(d time.Duration) Short {
	if d <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(d), 1<<16)
	lo, c := bits.Add64(lo, 1e9-1, 0)
	if hi += c; hi >= 1e9 {
		return math.MaxUint32
	}
	if q, _ := bits.Div64(hi, lo, 1e9); q <= math.MaxUint32 {
		return Short(q)
	}
	return math.MaxUint32
}

// Duration returns s rounded up to the next nanosecond.
func (s Short) Duration() time.Duration {
	return time.Duration((uint64(s)*1e9 + 1<<16 - 1) >> 16)
}
