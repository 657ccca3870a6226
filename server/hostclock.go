package server

import (
	"math"
	"time"

	"noonmark/phc"
)

// hostClock reads CLOCK_MONOTONIC_RAW and CLOCK_REALTIME for one worker. Only
// the Go runtime's clocks (CLOCK_REALTIME and CLOCK_MONOTONIC) can be read
// without a system call. hostClock pairs CLOCK_MONOTONIC with
// CLOCK_MONOTONIC_RAW now and then, and extrapolates in between.
type hostClock struct {
	start time.Time     // origin of elapsed times
	pair  time.Duration // elapsed time of the pairing
	raw   int64         // CLOCK_MONOTONIC_RAW of the pairing, ns
	width time.Duration // of the bracket of the pairing
	least time.Duration // of the narrowest so far
	apart int64         // CLOCK_REALTIME - CLOCK_MONOTONIC_RAW of the last reading, ns
	_     [64]byte      // no other worker's data on the last cache line
}

// pairSpan is how long a pairing is used. The two monotonic clocks drift apart
// by at most 500 ppm (NTP's slew, adjtimex(2)), half a microsecond in this time,
// and usually by 10 to 50 ns.
const pairSpan = time.Millisecond

func newHostClock() *hostClock {
	c := &hostClock{start: time.Now()}
	c.repair()
	return c
}

// repair pairs the two clocks: the narrowest of three brackets, or the first that is about
// as narrow as any was.
func (c *hostClock) repair() {
	best := time.Duration(math.MaxInt64)
	for n := 0; n < 3 && best > 2*c.least; n++ {
		a := time.Since(c.start)
		raw := phc.MonoRaw()
		b := time.Since(c.start)
		if b-a < best {
			best, c.width, c.pair, c.raw = b-a, b-a, a+(b-a)/2, raw
		}
	}
	if c.least == 0 || best < c.least {
		c.least = best
	}
}

// now returns both clocks at one instant, in ns.
func (c *hostClock) now() (real, mono int64) {
	real, mono = untorn(c, c.apart)
	c.apart = real - mono
	return real, mono
}

const (
	// tornSlack is more than the pairing of the monotonic clocks changes the distance of
	// the clocks, ns, and so much that a slewed clock seldom causes further readings.
	tornSlack = 2000
	tornReads = 4
)

// untorn reads two clocks of which the first is read before the second. If the
// processor is taken away in between, the second is late: on a busy machine one of
// 50,000 pairs was wrong by more than 10 us. Then the first minus the second is less
// than last, what it was before, and they are read again. A clock that was set back is
// less each time.
func untorn[C interface{ read() (real, mono int64) }](c C, last int64) (real, mono int64) {
	real, mono = c.read()
	for n := 1; n < tornReads && real-mono < last-tornSlack; n++ {
		if r, m := c.read(); r-m > real-mono {
			real, mono = r, m
		}
	}
	return real, mono
}

// read returns both clocks, in ns. time.Now reads CLOCK_REALTIME first.
func (c *hostClock) read() (real, mono int64) {
	t := time.Now()
	el := t.Sub(c.start)
	if el-c.pair > pairSpan {
		c.repair()
	}
	return t.UnixNano(), c.raw + int64(el-c.pair)
}

// mono returns CLOCK_MONOTONIC_RAW in ns, by the last pairing.
func (c *hostClock) mono() int64 { return c.raw + int64(time.Since(c.start)-c.pair) }

// ClockPrecision measures how finely this machine reads its clock, as log2 of
// seconds (RFC 5905, section 7.3: precision): the least time between two
// different readings, rounded up.
func ClockPrecision() int8 {
	c := newHostClock()
	least := int64(math.MaxInt64)
	for range 1000 {
		a := c.mono()
		b := c.mono()
		for b == a {
			b = c.mono()
		}
		least = min(least, b-a)
	}
	return int8(math.Ceil(math.Log2(float64(least) * 1e-9)))
}

// realtimeOffset is CLOCK_REALTIME against CLOCK_MONOTONIC_RAW at one instant.
// Kernel timestamps are of CLOCK_REALTIME: one that was made before the clock was
// set (or before the machine slept) and is read after that is wrong by the
// change of this offset.
type realtimeOffset struct {
	offset int64 // CLOCK_REALTIME - CLOCK_MONOTONIC_RAW, ns
	mono   int64 // CLOCK_MONOTONIC_RAW of the comparison, ns
}

func newRealtimeOffset(real, mono int64) realtimeOffset { return realtimeOffset{real - mono, mono} }

const (
	// compareSlack is the error of two comparisons of the clocks together, and how
	// far a departure may seem to be earlier than the reading of the clock that its
	// timestamp follows from, in ns.
	compareSlack = int64(50 * time.Microsecond)
	// slewDivisor: the system clock is slewed by at most 1/2000 (500 ppm,
	// adjtimex(2)).
	slewDivisor = 2000
)

// steadySince reports whether CLOCK_REALTIME was not set from before to o.
func (o realtimeOffset) steadySince(before realtimeOffset) bool {
	d := o.offset - before.offset
	return max(d, -d) <= compareSlack+(o.mono-before.mono)/slewDivisor
}
