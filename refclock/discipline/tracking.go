package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// offGrid is so far from the grid, ns, that an edge is no bad measurement of the
// second but something else: the other edge of the pulse, interference. It says
// nothing of the pulses between which it comes.
const offGridNS = 1e6

// track measures a tracked clock: the second is the clock's nearest.
func (c *Controller) track(p Pulse, now int64) Action {
	pred := c.phaseAt(p.Mono)
	sec := (p.Clock - tai.Time(pred)).Round()
	if sec <= c.sec {
		return c.refuse(PulseOffGrid, now)
	}
	z := float64(p.Clock - sec)
	e := c.imm.Estimate()
	dt := float64(sec-c.sec) / 1e9
	edge := p.Mono - int64(z-pred) // where the second began, by the estimate
	switch {
	case math.Abs(c.imm.Sigmas(z-pred, dt)) <= c.cfg.GateSigma:
		c.advance(sec, edge)
	case c.alternative.ok && math.Abs(c.imm.Sigmas(z-pred-c.alternative.at(dt), dt)) <= c.cfg.GateSigma:
		// The second opinion was right.
		c.advance(sec, edge)
		c.imm.Inflate(math.Abs(z-pred), math.Abs(c.alternative.freq))
	default:
		c.rejects.add(dt, z-pred, math.Sqrt(e.R))
		y, ok := c.rejects.ramp(c.cfg.MaxErrorPPB)
		if !ok {
			return c.outlier(z-pred, now)
		}
		// Several in a row on a line through the last good phase: the
		// oscillator changed its frequency. Let the filters follow.
		c.advance(sec, edge)
		c.imm.Inflate(math.Abs(z-pred), math.Abs(y))
	}
	c.rejects.clear()
	c.rejectHint, c.estimateAge, c.alternative = 0, 0, alternative{}
	c.imm.Update(z)
	c.watchDrift()
	c.remember()
	c.checkPrediction()
	c.st.OffsetNS = z
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	if c.labelled {
		c.st.RefTime = p.Clock
	}
	c.verified++
	c.advanceState(now)
	c.steer(z, now)
	c.publish(now)
	return Action{FreqPPB: c.freq, Used: true}
}

// advanceState moves the state on when enough pulses were verified.
func (c *Controller) advanceState(now int64) {
	switch c.st.State {
	case status.Acquiring:
		if c.verified >= c.cfg.Verify && c.imm.Count() >= minLockCount && c.voter.undisputed(c.cfg, now) {
			c.minBound = 0
			c.enter(status.Locked, Disciplined)
		}
	case status.Holdover:
		if c.st.Reason != Returning {
			c.enter(status.Holdover, Returning)
			c.verified = 1
		}
		if math.Abs(c.phaseAt(now)) > float64(c.cfg.SlewWithin) {
			if c.verified >= c.cfg.Confirm {
				c.reacquire(OffsetTooLarge)
			}
			return
		}
		if c.verified >= c.cfg.Verify {
			c.minBound = 0
			if c.pi != nil {
				c.pi.Reset(c.freq)
			}
			c.enter(status.Locked, Disciplined)
		}
	}
}

// clockUnmoved reports whether the clock itself can't have moved by dev ns, because
// CLOCK_MONOTONIC_RAW would have shown it: then it is the pulses that did.
func (c *Controller) clockUnmoved(dev float64) bool {
	l := &c.steps
	return l.count >= trainedAfter && math.Abs(dev) > 2*l.tolerance(1e9, l.freq, 0)
}

// outlier handles a pulse outside the gate, dev ns from the prediction.
func (c *Controller) outlier(dev float64, now int64) Action {
	r := PulseOutlier
	if math.Abs(dev) > offGridNS {
		r = PulseOffGrid
	}
	if math.Abs(dev) < offGridNS {
		c.verified = 0
	}
	if now-c.ctrlMono >= 990e6 {
		c.control(now)
	}
	c.rejectHint = 0
	if !c.clockUnmoved(dev) {
		c.rejectHint = c.rejects.hint()
	}
	switch c.st.State {
	case status.Acquiring:
		if c.rejects.n >= 5 {
			c.reacquire(PulseJump)
		}
	case status.Locked:
		if c.rejects.n >= c.cfg.RejectLimit {
			c.enter(status.Holdover, PulseJump)
		}
	case status.Holdover:
		settled := c.rejects.agreeing >= c.cfg.JumpConfirm
		switch {
		case settled && !c.clockUnmoved(dev):
			// Clock or reference moved, nothing tells which, and not far:
			// follow, and let the bound remember. The looser estimate lets
			// the next pulse through the gate.
			c.imm.Inflate(math.Abs(dev), 0)
			c.jump, c.jumpMono = math.Abs(dev), now
			c.rejects.clear()
			c.enter(status.Holdover, Returning)
		case settled && c.st.Bound > c.st.Floor+float64(c.cfg.Limit):
			// Nothing to lose any more. But it was the reference that moved, then or
			// now, and the bound remembers by how much.
			c.reacquire(PulseJump)
			c.jump, c.jumpMono = math.Abs(dev), now
		case c.rejects.n >= c.cfg.RejectLimit:
			c.enter(status.Holdover, PulseJump)
		}
	}
	return c.refuse(r, now)
}
