package server

import "time"

// txTiming predicts when answers leave, and detects interruptions.
type txTiming struct {
	read   int64                          // CLOCK_MONOTONIC_RAW of the reading for the last transmit timestamps, ns
	toWire txLatency                      // from that reading to the departure
	late   overshoot                      // of transmit timestamps after their departures
	finish [kinds][groupLen]windowMinimum // ns from the reading to the system call, by kind and count
}

// finishSlack: finishing a group was interrupted if it took longer than twice
// the least known time and this, in ns.
const finishSlack = 300

// interrupted takes how long the answers of g took from the reading of the clock
// until they were ready to send, in ns. It reports whether that is much more
// than it takes: the worker lost its processor.
func (t *txTiming) interrupted(g group, took int64) bool {
	least := &t.finish[g.kind][g.count-1]
	long := least.known && took > 2*least.value()+finishSlack
	least.add(took)
	return long
}

// txLatency learns the time from the reading of the clock that all answers of a
// group share to each answer's departure, from the transmit timestamps of a few.
// It depends on how many answers are sent together, on the answer's place among
// them, and on their kind: each combination is learned by itself.
//
// The result is the minimum of the last samples, at least windowLen and at most
// twice as many. A transmit timestamp must not be later than the departure: that
// would shorten the delay that the client measures by an error that the client
// does not know. One that is too early is harmless: half of the difference is
// the client's error, and the measured delay, half of which counts as
// dispersion, is longer by all of it. A minimum of fewSamples is taken, falls at once, and
// forgets earlier, lighter load within two windows.
type txLatency struct {
	floor int64 // ns; the result before there are samples
	cells [kinds][groupLen][groupLen]windowMinimum
}

// Kinds of groups.
const (
	secureKind = 1 << iota // at least one answer is sealed, between the clock's reading and the departure
	coldKind               // after a pause: caches and branch predictors have other contents
	kinds      = 1 << iota // number of combinations
)

// coldAfter is the pause in ns that makes a group cold.
const coldAfter = int64(100 * time.Microsecond)

// groupLen is how many answers one system call sends at most. 16 and 32 were not
// measurably cheaper (3 % of the CPU per answer, within the noise), and answers
// of one call leave the later the more there are.
const groupLen = 8

// groupPlace is the place of an answer in its group.
type groupPlace struct {
	kind  uint8
	count uint8 // answers in the group
	index uint8 // among them
}

// first returns the place of the group's first answer.
func (g group) first() groupPlace { return groupPlace{kind: g.kind, count: g.count} }

// maxLatency is the largest latency that is learned, ns; more is overload.
const maxLatency = 100_000

func (l *txLatency) cell(p groupPlace) *windowMinimum { return &l.cells[p.kind][p.count-1][p.index] }

// of returns the latency of an answer in ns. Until a combination has a full
// window of samples, the result is not more than that of an answer sent alone.
func (l *txLatency) of(p groupPlace) int64 {
	c := l.cell(p)
	if c.full {
		return c.value()
	}
	known, least := c.few(), c.value()
	for kind := range l.cells {
		if alone := &l.cells[kind][0][0]; alone.few() && (!known || alone.value() < least) {
			known, least = true, alone.value()
		}
	}
	if !known {
		return l.floor
	}
	return least
}

// young reports whether a combination has no full window of samples yet.
func (l *txLatency) young(p groupPlace) bool { return !l.cell(p).full }

// learn takes a sample in ns.
func (l *txLatency) learn(p groupPlace, ns int64) { l.cell(p).add(min(max(ns, 0), maxLatency)) }

// windowMinimum is the minimum of the current window of samples and the whole
// window before.
type windowMinimum struct {
	current, previous int64
	n                 uint8 // samples in the current window
	known             bool  // there are samples
	full              bool  // there is a previous window
}

// windowLen is the number of samples of a window. The first answers after the start touch
// memory and code for the first time: one took 16 us, and the next 1.5. So less than
// fewSamples show nothing.
const windowLen, fewSamples = 32, 4

// few reports whether there are samples enough for a first value.
func (m *windowMinimum) few() bool { return m.full || m.n >= fewSamples }

// value returns the minimum, 0 without samples.
func (m *windowMinimum) value() int64 {
	if m.full && (m.n == 0 || m.previous < m.current) {
		return m.previous
	}
	return m.current
}

// add takes a sample.
func (m *windowMinimum) add(v int64) {
	if m.n == 0 || v < m.current {
		m.current = v
	}
	m.known = true
	if m.n++; m.n == windowLen {
		m.previous, m.n, m.full = m.current, 0, true
	}
}

// overshoot is how far transmit timestamps have lately been later than their
// departures, in ns. A client cannot see that in its measured delay, so it is
// added to the root dispersion. It decays by 1/256 with each sample; under load
// there are a hundred samples a second.
type overshoot int64

func (o *overshoot) learn(late int64) {
	*o -= (*o + 255) / 256
	if l := overshoot(late); l > *o {
		*o = l
	}
}
