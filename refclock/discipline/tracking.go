package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

const (
	// minLockCount is the number of measurements after which the noise is known
	// well enough for a lock.
	minLockCount = 8
	// offGridNS is the distance from the expected pulse beyond which an edge is not
	// a bad measurement but something else: the other edge of the pulse,
	// interference. It says nothing about the pulses around it.
	offGridNS = 1e6
	// unstable is the number of outliers in a row that end verification.
	unstable = 5
)

// track measures a tracked clock: the second is the clock's nearest.
func (c *machine) track(p Pulse, now int64) Action {
	e := &c.est
	pred := e.phaseAt(p.Mono)
	sec := (p.Clock - tai.Time(pred)).Round()
	if sec <= e.sec {
		return c.refuse(PulseOffGrid, now)
	}
	z := float64(p.Clock - sec)
	dt := float64(sec-e.sec) / 1e9
	edge := p.Mono - int64(z-pred) // where the second began, by the estimate
	if math.Abs(z-pred) < offGridNS {
		c.edges.recent.add(p.Mono)
	}
	switch {
	case math.Abs(e.imm.Sigmas(z-pred, dt)) <= c.cfg.Gate.Sigma:
		if r := &c.edges.rejects; r.letIn(dt, z-pred, math.Sqrt(e.imm.Estimate().R), c.st.Reason == PulseJump && r.n >= c.cfg.Gate.RejectLimit) {
			followJump(c, z-pred, e.unsure(dt, &c.cfg))
		} else {
			coverUnused(c, z-pred)
		}
		e.advance(sec, edge)
	case e.others.last.ok && math.Abs(e.imm.Sigmas(z-pred-e.others.last.at(dt), dt)) <= c.cfg.Gate.Sigma:
		// The alternative was right.
		e.departure.begin(e, sec)
		e.advance(sec, edge)
		e.imm.Inflate(math.Abs(z-pred), math.Abs(e.others.last.freq))
	default:
		c.edges.rejects.add(dt, z-pred, math.Sqrt(e.imm.Estimate().R))
		slope, ok := c.edges.rejects.ramp(c.cfg.MaxErrorPPB)
		if !ok || c.trust.drifted {
			return c.outlier(sec, p.Mono, z-pred, now)
		}
		// Several in a row on a line through the last good phase: the oscillator
		// changed its frequency. Let the filters follow.
		e.departure.begin(e, sec)
		e.advance(sec, edge)
		e.imm.Inflate(math.Abs(z-pred), math.Abs(slope))
	}
	c.edges.rejects.clear()
	c.edges.unused = unusedPulses{}
	c.bound.rejectHint = 0
	e.age, e.others = 0, alternatives{}
	e.imm.Update(z)
	e.watchDrift()
	e.remember(c.st.State == status.Locked, c.cfg.Gate.Suspect)
	e.checkPrediction()
	c.st.OffsetNS = z
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	if c.labelled {
		c.st.RefTime = p.Clock
	}
	c.edges.verified++
	c.edges.evidence++
	c.advanceState(now)
	if c.st.State == status.Locked {
		c.inherited.follow(sec, p.Mono)
	}
	if c.inherited.known && c.st.State == status.Locked {
		if why := c.inherited.settle(c, sec, p); why != None {
			c.reacquire(why)
		}
	}
	c.control.measured(e, z, now, c.st.State == status.Holdover)
	c.publish(now)
	return Action{FreqPPB: e.corr.ppb, Used: true}
}

// checkPrediction compares the estimate with what it predicted earlier.
func (e *estimate) checkPrediction() {
	x := e.imm.Estimate()
	e.osc.comp.Observe(seconds(e.mono), x.Phase-e.corr.total)
	x.Phase, x.Freq = e.freeRunning()
	e.prediction.Observe(float64(e.sec/tai.Second), x, 0)
}

// advanceState changes the state once enough pulses were verified.
func (c *machine) advanceState(now int64) {
	switch c.st.State {
	case status.Acquiring:
		if c.edges.verified >= c.cfg.Verify && c.est.imm.Count() >= minLockCount && c.labels.undisputed(&c.cfg, now) {
			c.bound.floor, c.trust.drifted = 0, false
			c.enter(status.Locked, Disciplined)
		}
	case status.Holdover, status.Faulty: // faulty: contradicted pulses are right after all
		if c.st.Reason != Returning {
			c.enter(status.Holdover, Returning)
			c.edges.verified = 1
		}
		if math.Abs(c.est.phaseAt(now)) > float64(c.cfg.SlewWithin) {
			if c.edges.verified >= c.cfg.Confirm {
				c.reacquire(OffsetTooLarge)
			}
			return
		}
		if c.edges.verified >= c.cfg.Verify {
			if c.control.pi != nil {
				c.control.pi.Reset(c.est.corr.ppb)
			}
			c.bound.floor, c.trust.drifted = 0, false
			c.enter(status.Locked, Disciplined)
		}
	}
}

// outlier handles a pulse outside the gate, which shows sec to begin at mono, dev ns
// from the prediction.
func (c *machine) outlier(sec tai.Time, mono int64, dev float64, now int64) Action {
	dt := float64(sec-c.est.sec) / 1e9
	r := PulseOutlier
	if math.Abs(dev) > offGridNS {
		r = PulseOffGrid
	}
	if math.Abs(dev) < offGridNS {
		c.edges.verified = 0
	}
	if now-c.control.mono >= 990e6 {
		c.control.correct(&c.est, now, c.st.State == status.Locked)
	}
	rejects := &c.edges.rejects
	clockUnmoved := c.steps.excludes(dev)
	c.bound.rejectHint = 0
	off, back := c.est.departure.off(&c.est, dt, dev)
	resume := func() { c.est.departure.resume(&c.est, off) }
	if !back {
		off, back = c.inherited.returned(sec, mono, dev)
		resume = func() { c.inherited.resume(c, dt, dev, off) }
	}
	if !clockUnmoved || back || c.bound.returning(dev, math.Sqrt(c.est.imm.Estimate().R)) {
		c.bound.rejectHint = rejects.hint()
	}
	if back && c.st.State != status.Acquiring && rejects.agreeing >= c.cfg.Confirm {
		resume()
		c.edges.recent = recentPulses{} // the way back is no jump
		c.bound.rejectHint = 0
		c.edges.verified = 0
		rejects.clear()
		c.st.Rollbacks++
		c.st.Counts[PulsesBack]++
		c.enter(status.Holdover, Returning)
		return c.refuse(r, now)
	}
	switch c.st.State {
	case status.Acquiring:
		if rejects.n >= unstable {
			c.reacquire(PulseJump)
		}
	case status.Locked, status.Holdover:
		c.jumped(dt, dev, clockUnmoved)
	case status.Faulty:
		// Whether the pulses were right before or are right now is open until one of
		// the two has lasted longer.
		if rejects.agreeing > max(c.edges.evidence, c.cfg.Gate.JumpConfirm) {
			c.edges.unused, c.edges.recent = unusedPulses{}, recentPulses{} // that they jumped says that they are right now
			c.reacquire(PulseJump)
		}
	}
	return c.refuse(r, now)
}

// followJump makes the clock follow a jump of the pulses by ns, signed, measured to unsure
// ns: nothing from before it is compared with what comes after it.
func followJump(c *machine, ns, unsure float64) {
	c.est.breakOff()
	c.edges.recent = recentPulses{}
	c.bound.jump.follow(ns, unsure)
	if c.bound.jump == (jump{}) {
		c.inherited.JumpedNS, c.inherited.JumpedErr = 0, 0
	}
}

// coverUnused covers a jump that the pulses made while they were not used, if a pulse dev
// ns from its prediction shows that they are still there.
func coverUnused(c *machine, dev float64) {
	sigma := math.Sqrt(c.est.imm.Estimate().R)
	if j := c.edges.unused.displaced(dev, sigma); j != 0 {
		followJump(c, j, 2*displacedSigma*sigma)
	}
	c.edges.unused = unusedPulses{}
}

// jumped decides what a tracked clock does about pulses that agree with each other, dt
// s after the last good one and dev ns from their prediction. clockUnmoved: it was not
// the clock that moved.
func (c *machine) jumped(dt, dev float64, clockUnmoved bool) {
	rejects := &c.edges.rejects
	if rejects.n < c.cfg.Gate.RejectLimit {
		return
	}
	if c.st.State == status.Locked {
		c.enter(status.Holdover, PulseJump)
		return
	}
	settled := rejects.agreeing >= c.cfg.Gate.JumpConfirm
	unserved := c.st.Bound > c.st.Floor+float64(c.cfg.Limit)
	switch {
	case clockUnmoved && c.edges.provisional() && rejects.agreeing >= c.cfg.Gate.RejectLimit:
		c.enter(status.Faulty, PulseJump)
	case settled && (!clockUnmoved || c.bound.reverts(dev, math.Sqrt(c.est.imm.Estimate().R))):
		// Clock or reference moved, nothing shows which, and not far; or the pulses
		// are back where they were. Follow. The inflated estimate lets the next pulse
		// through the gate.
		c.edges.unused = unusedPulses{} // this jump contains what they did
		followJump(c, dev, c.est.unsure(dt, &c.cfg))
		c.est.imm.Inflate(math.Abs(dev), 0)
		rejects.clear()
		c.enter(status.Holdover, Returning)
	case settled && unserved:
		// The clock is not served any more, so nothing is lost. But it was the
		// reference that moved, then or now, and the bound covers how far.
		unsure := c.est.unsure(dt, &c.cfg)
		c.edges.unused = unusedPulses{} // this jump contains what they did
		c.reacquire(PulseJump)
		followJump(c, dev, unsure)
		c.inherited.known = false // a lock of this run has judged the jump
	default:
		c.enter(status.Holdover, PulseJump)
	}
}
