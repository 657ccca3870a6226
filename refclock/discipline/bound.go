package discipline

import (
	"math"

	"noonmark/refclock/status"
	"time"
)

const (
	unbounded  = math.MaxInt64 / 2 // ns, where nothing is known
	jumpMemory = 3600e9            // ns for which the bound covers a jump that may have been the reference's
	secondLost = 0.4e9             // ns: with such a bound the nearest second may be the wrong one
)

// publish brings the status up to mono.
func (c *Controller) publish(mono int64) {
	s := &c.st
	if mono < s.Mono {
		mono = s.Mono
	}
	s.Mono = mono
	s.FreqPPB = c.freq
	s.Latency = c.voter.latency
	e := c.bank.Estimate()
	if c.bank.Ready() > 0 {
		n := c.bank.Noise()
		s.NoiseNS, s.WhiteFM, s.WalkFM = n.MeasNS, n.WhiteFM, n.WalkFM
		s.DriftPPB = e.Freq
		s.EstNS = c.phaseAt(mono)
	}
	if !c.labelled || c.bank.Ready() < 2 {
		s.Bound, s.BoundRate = unbounded, 0
		return
	}
	// It holds until the next edge is due: right after an edge the estimate is
	// at its best, but a reader comes at any time, and what a receiver wanders
	// is seen by no estimate.
	left := 1 - float64(mono-c.edgeMono)*1e-9
	b0 := math.Max(c.boundIn(mono, 0), c.boundIn(mono, math.Max(left, 0)))
	b := math.Max(b0, c.floor)
	s.Bound, s.BoundRate = b, c.growth(mono, b)
	if s.State == status.Holdover && s.Reason != Returning || s.State == status.Faulty {
		c.floor = b0
		if b > secondLost {
			c.reacquire(HoldoverSpent, mono)
			s.Bound, s.BoundRate = unbounded, 0
		}
	}
}

// boundIn returns the bound of |clock - true time| t seconds after mono if
// nothing is measured or corrected until then, ns.
func (c *Controller) boundIn(mono int64, t float64) float64 {
	e := c.bank.Estimate()
	at := float64(mono-c.edgeMono)*1e-9 + t
	x := c.phaseAt(mono) + (e.Freq+c.freq)*t
	// Noise learned from few measurements may be far from the truth.
	jump := 0.0
	if mono-c.jumpT < jumpMemory {
		jump = c.jump
	}
	k := c.cfg.BoundSigma * (1 + 8/e.N) * c.fore.Factor(at)
	sys := math.Max(float64(c.cfg.Systematic), c.acc)
	return sys + c.width/2 + math.Abs(x) + math.Max(c.extra, jump) + k*math.Sqrt(math.Max(e.Var(at), 0))
}

// growth returns a rate, ns/s, such that b + rate*t covers the bound for all t
// until Limit, with the correction in force left as it is: the reader of a
// snapshot whose writer died has no more than that. The true growth goes with
// t^1.5, so the rate is that of the steepest chord up to where Limit is
// reached; from there on the line stays above Limit.
func (c *Controller) growth(mono int64, b float64) float64 {
	limit := float64(c.cfg.Limit)
	rate := 0.0
	for t, prev := 1.0, 0.0; t < 1e7; t *= 1.25 {
		v := c.boundIn(mono, t)
		// The bound rises monotonically, so the end of an interval over its
		// beginning covers all that lies between.
		if at := math.Max(prev, 0.5); v > b {
			rate = math.Max(rate, (v-b)/at)
		}
		if v > limit {
			break
		}
		prev = t
	}
	return rate
}

// tacc takes the receiver's own estimate of its error.
func (c *Controller) tacc(d time.Duration) {
	if d > 0 {
		c.acc += (float64(d) - c.acc) / 16
	}
}
