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
	_     [64]byte      // no cache line is another worker's too
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

// latency learns how long answers take to the wire, from the transmit stamps of
// a few: from the reading of the clock that dates all answers sent together to
// each one's departure. That depends on how many go together, on the answer's
// place among them, and on their kind, so each combination is learned apart.
//
// What is told is the least of the last samples, at least latencyWindow and at
// most twice as many. A transmit timestamp must not be later than the departure:
// it would take from the delay that a client measures, and the error would not
// be in what the client knows to be uncertain. One that is too early is: half of
// what it is early is the error, and the client's delay, half of which counts as
// dispersion, is longer by all of it. A least value is known from the first
// sample on, falls at once, and forgets an idler or quieter past within two
// windows.
type latency struct {
	floor int64 // ns; what is told before anything is learned
	cell  [kinds][sendLen][sendLen]leastOf
}

// Kinds of answers sent together.
const (
	secureKind = 1 << iota // at least one to be sealed: that lies between the clock's reading and the wire
	coldKind               // after a pause: caches and branch predictors are others' by now
	kinds      = 1 << iota
)

// coldAfter is the pause in ns that makes a kind cold.
const coldAfter = int64(100 * time.Microsecond)

// leastOf is the least of a window of samples and the whole window before.
type leastOf struct {
	now, before int64 // ns
	n           uint8 // samples in this window
	known       bool  // there are samples
	full        bool  // there is a window before
}

// sendLen is how many answers are sent by one system call. 16 and 32 were not
// measurably cheaper (3 % of the CPU per answer is within the noise), and the
// answers of one call depart the later the more there are.
const sendLen = 8

// Limits of latency.
const (
	latencyWindow = 32
	latencyMax    = 100_000 // ns; beyond is not latency but load
)

// least returns the least of the samples.
func (c *leastOf) least() int64 {
	if c.full && (c.n == 0 || c.before < c.now) {
		return c.before
	}
	return c.now
}

// add takes a sample.
func (c *leastOf) add(ns int64) {
	if c.n == 0 || ns < c.now {
		c.now = ns
	}
	c.known = true
	if c.n++; c.n == latencyWindow {
		c.before, c.n, c.full = c.now, 0, true
	}
}

// of returns the latency in ns of the answer at place among count. Of a
// combination that is seldom met nothing is believed that is more than what an
// answer takes that is sent alone.
func (l *latency) of(kind, count, place int) int64 {
	c := &l.cell[kind][count-1][place]
	if c.full {
		return c.least()
	}
	known, least := c.known, c.least()
	for k := range l.cell {
		if alone := &l.cell[k][0][0]; alone.known && (!known || alone.least() < least) {
			known, least = true, alone.least()
		}
	}
	if !known {
		return l.floor
	}
	return least
}

// young reports whether there are few samples of a combination: they are taken as
// they come. The least of a handful is more than that of many.
func (l *latency) young(kind, count, place int) bool { return !l.cell[kind][count-1][place].full }

// learn takes a sample in ns.
func (l *latency) learn(kind, count, place int, ns int64) {
	l.cell[kind][count-1][place].add(min(max(ns, 0), latencyMax))
}

// overshoot is how far transmit timestamps have lately been later than their
// departures, in ns: what no client can see in its delay, and has to be told.
// Every sample lets it forget 1/256, a hundred of which are taken a second under
// load.
type overshoot int64

func (o *overshoot) learn(late int64) {
	*o -= (*o + 255) / 256
	if l := overshoot(late); l > *o {
		*o = l
	}
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

// hardTime accepts a hardware receive stamp if it is a plausible reading of the
// served clock, which read last when the kernel had the datagram, or now: a card
// whose clock was just stepped gives others. Too late a stamp adds to the delay
// that the client measures, too early a one takes from it.
func hardTime(stamp int64, last tai.Time, oldest time.Duration) (tai.Time, bool) {
	t := tai.Time(stamp)
	return t, t <= last.Add(time.Millisecond) && last.Sub(t) < oldest
}

const (
	hardAge = time.Second           // between the card's stamp and now
	hardLag = 10 * time.Millisecond // and the kernel's: interrupts wait, and so does who handles them
)
