package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// offGrid is so far from the grid, ns, that an edge is no bad measurement of the
// second but something else: the other edge of the pulse, interference. It says
// nothing of the pulses between which it comes.
const offGrid = 1e6

// track measures a tracked clock: the second is the clock's nearest.
func (c *Controller) track(p Pulse, now int64) Action {
	pred := c.phaseAt(p.Mono)
	sec := (p.Clock - tai.Time(pred)).Round()
	if sec <= c.sec {
		return c.refuse(PulseOffGrid, now)
	}
	z := float64(p.Clock - sec)
	e := c.bank.Estimate()
	dt := float64(sec-c.sec) / 1e9
	edge := p.Mono - int64(z-pred) // where the second began, by the estimate
	switch {
	case math.Abs(c.bank.Sigmas(z-pred, dt)) <= c.cfg.GateSigma:
		c.advance(sec, edge)
	case c.other.ok && math.Abs(c.bank.Sigmas(z-pred-c.other.at(dt), dt)) <= c.cfg.GateSigma:
		// The second opinion was right.
		c.advance(sec, edge)
		c.bank.Loosen(math.Abs(z-pred), math.Abs(c.other.freq))
	default:
		c.rejects.add(dt, z-pred, math.Sqrt(e.R))
		y, ok := c.rejects.ramp(c.cfg.MaxErrorPPB)
		if !ok {
			return c.outlier(z-pred, now)
		}
		// Several in a row on a line through the last good phase: the
		// oscillator changed its frequency. Let the filters follow.
		c.advance(sec, edge)
		c.bank.Loosen(math.Abs(z-pred), math.Abs(y))
	}
	c.rejects.clear()
	c.extra, c.blind, c.other = 0, 0, rival{}
	c.bank.Update(z)
	c.watchDrift()
	c.remember()
	c.foresee()
	c.st.OffsetNS = z
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	if c.labelled {
		c.st.RefTime = p.Clock
	}
	c.verify++
	c.settle(now)
	c.steer(z, now)
	c.publish(now)
	return Action{FreqPPB: c.freq, Used: true}
}

// settle moves the state on when enough pulses were verified.
func (c *Controller) settle(now int64) {
	switch c.st.State {
	case status.Acquiring:
		if c.verify >= c.cfg.Verify && c.bank.Ready() >= ripe && c.voter.calm(c.cfg, now) {
			c.floor = 0
			c.enter(status.Locked, Disciplined, now)
		}
	case status.Holdover:
		if c.st.Reason != Returning {
			c.enter(status.Holdover, Returning, now)
			c.verify = 1
		}
		if math.Abs(c.phaseAt(now)) > float64(c.cfg.SlewWithin) {
			if c.verify >= c.cfg.Confirm {
				c.reacquire(OffsetTooLarge, now)
			}
			return
		}
		if c.verify >= c.cfg.Verify {
			c.floor = 0
			if c.pi != nil {
				c.pi.Reset(c.freq)
			}
			c.enter(status.Locked, Disciplined, now)
		}
	}
}

// innocent reports whether the clock itself can't have moved by dev ns, because
// CLOCK_MONOTONIC_RAW would have shown it: then it is the pulses that did.
func (c *Controller) innocent(dev float64) bool {
	l := &c.line
	return l.n >= lineReady && math.Abs(dev) > 2*l.tolerance(1e9, l.freq, 0)
}

// outlier handles a pulse outside the gate, dev ns from the prediction.
func (c *Controller) outlier(dev float64, now int64) Action {
	r := PulseOutlier
	if math.Abs(dev) > offGrid {
		r = PulseOffGrid
	}
	if math.Abs(dev) < offGrid {
		c.verify = 0
	}
	if now-c.ctrlMono >= 990e6 {
		c.control(now)
	}
	c.extra = 0
	if !c.innocent(dev) {
		c.extra = c.rejects.hint()
	}
	switch c.st.State {
	case status.Acquiring:
		if c.rejects.n >= 5 {
			c.reacquire(PulseJump, now)
		}
	case status.Locked:
		if c.rejects.n >= c.cfg.RejectLimit {
			c.enter(status.Holdover, PulseJump, now)
		}
	case status.Holdover:
		settled := c.rejects.agreeing >= c.cfg.JumpConfirm
		switch {
		case settled && !c.innocent(dev):
			// Clock or reference moved, nothing tells which, and not far:
			// follow, and let the bound remember. The looser estimate lets
			// the next pulse through the gate.
			c.bank.Loosen(math.Abs(dev), 0)
			c.jump, c.jumpT = math.Abs(dev), now
			c.rejects.clear()
			c.enter(status.Holdover, Returning, now)
		case settled && c.st.Bound > c.st.Floor+float64(c.cfg.Limit):
			// Nothing to lose any more. But it was the reference that moved, then or
			// now, and the bound remembers by how much.
			c.reacquire(PulseJump, now)
			c.jump, c.jumpT = math.Abs(dev), now
		case c.rejects.n >= c.cfg.RejectLimit:
			c.enter(status.Holdover, PulseJump, now)
		}
	}
	return c.refuse(r, now)
}
