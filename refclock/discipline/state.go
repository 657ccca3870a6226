package discipline

import (
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// machine is the state machine: what is measured, what is trusted, and what
// follows from it. Its st.State and st.Reason are the servo's own.
type machine struct {
	cfg     Config // with the clock's limit and all defaults
	st      Status
	learned Learned // imported, or from before phase was lost last

	inherited inheritance // from an earlier run
	before    givenUp

	first firstCall

	est      estimate
	labelled bool // est.sec is the true second
	control  control
	bound    errorBound
	steps    stepWatch
	edges    edges
	labels   voter
	trust    trust
	step     step
}

// trust is whether the reference may be measured with.
type trust struct {
	// drifted: since the last lock there was an alarm that the pulses drift away. A
	// ramp of the pulses is no change of the oscillator then.
	drifted bool
	refuse  Reason // why pulses are refused: None (they are not), Doubted, NoMessages, VoidMessages, SecondDisputed
	alarm   alarm
}

// doubtsPulses reports whether pulses are refused because they may be wrong themselves.
// A receiver without a fix, say, lets them drift, and they jump back once it has one: such
// a jump is no evidence against them.
func (t *trust) doubtsPulses() bool {
	switch t.refuse {
	case Doubted:
		switch t.alarm.code {
		case reason.LeapUnconfirmed, reason.SecondOpposed, reason.SecondNamed, reason.WitnessAwaited:
			return false // which second they begin is open
		}
		return true
	case VoidMessages:
		return true
	}
	return false
}

// alarm is what speaks against the reference as a whole.
type alarm struct {
	on     bool
	code   reason.Code
	detail string // further words for the published text: the names of witnesses
}

// step is a step of the clock.
type step struct {
	pending   bool  // requested and not reported yet
	askedMono int64 // CLOCK_MONOTONIC_RAW (ns) of the request
	mono      int64 // CLOCK_MONOTONIC_RAW (ns) of the last step
}

// firstCall is when the first call came.
type firstCall struct {
	known bool
	mono  int64 // CLOCK_MONOTONIC_RAW, ns
}

// note takes a call.
func (f *firstCall) note(mono int64) {
	if !f.known {
		f.known, f.mono = true, mono
	}
}

// enter changes state and reason; a transition to another reason is counted.
func (c *machine) enter(s status.State, r Reason) {
	if r != c.st.Reason {
		c.st.Counts[r]++
	}
	c.st.State, c.st.Reason = s, r
}

// reacquire gives up phase and second and acquires them again; the frequency
// stays.
func (c *machine) reacquire(r Reason) {
	c.before.note(c, r)
	if c.edges.provisional() && c.edges.unused.off > c.edges.evidence {
		c.edges.unused = unusedPulses{} // they have been there for longer than the lock had lasted
	}
	coverUnused(c, c.edges.unused.dev)
	if c.est.imm.Count() > 30 {
		c.learned = c.est.export(c.learned)
	}
	c.edges.trains.clear()
	c.edges.rejects.clear()
	c.inherited.outlive(c.edges.evidence, c.labels.evidence)
	c.edges.verified, c.edges.evidence = 0, 0
	c.labels.restart()
	c.est.forget(c.cfg.MaxErrorPPB)
	c.bound.forget()
	c.labelled, c.step.pending = false, false
	c.enter(status.Acquiring, r)
}

// distrust refuses pulses from now on, for reason r.
func (c *machine) distrust(r Reason) {
	if c.trust.refuse != None && c.trust.refuse != r && r != Doubted {
		return // the first reason stays until it has ended
	}
	c.trust.refuse = r
	c.edges.verified = 0
	if r == VoidMessages {
		c.edges.recent = recentPulses{} // without a fix the receiver lets its pulses drift
	}
	if c.labelled && !c.edges.unused.on {
		c.edges.unused = unusedPulses{on: true, mono: c.est.mono}
	}
	switch c.st.State {
	case status.Locked, status.Holdover:
		if c.st.State == status.Locked || c.st.Reason == Returning {
			c.forgetRecent(r == NoMessages) // a silent receiver does not mean wrong pulses
		}
		c.enter(status.Holdover, r)
		c.control.soon() // no Action is returned here
	case status.Acquiring:
		c.reacquire(r)
		c.enter(status.Unlocked, r)
	default:
		if c.st.State != status.Faulty {
			c.enter(c.st.State, r)
		}
	}
}

// forgetRecent makes up for the last pulses, which may have been wrong already.
// If they only stopped, without a warning, they are forgotten only if they
// deviated.
func (c *machine) forgetRecent(stopped bool) {
	if stopped && !c.est.pulsesStopped(c.cfg.Gate.Suspect) || !stopped && !c.est.forgetSuspect(c.cfg.Gate.Suspect) {
		return
	}
	c.bound.rejectHint = 0
	c.edges.rejects.clear()
	c.st.Rollbacks++
}

// restoreTrust accepts pulses again, which are verified first. A second that labels
// dispute stays in dispute when another reason ends.
func (c *machine) restoreTrust() {
	if c.st.State == status.Faulty && c.st.Reason == SecondDisputed && c.labels.disputes > 0 {
		c.trust.refuse = SecondDisputed
		return
	}
	c.trust.refuse = None
	c.edges.verified = 0
	switch c.st.State {
	case status.Faulty, status.Holdover:
		switch {
		case c.edges.unused.off < c.cfg.Gate.RejectLimit:
			c.enter(status.Holdover, Returning)
		case c.edges.provisional():
			c.enter(status.Faulty, PulseJump)
		default:
			c.enter(status.Holdover, PulseJump)
		}
	case status.Unlocked:
		c.enter(status.Unlocked, Starting)
	}
}

func (c *machine) refuse(r Reason, now int64) Action {
	c.st.BadPulses++
	c.st.Counts[r]++
	c.publish(now)
	return Action{FreqPPB: c.est.corr.ppb, Reason: r}
}

// checkPulses looks for missing pulses.
func (c *machine) checkPulses(mono int64) {
	if !c.edges.any {
		// An alarm is reported rather than the pulses that it makes us miss.
		if c.st.State == status.Unlocked && c.labels.lastValid != 0 && c.trust.refuse == None {
			c.enter(status.Unlocked, NoPulse)
		}
		return
	}
	gap := mono - max(c.edges.last, c.step.mono)
	if gap <= int64(c.cfg.Gate.MissAfter) {
		return
	}
	n := c.edges.countMissed(mono)
	c.st.Missed += n
	c.st.Counts[PulseMissed] += n
	switch c.st.State {
	case status.Locked:
		c.edges.rejects.clear()
		c.forgetRecent(true)
		c.enter(status.Holdover, MissingPulses)
		c.control.soon()
	case status.Holdover:
		if c.st.Reason == Returning {
			c.enter(status.Holdover, MissingPulses)
		}
		c.edges.verified = 0
	case status.Acquiring:
		c.reacquire(NoPulse)
		c.enter(status.Unlocked, NoPulse)
	}
}
