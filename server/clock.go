package server

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// hostClock reads CLOCK_MONOTONIC_RAW and CLOCK_REALTIME for one worker. Only
// the Go runtime's clocks (CLOCK_REALTIME and CLOCK_MONOTONIC) can be read
// without a system call; CLOCK_MONOTONIC_RAW is paired with them by one now and
// then, and carried on by CLOCK_MONOTONIC in between.
type hostClock struct {
	start time.Time     // origin of elapsed
	pair  time.Duration // elapsed time of the pairing
	raw   int64         // CLOCK_MONOTONIC_RAW then
	width time.Duration // bracket of the pairing
}

// pairSpan is how long a pairing is used. The two monotonic clocks drift apart
// by at most 500 ppm (NTP's slew, adjtimex(2)), half a microsecond in this
// time, and by 10 to 50 ns usually.
const pairSpan = time.Millisecond

func newHostClock() *hostClock {
	c := &hostClock{start: time.Now()}
	c.repair()
	return c
}

// repair reads the two clocks together: the narrowest of three brackets.
func (c *hostClock) repair() {
	best := time.Duration(math.MaxInt64)
	for range 3 {
		a := time.Since(c.start)
		raw := phc.MonoRaw()
		b := time.Since(c.start)
		if b-a < best {
			best, c.width, c.pair, c.raw = b-a, b-a, a+(b-a)/2, raw
		}
	}
}

// now returns both clocks at one instant, in ns.
func (c *hostClock) now() (real, mono int64) {
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
// seconds (RFC 5905, section 7.3: precision): the least time two readings
// take, rounded up.
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

// latency learns how long an answer takes from its transmit timestamp to the
// wire, from the transmit stamps of a few. Answers are sent several at once, so
// it depends on how many go together and on the answer's place among them.
type latency struct {
	cell [sendLen][sendLen]struct {
		ns      int64
		samples int
	}
}

// sendLen is how many answers are sent by one system call. 16 and 32 were not
// measurably cheaper (3 % of the CPU per answer is within the noise), and the
// answers of one call depart the later the more there are: of the sampled
// answers in an NTS flood 80 % left within 1 us of their timestamp with 8, and
// 55 % with 32.
const sendLen = 8

// Limits of latency.
const (
	latencyStep = 250     // ns a single sample moves it at most
	latencyMax  = 100_000 // ns; beyond is not latency but load
)

// of returns the latency in ns of the answer at place among count. What is not
// learned yet is taken for that of an answer sent alone.
func (l *latency) of(count, place int) int64 {
	if c := &l.cell[count-1][place]; c.samples > 0 {
		return c.ns
	}
	return l.cell[0][0].ns
}

// learn takes a sample: departure minus transmit timestamp, which had of(count,
// place) in it, in ns.
func (l *latency) learn(count, place int, residue int64) {
	c := &l.cell[count-1][place]
	ns := l.of(count, place)
	c.samples++
	step := residue / int64(min(1+c.samples, 8))
	if c.samples > 8 { // a jam must not move what is known
		step = min(max(step, -latencyStep), latencyStep)
	}
	c.ns = min(max(ns+step, 0), latencyMax)
}

// softMono carries a stamp of CLOCK_REALTIME to CLOCK_MONOTONIC_RAW, given both
// now. ok is false for a stamp that cannot be: from the future, or older than a
// second; then the clock was stepped, or the stamp is none.
func softMono(stamp, real, mono int64) (at int64, ok bool) {
	age := real - stamp
	if age < -int64(time.Millisecond) || age > int64(time.Second) {
		return 0, false
	}
	return mono - age, true
}

// hardTime accepts a hardware stamp if it is a plausible reading of the served
// clock, which reads now.
func hardTime(stamp int64, now tai.Time) (tai.Time, bool) {
	t := tai.Time(stamp)
	return t, t <= now.Add(time.Millisecond) && now.Sub(t) < time.Second
}
