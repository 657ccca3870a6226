package leap

import (
	"strings"
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
	// countSpan is the largest error of whole seconds that a wrong leap count
	// makes: there have been 18 leap seconds since GPS began.
	countSpan = 20 * time.Second
	// scaleSpan is the same for labels in GPS time or TAI: the configured scale may be
	// wrong, by 37 s at present.
	scaleSpan = time.Minute
	// agreeWithin is how near a clock that was kept right must be to the receiver's
	// second, as the pulse begins it, to confirm it. What differs by more than half a
	// second contradicts it.
	agreeWithin = 300 * time.Millisecond
	// ranWithin is the same for a clock that nobody keeps: nothing says by how
	// many seconds it may be wrong, so it can also agree with a wrong label, by
	// chance. One that was kept until lately is some ms off (NTP over the Internet,
	// then 20 ppm for a quarter of an hour). One whose error is anything is so near to
	// a given second in one of 25 cases where its error is spread over one second.
	ranWithin = 20 * time.Millisecond
	// wholeSpan is how far off by whole seconds a system clock may be to be a reason to
	// wait: two days, as the date may change late. One that is farther off has no time of
	// its own.
	wholeSpan = 48 * time.Hour
	// zoneStep is what time zones and dates differ by multiples of.
	zoneStep = 15 * time.Minute
	// fixGap is how long a receiver may report no fix without having to be taken for
	// one that has started anew.
	fixGap = 5 * time.Second
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
	// waitLogged is how long the wait for evidence must last to be logged.
	waitLogged = 5 * time.Second
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

	fix struct { // reported fixes without a gap
		since, last int64 // mono; 0: there is none
	}
	label struct { // the latest valid one that needs a count
		time tai.Time
		mono int64
	}
	line        line            // of labels that need a count
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

// away is by how many whole seconds a system clock is ahead of labels. The labels may be
// wrong by them.
type away struct {
	by time.Duration // 0: it is not
	// odd: a receiver that has not heard its leap count yet is ahead by some seconds,
	// and this is no such difference. So 13 minutes with a fix do not explain it.
	odd bool
}

// awayFrom judges a system clock that is ahead of labels by off. It must be as near to whole
// seconds as it would have to be to confirm them. One that this receiver may have set
// shows nothing.
func awayFrom(off time.Duration, in *reading.Clocks, uniform bool) away {
	tolerance := within(in.Continued && in.SystemSet)
	switch {
	case in.SystemDisciplined:
		tolerance = agreeWithin
	case in.SystemOwn:
		return away{}
	}
	whole := off.Round(time.Second)
	if whole == 0 || whole.Abs() >= wholeSpan || (off-whole).Abs() > tolerance {
		return away{}
	}
	switch {
	case in.SystemDisciplined, whole%zoneStep == 0:
		return away{whole, true}
	case uniform: // they need no count, and the configured scale may be wrong
		return away{whole, whole.Abs() <= scaleSpan}
	}
	return away{whole, whole > 0 && whole <= countSpan}
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
		c.drop(systemKept, systemRan, clockRan)
		c.clockDoubted = true
	}
}

// discard takes all findings back, and doubts the clock.
func (c *confirmation) discard() {
	c.found = [numKinds]finding{}
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
		if k == countReceived && (odd || c.systemAway.by != 0) || k == almanacReceived && odd {
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

// odd returns by how many whole seconds the system clock is ahead of labels, as no leap
// count makes it; 0: it is not.
func (c *confirmation) odd() time.Duration {
	switch {
	case c.uniformNow() && c.uniformAway.odd:
		return c.uniformAway.by
	case c.systemAway.odd:
		return c.systemAway.by
	}
	return 0
}

// confirmed returns what confirms the second that the receiver names.
func (c *confirmation) confirmed(p Proof) (source string, ok bool) {
	if source, ok = c.settled(p); ok {
		return source, true
	}
	// A system clock that differs by whole seconds may know of a leap second that
	// the tables lack, or the configured scale may be wrong.
	if c.uniformNow() && c.uniformOff == 0 {
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

// tracking follows for how long the receiver has reported a fix. One that lost it
// may have started anew, and has then forgotten what it heard.
func (c *confirmation) tracking(m *gnss.Message) (restarted bool) {
	f := &c.fix
	if f.last != 0 && m.Mono-f.last > int64(fixGap) {
		restarted = true
		f.since, f.last = 0, 0
		c.drop(countReceived, almanacReceived)
	}
	// NAV-TIMEGPS names no fix, but its flags say that time and week are known: a
	// receiver that starts anew clears them.
	satellites := !m.FixRepeated && m.Fix.Good() || m.Uniform && m.Valid && m.UTC != gnss.UTCUnreported
	if !satellites {
		return restarted
	}
	if f.last == 0 {
		f.since = m.Mono
	}
	if f.last = m.Mono; m.Mono-f.since > int64(almanacTime) && c.line.settled(m.Mono) {
		c.add(almanacReceived, m.Source, m.Mono)
	}
	return restarted
}

// second takes the instant that a valid, dated message names, with the clocks when
// its epoch's first message came. stale: the clocks' readings are by another table
// than the label.
func (c *confirmation) second(m *gnss.Message, label tai.Time, in *reading.Clocks, stale bool) {
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
		c.uniformAway = awayFrom(off, in, true)
	default:
		c.compareSystem(off, in)
	}
	if !m.Uniform {
		c.follow(second.Add(-time.Duration(in.Mono)+since), in.Mono)
	}
	if !m.Uniform && in.Clock != 0 {
		c.compareClock(in.Clock.Add(-since).Sub(second), in)
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

// within returns how near a clock must be to confirm a second. continued: this
// program kept it right earlier.
func within(continued bool) time.Duration {
	if continued {
		return agreeWithin
	}
	return ranWithin
}

// jump drops what confirmed the receiver's count when its labels jump: it has
// another count now.
func (c *confirmation) jump(label tai.Time, mono int64) {
	if c.jumps(label, mono) {
		c.drop(countReceived, systemKept, systemRan, clockRan, witnessesAgree)
	}
	c.label.time, c.label.mono = label, mono
}

// jumps reports whether a label does not follow the one before.
func (c *confirmation) jumps(label tai.Time, mono int64) bool {
	last := &c.label
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

// compareSystem takes how far the system clock is ahead of the receiver's second.
func (c *confirmation) compareSystem(off time.Duration, in *reading.Clocks) {
	c.drop(systemKept, systemRan)
	c.system, c.systemNear, c.systemAway = contradiction(off, countSpan), 0, awayFrom(off, in, false)
	switch {
	case in.SystemDisciplined && off.Abs() <= agreeWithin:
		c.add(systemKept, "disciplined system clock", in.Mono)
	case !in.SystemOwn && off.Abs() <= within(in.Continued && in.SystemSet):
		c.add(systemRan, "system clock", in.Mono)
	case !in.SystemOwn && off.Abs() <= time.Second/2:
		c.systemNear = off
	}
}

// contradiction returns off if it is a difference of whole seconds up to span,
// else 0.
func contradiction(off, span time.Duration) time.Duration {
	if off.Abs() > time.Second/2 && off.Abs() < span+time.Second/2 {
		return off
	}
	return 0
}

// explain says what the lock waits for, and what would shorten that.
func (c *confirmation) explain() (fields []any, remedy string) {
	if by := c.odd(); by != 0 {
		return explainOdd(by)
	}
	var more []string
	switch left := almanacTime - time.Duration(c.now-c.fix.since); {
	case c.unheard != gnss.LeapUnreported:
		fields = append(fields, "receiver_has_count_from", c.unheard.String())
	case c.fix.last == 0:
		more = append(more, "let the receiver report its fix (RMC or GGA): after 13 min with one it must know its count")
	default:
		fields = append(fields, "for_at_most", max(left, 0).Round(time.Second))
	}
	off := c.system
	if off == 0 {
		off = c.systemAway.by
	}
	if c.uniformNow() {
		off = c.uniformOff
	}
	if off != 0 {
		fields = append(fields, "system_clock_off_by", off.Round(time.Millisecond))
		more = append(more, "find out whether the system clock or the receiver is wrong")
	}
	if c.systemNear != 0 && !c.uniformNow() {
		fields = append(fields, "system_clock_off_by", c.systemNear.Round(time.Millisecond))
		more = append(more, "a system clock that nobody disciplines confirms only if it agrees within "+ranWithin.String())
	}
	more = append(more, "let the receiver send UBX-NAV-TIMELS or NAV-TIMEGPS (receiver.configure), set the system clock right by NTP, or require a [[witness]]")
	return fields, strings.Join(more, "; ")
}

// explainOdd does that where the system clock is ahead of labels by whole seconds, as no
// leap count makes it.
func explainOdd(by time.Duration) (fields []any, remedy string) {
	how := "late"
	if by < 0 {
		how = "early"
	}
	why := "if the receiver sends them so, correct receiver.label_offset or receiver.time_scale"
	if by%zoneStep == 0 {
		why = "the receiver or the system clock may be set to a local time, or have a wrong date"
	}
	return []any{"labels_seem_" + how + "_by", by.Abs()},
		"labels seem " + how + " by " + by.Abs().String() + ": " + why + "; else the system clock is wrong: set it by NTP, or require a [[witness]]"
}

// watch reports once that the lock has been waiting for evidence for a while, and once
// that labels differ from the system clock as no leap count makes them.
func (c *confirmation) watch(p Proof) (due bool) {
	w := &c.waiting
	switch {
	case !c.waits(p):
		w.since, w.logged, w.odd = 0, false, false
	case w.since == 0:
		w.since = max(c.now, 1)
	case c.now-w.since <= int64(waitLogged):
	case !w.logged, !w.odd && c.odd() != 0:
		w.logged, w.odd = true, c.odd() != 0
		return true
	}
	return false
}
