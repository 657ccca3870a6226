package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// acquire finds the fraction of the second from the pulses and, with labels,
// the second.
func (c *machine) acquire(p Pulse, now int64) Action {
	if c.trust.alarm.on {
		return c.refuse(PulseDoubted, now)
	}
	if c.labels.silence(&c.cfg, c.first.mono, now) == VoidMessages {
		c.inherited.began, c.edges.recent = began{}, recentPulses{} // without a fix the receiver lets its pulses drift
	} else {
		c.inherited.begin(p, pulseNoise(c))
	}
	train, r := c.edges.trains.add(p, &c.cfg)
	switch {
	case r == AmbiguousEdge:
		c.explainAcquiring(AmbiguousEdge, now)
		return c.refuse(AmbiguousEdge, now)
	case r != None:
		return c.refuse(r, now)
	case train == nil: // the first of its train
		c.explainAcquiring(Labelling, now)
		c.publish(now)
		return Action{FreqPPB: c.est.corr.ppb}
	}
	c.edges.recent.add(p.Mono)
	c.measureTrain(train, p)
	c.inherited.among(c, p) // for takeOver, and for the next run if there is no lock
	c.st.Pulses++
	c.st.PulseMono = p.Mono
	used := func(r Reason) Action {
		c.explainAcquiring(r, now)
		c.publish(now)
		return Action{FreqPPB: c.est.corr.ppb, Used: true}
	}
	if train.count < c.cfg.Confirm || c.est.imm.Count() < 2 {
		return used(Labelling)
	}
	shift, known := tai.Time(0), c.cfg.GivenSecond
	if !known {
		shift, known = c.labels.agreed(c.cfg.Confirm)
	}
	beyond := math.Abs(c.est.imm.Estimate().Freq) > c.cfg.MaxFreqPPB
	c.control.cancelDrift(&c.est, now) // does not depend on the second
	switch {
	case beyond:
		return used(FreqLimit)
	case !known:
		return used(Labelling)
	}
	x := c.est.phaseAt(now)
	compared := c.inherited.known
	noise := pulseNoise(c)
	why, j := c.inherited.judge(c.est.sec+shift, p.Mono, noise.ofLine(p), float64(c.cfg.Limit))
	if why != None {
		return used(why)
	}
	if compared {
		if j == (jump{}) {
			j = c.inherited.moved(c.est.sec+shift, p, noise)
		}
		c.inherited.takeOver(c, j, c.est.sec+shift, p.Mono)
	} else if j, ok := c.before.jumped(c.est.sec+shift, p.Mono, noise.ofLine(p)); ok {
		c.bound.reduce(j)
	}
	if shift == 0 && math.Abs(x) <= float64(c.cfg.StepOver) {
		c.labelled = true
		c.edges.verified = 0
		c.edges.trains.clear()
		c.enter(status.Acquiring, Verifying)
		c.control.correct(&c.est, now, false)
		c.publish(now)
		return Action{FreqPPB: c.est.corr.ppb, Used: true}
	}
	c.step.pending, c.step.askedMono = true, now
	c.enter(status.Acquiring, Stepping)
	c.publish(now)
	return Action{FreqPPB: c.est.corr.ppb, Step: time.Duration(shift) - time.Duration(math.Round(x)), Used: true, Reason: Stepping}
}

// measureTrain measures with the last edge of a train, p, or with all of them if
// the estimate was made from another train.
func (c *machine) measureTrain(train *pulseTrain, p Pulse) {
	clocks, monos := []tai.Time{p.Clock}, []int64{p.Mono}
	if c.est.imm.Count() == 0 || train.id != c.edges.trains.usedID {
		c.edges.trains.usedID = train.id
		c.est.start(c.learned, c.cfg.MaxErrorPPB)
		c.labels.restart() // its votes count seconds from another train
		c.labelled = false
		clocks, monos = train.clock[:train.n], train.mono[:train.n]
	}
	for i := range clocks {
		if z, ok := c.est.measure(clocks[i], monos[i], c.cfg.Gate.Sigma); ok {
			c.st.OffsetNS = z
		} else {
			c.st.Counts[PulseOutlier]++
		}
	}
}

// explainAcquiring reports why there is no lock yet: missing messages, or r.
func (c *machine) explainAcquiring(r Reason, now int64) {
	silence := c.labels.silence(&c.cfg, c.first.mono, now)
	if silence == None && c.labels.lastValid == 0 && !c.cfg.GivenSecond {
		silence = NoMessages
	}
	if silence != None {
		c.enter(status.Unlocked, silence)
		return
	}
	c.enter(status.Acquiring, r)
}
