package discipline

import (
	"math"

	"noonmark/refclock/status"
)

// enter changes state and reason; a reason alone is no transition.
func (c *Controller) enter(s status.State, r Reason) {
	if s == c.st.State && r == c.st.Reason {
		return
	}
	if r != c.st.Reason {
		c.st.Counts[r]++
	}
	c.st.State, c.st.Reason = s, r
}

// reacquire gives up phase and second and starts over; the frequency stays.
func (c *Controller) reacquire(r Reason) {
	if c.imm.Count() > 30 {
		c.learned = c.Export()
	}
	c.trains.clear()
	c.voter.restart()
	c.rejects.clear()
	c.imm.Reset(-c.freq, c.cfg.MaxErrorPPB)
	c.prediction.Reset()
	c.comp.Restart()
	c.hist.reset()
	c.labelled, c.stepping = false, false
	c.verified, c.minBound, c.rejectHint, c.jump, c.drift, c.estimateAge, c.alternative = 0, 0, 0, 0, 0, 0, alternative{}
	c.enter(status.Acquiring, r)
}

// distrust stops trusting pulses for reason r.
func (c *Controller) distrust(r Reason) {
	if c.distrusted != None && c.distrusted != r && r != Doubted {
		return // the first reason stays until it is gone
	}
	c.distrusted = r
	c.verified = 0
	switch c.st.State {
	case status.Locked, status.Holdover:
		if c.st.State == status.Locked || c.st.Reason == Returning {
			c.forgetRecent(r)
		}
		c.enter(status.Holdover, r)
		c.ctrlMono = math.MinInt64 / 2 // the next Tick corrects: nobody takes an Action here
	case status.Acquiring:
		c.reacquire(r)
		c.enter(status.Unlocked, r)
	default:
		if c.st.State != status.Faulty {
			c.enter(c.st.State, r)
		}
	}
}

// forgetRecent forgets the last pulses if r means that they may have lied. A
// receiver that is merely silent has not said so: then it is as if the pulses
// had stopped.
func (c *Controller) forgetRecent(r Reason) {
	if r == NoMessages {
		c.pulsesStopped()
		return
	}
	if p := c.beforeSuspect(); p != nil {
		c.rollback(p)
	}
}

// restoreTrust trusts pulses again, once verified.
func (c *Controller) restoreTrust() {
	c.distrusted = None
	c.verified = 0
	switch c.st.State {
	case status.Faulty:
		c.enter(status.Holdover, Returning)
	case status.Holdover:
		c.enter(status.Holdover, Returning)
	case status.Unlocked:
		c.enter(status.Unlocked, Starting)
	}
}

// checkPulses looks for missing ones.
func (c *Controller) checkPulses(mono int64) {
	if !c.anyPulse {
		if c.st.State == status.Unlocked && c.voter.lastValid != 0 && c.distrusted == None { // a doubt is named rather than what it makes us miss
			c.enter(status.Unlocked, NoPulse)
		}
		return
	}
	gap := mono - max(c.lastPulse, c.stepMono)
	if gap <= int64(c.cfg.MissAfter) {
		return
	}
	for c.missMono+1500e6 <= mono {
		c.missMono += 1e9
		c.st.Missed++
		c.st.Counts[PulseMissed]++
		if mono-c.missMono > 3600e9 {
			c.missMono = mono
		}
	}
	switch c.st.State {
	case status.Locked:
		c.rejects.clear()
		c.pulsesStopped()
		c.enter(status.Holdover, MissingPulses)
		c.ctrlMono = math.MinInt64 / 2
	case status.Holdover:
		if c.st.Reason == Returning {
			c.enter(status.Holdover, MissingPulses)
		}
		c.verified = 0
	case status.Acquiring:
		c.reacquire(NoPulse)
		c.enter(status.Unlocked, NoPulse)
	}
}
