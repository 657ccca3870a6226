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
	if c.doubt != "" {
		return c.refuse(PulseDoubted, now)
	}
	tr, verdict := c.acq.add(p, c.cfg)
	switch {
	case verdict == AmbiguousEdge:
		c.seek(AmbiguousEdge, now)
		return c.refuse(AmbiguousEdge, now)
	case verdict != None:
		return c.refuse(verdict, now)
	case tr == nil:
		c.seek(Labelling, now)
		c.publish(now)
		return Action{FreqPPB: c.freq} // the first of its row
	}
	if c.bank.Ready() == 0 || tr.id != c.acq.fed {
		// Start the estimate anew from this row.
		c.acq.fed = tr.id
		c.startBank()
		for i := range tr.n {
			c.feed(tr.clock[i], tr.mono[i])
		}
	} else {
		c.feed(p.Clock, p.Mono)
	}
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	shift, ok := tai.Time(0), c.cfg.GivenSecond
	if !ok {
		shift, ok = c.voter.agreed(c.cfg.Confirm)
	}
	if tr.count < c.cfg.Confirm || c.bank.Ready() < 2 {
		c.seek(Labelling, now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	reason := Labelling
	if math.Abs(c.bank.Estimate().Freq) > c.cfg.MaxFreqPPB {
		reason, ok = FreqLimit, false
	}
	c.cancel(now) // the rate can be put right before the second is known
	if !ok {
		c.seek(reason, now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	x := c.phaseAt(now)
	if shift == 0 && math.Abs(x) <= float64(c.cfg.StepOver) {
		c.labelled = true
		c.verify = 0
		c.acq.clear()
		c.enter(status.Acquiring, Verifying, now)
		c.control(now)
		c.publish(now)
		return Action{FreqPPB: c.freq, Used: true}
	}
	c.stepping, c.askMono = true, now
	c.enter(status.Acquiring, Stepping, now)
	c.publish(now)
	return Action{FreqPPB: c.freq, Step: time.Duration(shift) - time.Duration(math.Round(x)), Used: true, Reason: Stepping}
}

// seek says why there is no lock yet: for want of messages, or for r.
func (c *Controller) seek(r Reason, now int64) {
	if w := c.silence(now); w != None || c.voter.lastValid == 0 && !c.cfg.GivenSecond {
		c.enter(status.Unlocked, max(w, NoMessages), now)
		return
	}
	c.enter(status.Acquiring, r, now)
}

// startBank makes the estimate ready for the first pulse of a track.
func (c *Controller) startBank() {
	freq, sigma := 0.0, c.cfg.MaxErrorPPB
	if c.learned.OK {
		c.bank.Learn(servo.Noise{MeasNS: c.learned.NoiseNS, WhiteFM: c.learned.WhiteFM, WalkFM: c.learned.WalkFM})
		freq, sigma = -c.learned.FreqPPB, c.learned.sigma()
	}
	c.bank.Reset(freq, sigma)
	c.fore.Reset()
	c.voter.restart() // its votes are for another count of seconds
	c.total, c.labelled = 0, false
	c.course.total, c.course.theta = 0, 0
	c.slow.Break()
}

// feed measures with a pulse of the chosen track.
func (c *Controller) feed(clock tai.Time, mono int64) {
	sec := clock.Round()
	if c.bank.Ready() > 0 {
		// The count goes on from the last pulse, wherever the clock stands.
		sec = c.sec + (clock - (c.sec + tai.Time(c.bank.Estimate().Phase))).Round()
		c.advance(sec, mono)
	} else {
		c.sec, c.edgeMono = sec, mono
		c.moved, c.freqMono = 0, mono
		c.course.restart(mono, c.slow.Low())
	}
	z := float64(clock - sec)
	if c.bank.Ready() > 4 && math.Abs(c.bank.Sigmas(z-c.bank.Estimate().Phase, 0)) > c.cfg.GateSigma {
		c.st.Counts[PulseOutlier]++
		return
	}
	c.bank.Update(z)
	c.st.OffsetNS = z
}
