package discipline

import (
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// Conditions are what the owner of the clock reports besides pulses, labels and
// readings. Together with the servo's own state they decide what Status
// reports.
type Conditions struct {
	lost          reason.Code // why there is no clock; None: there is one
	opened        bool        // ClockOpened was called
	maxFreq       float64     // of the clock opened last, ppb
	denied        bool        // the clock may be read but not adjusted
	moving        bool        // a step is under way; Stepped ends it
	leapUndecided bool

	// The last input that was refused before it reached the Controller; it
	// explains why messages or pulses are missing.
	message, pulse refusal
	port           reason.Code // what is wrong with the receiver or its port, None: nothing
}

// refusal is an input that the owner of the clock refused.
type refusal struct {
	code reason.Code
	mono int64 // CLOCK_MONOTONIC_RAW, ns
}

// refusalAge is how long, ns, a refusal explains missing messages or pulses.
const refusalAge = 30e9

// explains reports whether the refusal explains what is missing at mono.
func (r refusal) explains(mono int64) bool { return r.code != reason.None && mono-r.mono < refusalAge }

// ClockLost reports that there is no clock to be disciplined, and why. A new
// Controller assumes that there is one: call ClockLost before the first
// ClockOpened if the clock is still to be opened. Once a clock was open,
// ClockMissing does not replace an earlier reason, which says more. Until
// ClockOpened, neither Pulse nor Tick may be called.
func (x *Conditions) ClockLost(code reason.Code) {
	switch {
	case code == reason.None:
		code = reason.ClockMissing
	case code == reason.ClockMissing && x.opened && x.lost != reason.None:
		return
	}
	x.lost = code
}

// ClockDenied reports that the clock may be read but not adjusted. Until
// ClockAllowed, Pulse must not be called: the Controller would assume
// corrections that were never made.
func (x *Conditions) ClockDenied() { x.denied = true }

// ClockMoving reports that the clock is being stepped, or was moved by an
// amount that is not known yet. Until Stepped, Status reports an unusable clock.
func (x *Conditions) ClockMoving() { x.moving = true }

// LeapUndecided reports whether a leap second in the receiver's labels is still
// being examined. Meanwhile Status reports a faulty clock; the servo continues.
func (x *Conditions) LeapUndecided(on bool) { x.leapUndecided = on }

// MessageRefused reports that a time message was refused at mono before it
// became a Label. It explains NoMessages for 30 s.
func (x *Conditions) MessageRefused(code reason.Code, mono int64) { x.message = refusal{code, mono} }

// PortTrouble reports what is wrong with the receiver or its port, None for nothing.
// While it holds it explains why there are no messages.
func (x *Conditions) PortTrouble(code reason.Code) { x.port = code }

// PulseRefused reports that an edge was refused at mono before it became a
// Pulse. It explains NoPulse and MissingPulses for 30 s.
func (x *Conditions) PulseRefused(code reason.Code, mono int64) { x.pulse = refusal{code, mono} }

// ClockOpened reports that the clock was opened, for the first time or again,
// and the largest correction that it accepts, in ppb (0 = unknown). A limit that
// differs from the last one means another device: what was learned of the old
// one is forgotten, what Import set included. It returns whether that is the
// case. If the same device moved meanwhile, report that with Stepped.
func (c *Controller) ClockOpened(maxFreqPPB float64) (replaced bool) {
	replaced = c.opened && maxFreqPPB != c.maxFreq
	if !c.opened || replaced {
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
	c.opened, c.maxFreq, c.lost = true, maxFreqPPB, reason.None
	return replaced
}

// restart forgets everything but counters, conditions, an alarm and what an earlier
// run knew.
func (c *Controller) restart(cfg Config) {
	n := New(cfg)
	n.given, n.Conditions, n.st.Totals = c.given, c.Conditions, c.st.Totals
	n.bound.earlier, n.inherited, n.edges.recent = c.bound.earlier, c.inherited, c.edges.recent
	if n.trust.alarm = c.trust.alarm; n.trust.alarm.on {
		n.trust.refuse, n.st.Reason = Doubted, Doubted
	}
	*c = *n
}

// ClockAllowed reports at mono that the clock may be adjusted again. It ran
// without corrections meanwhile, so phase and second are acquired again.
func (c *Controller) ClockAllowed(mono int64) {
	if c.denied {
		c.denied = false
		c.Stepped(mono, 1)
	}
}

// Status returns what is known as of the last call.
func (c *Controller) Status() Status {
	s := c.st
	s.ServoState, s.Moving = s.State, c.moving
	switch {
	case c.lost != reason.None:
		s.State, s.Reason, s.Cause = status.Unlocked, None, c.lost
	case c.denied:
		s.State, s.Reason, s.Cause = status.Faulty, None, reason.ClockDenied
	case c.leapUndecided && !c.moving && s.Tracked():
		s.State, s.Reason, s.Cause = status.Faulty, None, reason.LeapContradicted
	default:
		c.explain(&s, c.trust.alarm)
		if c.moving {
			s.State = status.Acquiring
		}
	}
	if c.lost != reason.None || c.moving || s.RefTime == 0 {
		s.Bound, s.BoundRate, s.Forecast = unboundedNS, 0, Forecast{}
	}
	return s
}

// explain adds the cause of the servo's state if it is known.
func (x *Conditions) explain(s *Status, a alarm) {
	switch {
	case a.on && (s.Reason == Doubted || s.State == status.Unlocked || s.State == status.Acquiring): // no pulse is acquired meanwhile
		s.Reason, s.Cause, s.Detail = Doubted, a.code, a.detail
	case s.Reason == NoMessages && x.message.explains(s.Mono), s.Reason == Labelling && x.message.explains(s.Mono) && x.message.code == reason.MessageFraction:
		s.Cause = x.message.code
	case s.Reason == NoMessages || s.Reason == Starting:
		s.Cause = x.port
	case (s.Reason == NoPulse || s.Reason == MissingPulses) && x.pulse.explains(s.Mono):
		s.Cause = x.pulse.code
	}
}
