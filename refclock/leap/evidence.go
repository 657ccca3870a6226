package leap

import (
	"slices"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
)

const (
	// almanacTime is how long a receiver without a memory may not know the leap
	// seconds after its first fix: subframe 4 page 18 comes every 12.5 min
	// (IS-GPS-200, 20.3.3.5.1.6 and 20.3.2), and half a minute for a lost start.
	almanacTime = 13 * time.Minute
	// countSpan is the largest error of whole seconds that a wrong leap count
	// makes: there have been 18 leap seconds since GPS began.
	countSpan = 20 * time.Second
)

// kind is a kind of evidence for or against the receiver's leap count.
type kind uint8

const (
	countReceived     kind = iota // the receiver announces a count that it received from satellites
	utcResolved                   // a UBX message, which is valid only when its UTC is resolved
	clockAgrees                   // the clock to be disciplined, which ran on from before, shows the same second
	systemAgrees                  // the system clock shows the same second
	witnessesAgree                // the required witnesses have confirmed the second
	almanacReceived               // 13 min with a fix: the count must have been received
	clockLocked                   // the clock is locked: the question is settled
	startedCold                   // against: the receiver was without a fix when it was first heard
	systemContradicts             // against: a disciplined system clock shows another second
)

// confirms reports whether the kind speaks for the receiver's leap count.
func (k kind) confirms() bool { return k != startedCold && k != systemContradicts }

// evidence is one finding for or against the receiver's leap count.
type evidence struct {
	kind   kind
	source string // message, system of satellites or clock that it comes from
	mono   int64  // when it was last found, CLOCK_MONOTONIC_RAW
}

// confirmation collects the evidence for the leap count of a receiver. A cold
// receiver gives a fix, and a second that is off by a few. Plain NMEA does not
// say so.
type confirmation struct {
	firstLabel int64      // mono of the first valid label, 0: none yet
	evidence   []evidence // the latest of each kind
}

// add takes one finding.
func (c *confirmation) add(k kind, source string, mono int64) {
	e := evidence{k, source, mono}
	if i := slices.IndexFunc(c.evidence, func(e evidence) bool { return e.kind == k }); i >= 0 {
		c.evidence[i] = e
		return
	}
	c.evidence = append(c.evidence, e)
}

// missing decides from the evidence whether the lock has to wait. Without any,
// only a strict policy waits: a receiver that had a fix when it was first heard
// may have been switched on just before.
func missing(found []evidence, strict bool) bool {
	against := false
	for _, e := range found {
		if e.kind.confirms() {
			return false
		}
		against = true
	}
	return against || strict
}

// waits reports whether the lock has to wait for evidence. Before the first label
// there is nothing to hold back.
func (c *confirmation) waits(strict bool) bool {
	return c.firstLabel != 0 && missing(c.evidence, strict)
}

// message takes the evidence in one message of the receiver.
func (c *confirmation) message(m *gnss.Message, in *reading.Clocks) {
	label := m.Valid && m.HasDate && !m.DateCarried
	if label && c.firstLabel == 0 {
		c.firstLabel = m.Mono
	}
	switch {
	case m.LeapOffset != 0 && m.LeapSource != gnss.LeapFirmware:
		c.add(countReceived, m.LeapSource.String(), m.Mono)
	case m.HasTimeOfDay && !m.Valid && !m.HasPulse && c.firstLabel == 0:
		c.add(startedCold, m.Source, m.Mono)
	}
	if !label {
		return
	}
	if m.UTC == gnss.UTCResolved {
		c.add(utcResolved, m.Source, m.Mono)
	}
	if m.Mono-c.firstLabel > int64(almanacTime) {
		c.add(almanacReceived, m.Source, m.Mono)
	}
	if in.Clock != 0 && sameSecond(in.Clock, m.Time) {
		c.add(clockAgrees, "clock", m.Mono)
	}
	switch {
	case in.System == 0:
	case sameSecond(in.System, m.Time):
		c.add(systemAgrees, "system clock", m.Mono)
	case in.SystemDisciplined && otherSecond(in.System, m.Time):
		c.add(systemContradicts, "system clock", m.Mono)
	}
}

// sameSecond reports whether a clock confirms the label of a message that has
// just come. Up to a second of the difference is the message's latency; more
// would be a clock, or a label, that is off by a second.
func sameSecond(clock, label tai.Time) bool {
	d := clock.Sub(label)
	return d > -100*time.Millisecond && d < time.Second
}

// otherSecond reports whether a clock contradicts a label by whole seconds that a
// wrong leap count explains. What lies between sameSecond and this is left to the
// checks at startup.
func otherSecond(clock, label tai.Time) bool {
	d := clock.Sub(label)
	return d > -countSpan && d < countSpan+time.Second && (d < -200*time.Millisecond || d >= 2*time.Second)
}
