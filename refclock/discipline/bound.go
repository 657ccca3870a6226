package discipline

import (
	"math"

	"noonmark/refclock/status"
	"time"
)

const (
	unboundedNS  = math.MaxInt64 / 2 // ns, where nothing is known
	jumpMemory   = 3600e9            // ns for which the bound covers a jump that may have been the reference's
	farSigma     = 4.2               // standard deviations of a prediction over half a minute and more
	lostSecondNS = 0.4e9             // ns: with such a bound the nearest second may be the wrong one
	// driftSpread is what part of the spread counts on top of a drift.
	driftSpread = 0.4
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
	slow := c.comp.Export()
	s.TempC, s.TempMono, s.TempPPB, s.TempLagS, s.AgeingPPB = c.osc.reading, c.osc.readAt, slow.Temp.Value, slow.LagS, slow.Age.Value
	if c.imm.Count() > 0 {
		n := c.imm.Noise()
		s.NoiseNS, s.WhiteFM, s.WalkFM = n.MeasNS, n.WhiteFM, n.WalkFM
		s.DriftPPB = c.oscillatorFreq()
		s.EstNS = c.phaseAt(mono)
	}
	if !c.labelled || c.imm.Count() < 2 {
		s.Bound, s.BoundRate = unboundedNS, 0
		return
	}
	// It holds until the next edge is due: right after an edge the estimate is
	// at its best, but a reader comes at any time, and what a receiver wanders
	// is seen by no estimate.
	s.Floor = c.crossWidth / 2
	left := 1 - float64(mono-c.edgeMono)*1e-9
	b0 := math.Max(c.boundIn(mono, 0), c.boundIn(mono, math.Max(left, 0)))
	b := math.Max(b0, c.minBound)
	s.Bound, s.BoundRate = b, c.growth(mono, b)
	if s.State == status.Holdover && s.Reason != Returning || s.State == status.Faulty {
		c.minBound = b0
		if b > lostSecondNS {
			c.reacquire(HoldoverSpent)
			s.Bound, s.BoundRate = unboundedNS, 0
		}
	}
}

// boundIn returns the bound of |clock - true time| t seconds after mono if
// nothing is measured or corrected until then, ns.
func (c *Controller) boundIn(mono int64, t float64) float64 {
	e := c.imm.Estimate()
	at := float64(mono-c.edgeMono)*1e-9 + t
	slow, unsure := c.predictAhead(mono, at, t)
	x := c.phaseAt(mono) + (c.oscillatorFreq()+c.freq)*t + slow
	// Noise learned from few measurements may be far from the truth.
	jump := 0.0
	if mono-c.jumpMono < jumpMemory {
		jump = c.jump
	}
	k := c.sigmas(at+c.estimateAge) * (1 + 8/e.N) * c.prediction.Factor(at+c.estimateAge)
	sys := math.Max(float64(c.cfg.Systematic), c.receiverError)
	spread := k * math.Sqrt(math.Max(e.Var(at), 0)+unsure*unsure)
	// A drift is what the pulses themselves show of it; the spread is for what
	// they do not.
	spread = math.Max(spread+math.Max(c.rejectHint, jump), driftSpread*spread+c.drift)
	return sys + c.crossWidth/2 + math.Max(math.Abs(x), math.Abs(x+c.alternative.at(at))) + spread
}

// sigmas is the bound's width for a prediction over t seconds, in standard
// deviations. What a receiver wanders unseen weighs most right after a pulse;
// over longer times the oscillator does, whose noise is learned.
func (c *Controller) sigmas(t float64) float64 {
	near, far := c.cfg.BoundSigma, math.Min(c.cfg.BoundSigma, farSigma)
	k := math.Max(0, math.Min(1, math.Log2(math.Max(t, 1))/5)) // from 1 s to 32 s
	return near + (far-near)*k
}

// growth returns a rate, ns/s, such that b + rate*t covers the bound for all t
// until Limit, with the correction in force left as it is: the reader of a
// snapshot whose writer died has no more than that. The true growth goes with
// t^1.5, so the rate is that of the steepest chord up to where Limit is
// reached; from there on the line stays above Limit.
func (c *Controller) growth(mono int64, b float64) float64 {
	limit := c.st.Floor + float64(c.cfg.Limit)
	rate := 0.0
	for t, prev := 0.25, 0.0; t < 1e7; t *= 1.25 {
		v := c.boundIn(mono, t)
		if v > limit && prev > 0 {
			// Where it crosses the limit.
			lo, hi := prev, t
			for range 5 {
				if m := (lo + hi) / 2; c.boundIn(mono, m) > limit {
					hi = m
				} else {
					lo = m
				}
			}
			rate = math.Max(rate, (limit-b)/lo)
			break
		}
		rate = math.Max(rate, (v-b)/t)
		prev = t
	}
	// The chord changes little between two looks.
	return 1.02 * rate
}

// receiverAccuracy takes the receiver's own estimate of its error.
func (c *Controller) receiverAccuracy(d time.Duration) {
	if d > 0 {
		c.receiverError += (float64(d) - c.receiverError) / 16
	}
}
