package integrity

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

// Config describes a Judge.
type Config struct {
	Receiver ReceiverConfig
	// NotBefore is a date before which this machine cannot be: messages with an
	// earlier date are refused. Zero: none are.
	NotBefore tai.Time
	// NotAfter is a date after which this program is not expected to run: messages
	// with a later date are refused. Zero: gnss.PlausibleYears after NotBefore.
	NotAfter tai.Time
	// RefuseRollover: dates that the decoder had to move by 1024 weeks are never
	// used. Else they are when the system clock or the clock itself agrees.
	RefuseRollover bool
	// OwnCrystal: the clock to be disciplined has another crystal than
	// CLOCK_MONOTONIC_RAW. The two are two opinions on pulses that drift away.
	OwnCrystal bool
	// Outside is an alarm from outside that is in force from the start, until
	// Judge.Outside replaces it.
	Outside Alarm
}

// Edge is an edge of the pulse, as the Judge looks at it.
type Edge struct {
	Mono      int64         // CLOCK_MONOTONIC_RAW, ns, uncorrected
	Corrected int64         // the same with the quantisation correction
	Free      float64       // phase by the clock without steering, corrected, ns within the second
	Other     time.Duration // so long after it another edge comes that nothing tells apart; 0: none
}

// Judge decides whether the reference may be trusted now. It is for one
// goroutine.
type Judge struct {
	receiver *receiver
	startup  startup
	ramp     ramp
	dates    dates
	fraction fractions
	outside  Alarm

	ownCrystal bool
	raised     [reason.Count]bool // own alarms at the last decision
	reported   Alarm
	events     []reason.Event
}

// New returns a Judge.
func New(cfg Config) *Judge {
	return &Judge{
		receiver: newReceiver(cfg.Receiver), dates: newDates(cfg.NotBefore, cfg.NotAfter, cfg.RefuseRollover),
		ownCrystal: cfg.OwnCrystal, outside: cfg.Outside,
	}
}

// Message takes every message of the receiver, in order.
func (j *Judge) Message(m *gnss.Message) {
	if m.HasPulse {
		j.startup.announce(m)
	}
	j.receiver.message(m)
}

// Label returns why the label of a message is refused, None if it may be used: its
// date is not plausible, or its fraction does not tell which second a pulse began.
func (j *Judge) Label(m *gnss.Message, c *reading.Clocks) reason.Code {
	code, evidence := j.dates.check(m, c)
	if code == reason.None && m.Valid && c.Unlocked && !j.fraction.usable(m.Time, c) {
		code = reason.MessageFraction
	}
	if evidence != "" && !j.dates.corrected {
		j.dates.corrected = true
		j.event(reason.Event{Text: "receiver is past a week rollover; its dates are corrected", Warn: true,
			Fields: []any{"weeks", m.Rollover, "evidence", evidence, "policy", "correct"}})
	}
	return code
}

// Plausible reports whether this program can run at t.
func (j *Judge) Plausible(t tai.Time) bool { return j.dates.plausible(t) }

// Second takes the instant that a valid, dated message names, with the clocks when
// its epoch's first message came.
func (j *Judge) Second(label tai.Time, c *reading.Clocks) {
	j.startup.second(label, c)
	j.startup.update(c.Unlocked)
}

// Edge takes an edge of the pulse.
func (j *Judge) Edge(e Edge, c *reading.Clocks) {
	if j.ownCrystal {
		j.ramp.pulse(e.Corrected, e.Free, c.Young)
	}
	j.startup.edge(e.Mono, e.Other, c.Startup())
	j.startup.update(c.Unlocked)
}

// PulseBefore returns when the latest pulse until mono came, both
// CLOCK_MONOTONIC_RAW in ns; 0: none of the last did.
func (j *Judge) PulseBefore(mono int64) int64 { return j.startup.pulseBefore(mono) }

// Begun returns the latest second that a valid message named and a pulse began.
func (j *Judge) Begun() Label { return j.startup.begun }

// Outside replaces the alarm from outside, such as that of the witnesses. It
// reports whether that means that the required witnesses have confirmed the
// second.
func (j *Judge) Outside(a Alarm) (confirmed bool) {
	confirmed = j.outside.Code == reason.WitnessAwaited && a.Code == reason.None
	j.outside = a
	return confirmed
}

// Break says that pulses before and after now do not compare: the clock was
// stepped, or their correction changed.
func (j *Judge) Break() { j.ramp.clear() }

// Unexplained returns by how much pulses have left what two clocks predict, ns,
// while it is too little for an alarm. The bound has to cover it.
func (j *Judge) Unexplained() float64 { return j.ramp.unexplained() }

// Decide returns the alarm to report at now, CLOCK_MONOTONIC_RAW in ns: the one
// with the highest priority of its own and others. It also reports whether that
// is another one than before.
func (j *Judge) Decide(now int64, others ...reason.Code) (top Alarm, changed bool) {
	alarms := append(j.receiver.current(now), j.startup.alarms...)
	if j.ramp.alarm.raised {
		alarms = append(alarms, Alarm{Code: reason.ReferenceDrift})
	}
	j.began(alarms)
	alarms = append(alarms, j.outside)
	for _, code := range others {
		alarms = append(alarms, Alarm{Code: code})
	}
	top = highest(alarms...)
	changed = top.Code != j.reported.Code || top.Detail != j.reported.Detail
	j.reported = top
	return top, changed
}

// began makes an event of each alarm that was not raised at the last decision.
func (j *Judge) began(alarms []Alarm) {
	var now [reason.Count]bool
	for _, a := range alarms {
		now[a.Code] = true
		if j.raised[a.Code] {
			continue
		}
		e := reason.Event{Code: a.Code}
		if a.Remedy != "" {
			e.Fields = []any{"remedy", a.Remedy}
		}
		j.event(e)
	}
	j.raised = now
}

// Events returns what is to be counted and logged since the last call, in order.
func (j *Judge) Events() []reason.Event {
	all := j.events
	j.events = nil
	return all
}

func (j *Judge) event(e reason.Event) { j.events = append(j.events, e) }
