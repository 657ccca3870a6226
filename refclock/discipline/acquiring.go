package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/status"
)

// acquire finds the grid of the pulses and, with labels, the second.
func (c *Controller) acquire(p Pulse, now int64) Action {
	if c.cond.alarm.on {
		return c.refuse(PulseDoubted, now)
	}
	tr, verdict := c.trains.add(p, c.cfg)
	switch {
	case verdict == AmbiguousEdge:
		c.explainAcquiring(AmbiguousEdge, now)
		return c.refuse(AmbiguousEdge, now)
	case verdict != None:
		return c.refuse(verdict, now)
	case tr == nil:
		c.explainAcquiring(Labelling, now)
		c.publish(now)
		return Action{FreqPPB: c.freq} // the first of its row
	}
	if c.imm.Count() == 0 || tr.id != c.trains.usedID {
		// Start the estimate anew from this row.
		c.trains.usedID = tr.id
		c.startEstimate()
		for i := range tr.n {
			c.measure(tr.clock[i], tr.mono[i])
		}
	} else {
		c.measure(p.Clock, p.Mono)
	}
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	shift, ok := tai.Time(0), c.cfg.GivenSecond
	if !ok {
		shift, ok = c.voter.agreed(c.cfg.Confirm)
	}
	if tr.count < c.cfg.Confirm || c.imm.Count() < 2 {
		c.explainAcquiring(Labelling, now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	reason := Labelling
	if math.Abs(c.imm.Estimate().Freq) > c.cfg.MaxFreqPPB {
		reason, ok = FreqLimit, false
	}
	c.cancelDrift(now) // the rate can be put right before the second is known
	if !ok {
		c.explainAcquiring(reason, now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	x := c.phaseAt(now)
	if shift == 0 && math.Abs(x) <= float64(c.cfg.StepOver) {
		c.labelled = true
		c.verified = 0
		c.trains.clear()
		c.enter(status.Acquiring, Verifying)
		c.control(now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	c.stepping, c.stepAskedMono = true, now
	c.enter(status.Acquiring, Stepping)
	c.publish(now)
	return Action{FreqPPB: c.freq, Step: time.Duration(shift) - time.Duration(math.Round(x)), Used: true, Reason: Stepping}
}

// explainAcquiring says why there is no lock yet: for want of messages, or for r.
func (c *Controller) explainAcquiring(r Reason, now int64) {
	if w := c.labelSilence(now); w != None || c.voter.lastValid == 0 && !c.cfg.GivenSecond {
		if w == None {
			w = NoMessages
		}
		c.enter(status.Unlocked, w)
		return
	}
	c.enter(status.Acquiring, r)
}

// startEstimate makes the estimate ready for the first pulse of a track.
func (c *Controller) startEstimate() {
	freq, sigma := 0.0, c.cfg.MaxErrorPPB
	if c.learned.OK {
		c.imm.SetPrior(servo.Noise{MeasNS: c.learned.NoiseNS, WhiteFM: c.learned.WhiteFM, WalkFM: c.learned.WalkFM})
		freq, sigma = -c.learned.FreqPPB, c.learned.sigma()
	}
	c.imm.Reset(freq, sigma)
	c.prediction.Reset()
	c.voter.restart() // its votes are for another count of seconds
	c.total, c.labelled = 0, false
	c.osc.freqTotal, c.osc.phaseTotal = 0, 0
	c.comp.Restart()
}

// measure measures with a pulse of the chosen track.
func (c *Controller) measure(clock tai.Time, mono int64) {
	sec := clock.Round()
	if c.imm.Count() > 0 {
		// The count goes on from the last pulse, wherever the clock stands.
		sec = c.sec + (clock - (c.sec + tai.Time(c.imm.Estimate().Phase))).Round()
		c.advance(sec, mono)
	} else {
		c.sec, c.edgeMono = sec, mono
		c.moved, c.freqMono = 0, mono
		c.osc.restart(mono, c.comp.CrystalTemp())
	}
	z := float64(clock - sec)
	if c.imm.Count() > 4 && math.Abs(c.imm.Sigmas(z-c.imm.Estimate().Phase, 0)) > c.cfg.GateSigma {
		c.st.Counts[PulseOutlier]++
		return
	}
	c.imm.Update(z)
	c.st.OffsetNS = z
}
