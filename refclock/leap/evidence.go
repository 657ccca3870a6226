package leap

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
)

// Proof is a policy about evidence of the receiver's leap count before the first
// lock.
type Proof uint8

// The policies.
const (
	ProofAuto   Proof = iota // the lock waits for evidence of any kind
	ProofAlways              // a system clock that nobody disciplines is no evidence
	ProofNever               // the lock does not wait
)

var proofNames = [...]string{"auto", "always", "never"}

// ProofNames returns the words of the policies.
func ProofNames() []string { return proofNames[:] }

// String returns the word of the policy.
func (p Proof) String() string { return proofNames[min(int(p), len(proofNames)-1)] }

// ParseProof returns the policy of a word.
func ParseProof(word string) (Proof, bool) {
	for i, name := range proofNames {
		if name == word {
			return Proof(i), true
		}
	}
	return 0, false
}

const (
	// almanacTime is how long a receiver without a memory may not know the leap
	// seconds after its first fix: subframe 4 page 18 comes every 12.5 min
	// (IS-GPS-200, 20.3.3.5.1.6 and 20.3.2), and half a minute for a lost start.
	almanacTime = 13 * time.Minute
	// uniformLife is how long after a label in GPS time or TAI another is expected.
	uniformLife = 5 * time.Second
	// labelLife is how long after a label another is expected. Without labels nothing
	// has to be held back.
	labelLife = 10 * time.Second
	// waitGrace is the time after the first label in which evidence from the same
	// burst may still come. It takes two labels and more to set a clock.
	waitGrace = 900 * time.Millisecond
	// movedLabels is how many labels in succession must have moved for the receiver to
	// be taken for one with another count: a late burst moves one.
	movedLabels = 3
	// jumped is by how much a label must differ from the time that passed since the
	// one before to be of another count.
	jumped = 700 * time.Millisecond
)

// kind is a kind of evidence for the receiver's leap count. That nothing speaks
// against it is no evidence: a receiver with a stale count looks exactly like one
// with the right count.
type kind uint8

const (
	countReceived    kind = iota // the receiver announces a count that it heard from satellites, and has a fix
	systemKept                   // the system clock, which another program disciplines, shows the same second
	systemRan                    // the system clock, which nobody disciplines and this receiver did not set, shows the same second to ranWithin
	clockRan                     // the clock to be disciplined, which ran on from before, shows the same second
	witnessesAgree               // the required witnesses have confirmed the second
	almanacReceived              // 13 min with a fix: the count must have been received
	lineRan                      // CLOCK_MONOTONIC_RAW since a lock, for which something confirmed the second
	uniformConfirmed             // labels in GPS time or TAI need no count
	numKinds
)

// confirms reports whether a kind counts under a policy.
func (k kind) confirms(p Proof) bool { return p != ProofAlways || k != systemRan }

// finding is the evidence of one kind.
type finding struct {
	source string // message, system of satellites or clock that it comes from
	mono   int64  // CLOCK_MONOTONIC_RAW when it was found, ns; 0: there is none
}

// confirmation collects the evidence for the leap count of a receiver. Plain NMEA
// does not say where the receiver has its count from.
type confirmation struct {
	found      [numKinds]finding
	firstLabel int64 // mono of the first valid label, 0: none yet
	lastLabel  int64 // mono of the latest one
	now        int64 // mono of the latest input

	fix         fix
	label       named           // the latest valid one that needs a count
	line        line            // of labels that need a count
	proven      proven          // the line that was confirmed
	uniform     int64           // mono of the latest label in GPS time or TAI, 0: none yet
	uniformOff  time.Duration   // system clock - its second, 0: it does not contradict
	uniformAway away            // of the system clock from its second
	system      time.Duration   // system clock - the second of labels that need a count, 0: it does not contradict
	systemNear  time.Duration   // the same, if it agrees, but not well enough to confirm; else 0
	systemAway  away            // the same, if it differs by whole seconds
	unheard     gnss.LeapSource // the source that is none, as the receiver named it last; LeapUnreported: it names none

	pulsed       bool // pulses come
	tracked      bool // the clock is locked or in holdover
	clockOff     bool // it showed another second than the latest label
	clockDoubted bool // it lost its lock while it did, so it confirms nothing

	waiting struct {
		since  int64 // mono; 0: nothing is waited for
		logged bool
		odd    bool // it was logged that labels differ as no leap count makes them
	}
}

// line is second - CLOCK_MONOTONIC_RAW of the pulse that began it, by the labels: it
// stays where it is unless the receiver gets another count, or labels come late.
type line struct {
	at    tai.Time // 0: none yet
	since int64    // mono
	held  int64    // for how long it held before that, ns
	was   tai.Time // the one before, 0: none
	wasNS int64    // for how long that one held, ns
	other tai.Time // of the latest labels, if it is another one
	times int      // so many of them
}

// settled reports whether labels have stayed where they are for as long as a receiver may
// take to apply a count, or have never moved.
func (l *line) settled(mono int64) bool {
	return l.was == 0 || mono-l.since > int64(applyWithin)
}

// take takes the line of a label, and reports whether it moved, and whether that was ahead,
// to where it was not before, or for a shorter time than where it comes from.
func (l *line) take(x tai.Time, mono int64) (moved, ahead bool) {
	switch {
	case l.at == 0:
		l.at, l.since = x, mono
	case near(x, l.at):
		l.at, l.times = x, 0 // with the clock's drift
	case !near(x, l.other):
		l.other, l.times = x, 1
	default:
		if l.times++; l.times < movedLabels {
			return false, false
		}
		before := line{at: x, since: mono, was: l.at, wasNS: l.held + mono - l.since}
		if l.was != 0 && near(x, l.was) {
			before.held = l.wasNS
		}
		moved, ahead = true, x > l.at && before.held <= before.wasNS
		*l = before
	}
	return moved, ahead
}

// near reports whether two lines are the same second.
func near(a, b tai.Time) bool { return a-b < tai.Second/2 && b-a < tai.Second/2 }

// add takes one finding.
func (c *confirmation) add(k kind, source string, mono int64) {
	c.found[k] = finding{source, max(mono, 1)}
}

// drop takes findings back.
func (c *confirmation) drop(kinds ...kind) {
	for _, k := range kinds {
		c.found[k] = finding{}
	}
}

// recounted takes that TAI - UTC changed. A clock that is not tracked may have been set
// by labels that were made with the count before.
func (c *confirmation) recounted() {
	if !c.tracked {
		c.drop(systemKept, systemRan, clockRan, lineRan)
		c.proven = proven{}
		c.clockDoubted = true
	}
}

// discard takes all findings back, and doubts the clock.
func (c *confirmation) discard() {
	c.found, c.proven = [numKinds]finding{}, proven{}
	c.clockDoubted, c.tracked = true, false
}

// settled returns the evidence that counts under a policy, without labels in GPS
// time or TAI. A clock that is tracked needs none.
func (c *confirmation) settled(p Proof) (source string, ok bool) {
	if c.tracked {
		return "clock", true
	}
	odd := c.odd() != 0
	for k := range uniformConfirmed {
		// The count is known, but which second the labels name is not: they may come
		// late, or be made with another count or date.
		away := c.systemAway.contradicts() || c.uniformNow() && c.uniformAway.contradicts()
		if k == countReceived && away || (k == almanacReceived || k == lineRan) && odd {
			continue
		}
		if f := c.found[k]; f.mono != 0 && k.confirms(p) {
			return f.source, true
		}
	}
	return "", false
}

// uniformNow reports whether labels in GPS time or TAI come.
func (c *confirmation) uniformNow() bool {
	return c.uniform != 0 && c.now-c.uniform < int64(uniformLife)
}

// confirmed returns what confirms the second that the receiver names.
func (c *confirmation) confirmed(p Proof) (source string, ok bool) {
	if source, ok = c.settled(p); ok {
		return source, true
	}
	// A system clock that differs by whole seconds may know of a leap second that
	// the tables lack, or the configured scale or the date may be wrong.
	if c.uniformNow() && c.uniformOff == 0 && !c.uniformAway.zone() {
		return "GPS time or TAI", true
	}
	return "", false
}

// waits reports whether the lock has to wait for evidence. Without labels and
// pulses there is nothing to hold back.
func (c *confirmation) waits(p Proof) bool {
	if p == ProofNever || !c.pulsed || c.firstLabel == 0 || c.now-c.lastLabel > int64(labelLife) || c.now-c.firstLabel < int64(waitGrace) {
		return false
	}
	_, ok := c.confirmed(p)
	return !ok
}

// ignores reports whether a label in UTC is not to be used: nothing confirms its
// count, and labels in GPS time or TAI come.
func (c *confirmation) ignores(m *gnss.Message, p Proof) bool {
	if m.Uniform || !c.uniformNow() {
		return false
	}
	_, ok := c.settled(p)
	return !ok
}

// tick takes the time that passed, and whether the clock is tracked.
func (c *confirmation) tick(in *reading.Clocks) {
	c.now = max(c.now, in.Mono)
	c.pulsed = in.Pulsed()
	switch {
	case in.Tracked:
		c.clockDoubted = false
	case c.tracked:
		c.clockDoubted = c.clockOff
	}
	c.tracked = in.Tracked
}

// message takes what one message says besides its label. It reports whether the
// receiver may have started anew. applied: its labels are made with the count that it
// announces.
func (c *confirmation) message(m *gnss.Message, applied bool) (restarted bool) {
	c.now = max(c.now, m.Mono)
	restarted = c.tracking(m)
	switch {
	case m.LeapSource != gnss.LeapUnreported && !m.LeapSource.FromSatellites(), m.UTC == gnss.UTCUnresolved:
		// The receiver says itself that it has not heard the count.
		c.unheard = max(m.LeapSource, gnss.LeapUnknown)
		c.drop(countReceived, almanacReceived)
		c.fix.since = m.Mono
	case m.LeapOffset != 0 && !applied:
		c.drop(countReceived)
	case m.LeapOffset != 0 && c.fix.last != 0:
		c.unheard = gnss.LeapUnreported
		c.add(countReceived, m.LeapSource.String(), m.Mono)
	}
	return restarted
}

// second takes the instant that a valid, dated message names, with the clocks when
// its epoch's first message came. stale: the clocks' readings are by another table
// than the label.
func (c *confirmation) second(m *gnss.Message, label tai.Time, in *reading.Clocks, p Proof, stale bool) {
	if c.firstLabel == 0 {
		c.firstLabel = m.Mono
	}
	c.lastLabel = m.Mono
	if m.Uniform {
		c.uniform = m.Mono
	} else {
		c.jump(label, in.Mono)
	}
	second, since, ok := in.Second(label)
	if !ok || stale {
		return
	}
	off := in.System.Add(-since).Sub(second)
	switch {
	case in.SystemDoubted:
		c.drop(systemKept, systemRan)
		c.system, c.systemNear, c.uniformOff = 0, 0, 0
		c.systemAway, c.uniformAway = away{}, away{}
	case in.System == 0:
	case m.Uniform:
		// Leap seconds and wrong scales make whole seconds.
		if c.uniformOff = contradiction(off, scaleSpan); (off - off.Round(time.Second)).Abs() > agreeWithin {
			c.uniformOff = 0
		}
		// With the leap flag it is NAV-TIMEGPS, whose scale is certain, and with the receiver's
		// count no leap second is missing in the tables.
		c.uniformAway = awayFrom(off, in, m.UTC == gnss.UTCUnreported || c.found[countReceived].mono == 0)
		if m.Rollover != 0 || m.UTC != gnss.UTCUnreported {
			c.uniformAway = c.uniformAway.dated()
		}
	default:
		c.compareSystem(off, in)
		if m.Rollover != 0 {
			c.systemAway = c.systemAway.dated()
		}
	}
	if m.Uniform {
		return
	}
	x := second.Add(-time.Duration(in.Mono) + since)
	c.follow(x, in.Mono)
	if in.Clock != 0 {
		c.compareClock(in.Clock.Add(-since).Sub(second), in)
	}
	c.drop(lineRan)
	if _, confirmed := c.settled(p); c.proven.ran(x, in, confirmed) {
		c.add(lineRan, "time since the last lock", in.Mono)
	}
}

// compareClock takes how far the clock to be disciplined is ahead of the
// receiver's second.
func (c *confirmation) compareClock(off time.Duration, in *reading.Clocks) {
	c.clockOff = off.Abs() > time.Second/2
	switch {
	case in.Tracked, in.ClockIsSystem:
	case c.clockOff || c.clockDoubted:
		c.drop(clockRan)
	case off.Abs() <= within(in.Continued):
		c.add(clockRan, "clock", in.Mono)
	}
}

// jump drops what confirmed the receiver's count when its labels jump: it has
// another count now.
func (c *confirmation) jump(label tai.Time, mono int64) {
	if c.label.jumps(label, mono) {
		c.drop(countReceived, systemKept, systemRan, clockRan, witnessesAgree, lineRan)
		c.proven.jumped(mono)
	}
	c.label.time, c.label.mono = label, mono
}

// named is a label and when it came.
type named struct {
	time tai.Time
	mono int64
}

// jumps reports whether a label does not follow the last one.
func (last *named) jumps(label tai.Time, mono int64) bool {
	if last.time == 0 || label == last.time {
		return false
	}
	return (label.Sub(last.time) - time.Duration(mono-last.mono)).Abs() > jumped
}

// follow takes the line of a label. A receiver whose labels move back has received its
// count, if they stay there. One whose labels move ahead has lost it, or is as wrong now as
// others after a cold start: the time in which it must receive the count begins anew.
func (c *confirmation) follow(x tai.Time, mono int64) {
	moved, ahead := c.line.take(x, mono)
	if moved {
		c.drop(almanacReceived)
	}
	if ahead && c.fix.since != 0 {
		c.fix.since = mono
	}
}
