package discipline

import (
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// conditions are what the owner of the clock reports besides pulses, labels and
// readings. They decide, together with the servo's own state, what Status
// reports.
type conditions struct {
	lost    reason.Code // why there is no clock; None: there is one
	opened  bool        // ClockOpened was called
	maxFreq float64     // of the clock opened last, ppb
	denied  bool        // the clock may be read but not adjusted
	moving  bool        // a step is under way; ended by Stepped

	leapUndecided bool
	alarm         alarm

	// What was last refused before it reached the Controller; it explains why
	// messages or pulses are missing.
	message, pulse refusal
}

// alarm is what speaks against the reference as a whole.
type alarm struct {
	on     bool
	code   reason.Code
	detail string // further words for the published text: the names of witnesses
}

// refusal is an input that was refused by the owner of the clock.
type refusal struct {
	code reason.Code
	mono int64 // CLOCK_MONOTONIC_RAW, ns
}

// refusalAge is how long, ns, a refusal explains missing messages or pulses.
const refusalAge = 30e9

// explains reports whether the refusal explains what is missing at mono.
func (r refusal) explains(mono int64) bool { return r.code != reason.None && mono-r.mono < refusalAge }

// ClockLost reports that there is no clock to be disciplined, and why. Call it
// before the first ClockOpened if the clock is still to be opened; a new
// Controller assumes that the clock is there. A clock that was lost for another
// reason and is now merely missing keeps the first reason. Until ClockOpened,
// neither Pulse nor Tick may be called.
func (c *Controller) ClockLost(code reason.Code) {
	x := &c.cond
	switch {
	case code == reason.None:
		code = reason.ClockMissing
	case code == reason.ClockMissing && x.opened && x.lost != reason.None:
		return
	}
	x.lost = code
}

// ClockOpened reports that the clock was opened, for the first time or again,
// and the largest correction it accepts, in ppb (0 = unknown). A clock with
// another limit than before is another device: everything learned of the old one is
// forgotten, and what Import took is not used again. It returns whether that is
// so. If the same device moved meanwhile, report that with Stepped.
func (c *Controller) ClockOpened(maxFreqPPB float64) (replaced bool) {
	x := &c.cond
	replaced = x.opened && maxFreqPPB != x.maxFreq
	if !x.opened || replaced {
		cfg := c.given
		if maxFreqPPB > 0 && (cfg.MaxFreqPPB == 0 || maxFreqPPB < cfg.MaxFreqPPB) {
			cfg.MaxFreqPPB = maxFreqPPB
		}
		imported := c.imported
		c.restart(cfg)
		if !replaced {
			c.Import(imported)
		}
	}
	x.opened, x.maxFreq, x.lost = true, maxFreqPPB, reason.None
	return replaced
}

// restart forgets everything but the counters and the reported conditions.
func (c *Controller) restart(cfg Config) {
	n := New(cfg)
	n.given, n.cond = c.given, c.cond
	s := &c.st
	n.st.Pulses, n.st.BadPulses, n.st.Missed = s.Pulses, s.BadPulses, s.Missed
	n.st.Labelled, n.st.BadLabels, n.st.Steps = s.Labelled, s.BadLabels, s.Steps
	n.st.Rollbacks, n.st.Counts = s.Rollbacks, s.Counts
	if n.cond.alarm.on {
		n.distrusted, n.st.Reason = Doubted, Doubted
	}
	*c = *n
}

// ClockDenied reports that the clock may be read but not adjusted. Until
// ClockAllowed, Pulse must not be called: the Controller would count with
// corrections that were never made.
func (c *Controller) ClockDenied() { c.cond.denied = true }

// ClockAllowed reports at mono that the clock may be adjusted again. It ran
// without corrections meanwhile, so phase and second are acquired anew.
func (c *Controller) ClockAllowed(mono int64) {
	if c.cond.denied {
		c.cond.denied = false
		c.Stepped(mono, 1)
	}
}

// ClockMoving reports that the clock is being stepped, or was moved by an
// amount that is not known yet. Until Stepped, Status reports an unusable clock.
func (c *Controller) ClockMoving() { c.cond.moving = true }

// LeapUndecided reports whether a leap second that the receiver's labels show
// is still being examined. Until it is decided, Status reports a faulty clock;
// the servo goes on.
func (c *Controller) LeapUndecided(on bool) { c.cond.leapUndecided = on }

// MessageRefused reports that a time message was refused at mono before it
// became a Label. It explains NoMessages for a while.
func (c *Controller) MessageRefused(code reason.Code, mono int64) {
	c.cond.message = refusal{code, mono}
}

// PulseRefused reports that an edge was refused at mono before it became a
// Pulse. It explains NoPulse and MissingPulses for a while.
func (c *Controller) PulseRefused(code reason.Code, mono int64) {
	c.cond.pulse = refusal{code, mono}
}

// Alarm reports that the reference as a whole is not to be trusted: antenna
// open, spoofing reported, witnesses disagree. detail is appended to the published text and may
// be empty. The latest alarm replaces the one before and holds until Clear; an
// alarm that is already in force changes nothing.
func (c *Controller) Alarm(code reason.Code, detail string, mono int64) {
	a := alarm{true, code, detail}
	if a == c.cond.alarm {
		return
	}
	c.cond.alarm = a
	c.distrust(Doubted)
	c.publish(mono)
}

// Clear ends an alarm; pulses are verified before they are trusted.
func (c *Controller) Clear(mono int64) {
	c.cond.alarm = alarm{}
	if c.distrusted == Doubted {
		c.restoreTrust()
	}
	c.publish(mono)
}

// Status returns what is known as of the last call.
func (c *Controller) Status() Status {
	s, x := c.st, &c.cond
	s.ServoState, s.Moving = s.State, x.moving
	switch {
	case x.lost != reason.None:
		s.State, s.Reason, s.Cause = status.Unlocked, None, x.lost
	case x.denied:
		s.State, s.Reason, s.Cause = status.Faulty, None, reason.ClockDenied
	case x.leapUndecided && !x.moving && s.tracks():
		s.State, s.Reason, s.Cause = status.Faulty, None, reason.LeapContradicted
	default:
		c.explain(&s)
		if x.moving {
			s.State = status.Acquiring
		}
	}
	if x.lost != reason.None || x.moving || s.RefTime == 0 {
		s.Bound, s.BoundRate = unboundedNS, 0
	}
	return s
}

// explain adds the cause of the servo's state where it is known.
func (c *Controller) explain(s *Status) {
	x := &c.cond
	switch {
	case x.alarm.on && (s.Reason == Doubted || s.State == status.Unlocked):
		s.Reason, s.Cause, s.Detail = Doubted, x.alarm.code, x.alarm.detail
	case s.Reason == NoMessages && x.message.explains(s.Mono):
		s.Cause = x.message.code
	case (s.Reason == NoPulse || s.Reason == MissingPulses) && x.pulse.explains(s.Mono):
		s.Cause = x.pulse.code
	}
}

// Text renders the reason of the state for the published snapshot: the reason,
// its cause and the detail, as far as there are any. "no_pulse:
// ambiguous_edge", "doubted: witness_disagrees NAME", "clock_missing".
func (s *Status) Text() string {
	cause := s.Detail
	if s.Cause != reason.None {
		cause = s.Cause.String()
		if s.Detail != "" {
			cause += " " + s.Detail
		}
	}
	switch {
	case cause == "":
		return s.Reason.String()
	case s.Reason == None:
		return cause
	}
	return s.Reason.String() + ": " + cause
}

// tracks reports whether phase and second are known, so that the servo follows
// them.
func (s *Status) tracks() bool {
	return s.ServoState == status.Locked || s.ServoState == status.Holdover
}
