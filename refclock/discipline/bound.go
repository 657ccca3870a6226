package discipline

import (
	"math"
	"time"

	"noonmark/refclock/status"
)

// errorBound is what the bound covers besides the estimate's own spread, in ns.
type errorBound struct {
	floor      float64 // in holdover, the bound does not fall below it until pulses are verified
	rejectHint float64 // refused pulses that agree with each other hint at such an error
	jump       jump
	left       float64 // distance of a new lock's pulses from the line of an earlier run, while they are compared: they may drift
	leaving    float64 // growth of that, ns/s
	earlier    float64 // such jumps of an earlier run, of which only the size is known
	bracket    float64 // slowly falling maximum of the brackets of cross timestamps
	receiver   float64 // the receiver's own estimate of its error, smoothed

	forecastOf status.State // the state for which the bound was carried ahead last
}

const (
	unboundedNS = math.MaxInt64 / 2 // the bound where nothing is known
	farSigma    = 4.2               // standard deviations of a prediction over half a minute and more
	// lostSecondNS is the bound at which the nearest second may be the wrong one,
	// with a margin.
	lostSecondNS = 0.4e9
	// revertedPart is the part of a jump that may be left when the pulses jump back:
	// both jumps are measured with the pulses' noise, on a clock that drifted
	// meanwhile.
	revertedPart = 0.1
	// returningPart is how many times as far as pulses went they may come back, and
	// returningSigma by how many standard deviations of a measurement more.
	returningPart, returningSigma = 4, 50
	// driftSpread is the part of the spread that is added to a drift.
	driftSpread = 0.4
)

// forget drops what refers to the estimate. The bracket, the receiver's estimate
// and unexplained jumps stay: that phase was found anew explains no jump.
func (b *errorBound) forget() { b.floor, b.rejectHint, b.left, b.leaving = 0, 0, 0, 0 }

// jump is the sum of the jumps of the pulses that were followed and that nothing
// explains.
type jump struct {
	ns     float64 // signed
	unsure float64 // error of ns: that of the prediction that the pulses left
}

// follow notes that the clock follows a jump of the pulses by ns, signed, measured to
// unsure ns. Time alone does not confirm it: the bound covers it until the pulses jump
// back, or independent evidence confirms where they are now.
func (j *jump) follow(ns, unsure float64) {
	j.ns += ns
	j.unsure += unsure
	if math.Abs(j.ns) < revertedPart*math.Abs(ns) {
		*j = jump{} // back where they were, to within the noise of two jumps
	}
}

// knownPart is the part of a jump to which a line must be known to show that pulses are
// back on it.
const knownPart = 0.25

// reduce takes the jump that pulses show which were acquired anew: they may be back, or
// nearer to where they were.
func (b *errorBound) reduce(j jump) {
	switch was := &b.jump; {
	case math.Abs(j.ns)+j.unsure >= math.Abs(was.ns)+was.unsure:
	case j.unsure < knownPart*math.Abs(was.ns) && math.Abs(j.ns) < max(j.unsure, revertedPart*math.Abs(was.ns)):
		*was = jump{}
	default:
		*was = j
	}
}

// confirm takes evidence that the clock is within ns of true time.
func (b *errorBound) confirm(ns float64) {
	j, ns := &b.jump, math.Abs(ns)
	j.ns = math.Copysign(math.Min(math.Abs(j.ns), ns), j.ns)
	j.unsure = math.Min(j.unsure, ns-math.Abs(j.ns))
	b.earlier = math.Min(b.earlier, ns)
}

// unexplained returns the size of the jumps that the bound covers, ns.
func (b *errorBound) unexplained() float64 {
	return math.Abs(b.jump.ns) + b.jump.unsure + b.earlier
}

// reverts reports whether a jump of ns takes the pulses back to where they were
// before the jumps that were followed.
func (b *errorBound) reverts(ns, sigma float64) bool {
	return b.jump.ns != 0 && math.Abs(b.jump.ns+ns) < revertedPart*math.Abs(b.jump.ns)+6*sigma
}

// returning reports whether a jump of ns takes the pulses back towards where they were
// before the jumps and drifts that were followed, measured to sigma ns. They may be right
// then. The clock may have gone farther meanwhile than they had, but not many times as far.
func (b *errorBound) returning(ns, sigma float64) bool {
	went := b.jump.ns + b.left
	return ns*went < 0 && math.Abs(ns) <= returningPart*math.Abs(went)+returningSigma*sigma
}

// receiverAccuracy takes the receiver's own estimate of its error.
func (b *errorBound) receiverAccuracy(d time.Duration) {
	if d > 0 {
		b.receiver += (float64(d) - b.receiver) / 16
	}
}

// in returns the bound of |clock - true time| t seconds after mono if nothing is
// measured or corrected until then, ns.
func (b *errorBound) in(e *estimate, cfg *Config, mono int64, t float64) float64 {
	change, unsure := e.osc.ahead(mono, e.mono, t, t)
	return b.around(e, cfg, mono, t, e.phaseAt(mono)+(e.freq()+e.corr.ppb)*t+change, unsure)
}

// corrected returns the bound t seconds after mono, ns, if nothing is measured until
// then, and what is known of phase and frequency is corrected.
func (b *errorBound) corrected(e *estimate, cfg *Config, mono int64, t float64) float64 {
	_, unsure := e.osc.ahead(mono, e.mono, t, 0)
	return b.around(e, cfg, mono, t, 0, unsure)
}

// around returns the bound t seconds after mono, ns, if the clock is then expected off
// by phase, ns; unsure is the standard deviation of that, apart from the estimate's.
func (b *errorBound) around(e *estimate, cfg *Config, mono int64, t, phase, unsure float64) float64 {
	x := e.imm.Estimate()
	at := float64(mono-e.mono)*1e-9 + t
	k := e.sigmas(at, cfg)
	sys := max(float64(cfg.Systematic), b.receiver)
	spread := k * math.Sqrt(max(x.Var(at), 0)+unsure*unsure)
	// The pulses themselves show a drift; the spread is for what they do not show.
	spread = max(spread+max(b.rejectHint, b.unexplained()), driftSpread*spread+max(e.drift, driftMargin*math.Abs(b.left+b.leaving*at)))
	return sys + b.bracket/2 + max(math.Abs(phase), math.Abs(phase+e.others.last.at(at)), math.Abs(phase+e.others.left.at(at))) + spread
}

// sigmas returns the bound's width for a prediction over t seconds, in standard
// deviations. Noise learned from few measurements may be far from the truth.
func (e *estimate) sigmas(t float64, cfg *Config) float64 {
	return sigmas(t+e.age, cfg.BoundSigma) * (1 + 8/e.imm.Estimate().N) * e.prediction.Factor(t+e.age)
}

// unsure returns the error of a prediction dt seconds after the estimate's edge, ns.
func (e *estimate) unsure(dt float64, cfg *Config) float64 {
	return e.sigmas(dt, cfg) * math.Sqrt(max(e.imm.Estimate().Var(dt), 0))
}

// sigmas returns the bound's width for a prediction over t seconds, in standard
// deviations; near is that of a measurement. Right after a pulse, what a receiver wanders unseen has the most
// weight; over longer times the oscillator has, whose noise is learned.
func sigmas(t, near float64) float64 {
	far := min(near, farSigma)
	k := max(0, min(1, math.Log2(max(t, 1))/5)) // from 1 s to 32 s
	return near + (far-near)*k
}

// growth returns a rate, ns/s, such that now + rate*t covers the bound for all t
// until floor + Config.Limit, with the correction in force unchanged: the reader of a
// snapshot whose writer died knows nothing else. The true growth goes with
// t^1.5, so the rate is that of the steepest chord up to where the limit is
// reached; from there on the line stays above the limit.
func (b *errorBound) growth(e *estimate, cfg *Config, mono int64, now, floor float64) float64 {
	limit := floor + float64(cfg.Limit)
	rate := 0.0
	for t, prev := 0.25, 0.0; t < 1e7; t *= 1.25 {
		v := b.in(e, cfg, mono, t)
		if v > limit && prev > 0 {
			// Find where it crosses the limit.
			lo, hi := prev, t
			for range 5 {
				if m := (lo + hi) / 2; b.in(e, cfg, mono, m) > limit {
					hi = m
				} else {
					lo = m
				}
			}
			rate = max(rate, (limit-now)/lo)
			break
		}
		rate = max(rate, (v-now)/t)
		prev = t
	}
	// The margin is for what lies between two t.
	return 1.02 * rate
}

// publish brings the status up to mono.
func (c *machine) publish(mono int64) {
	s, e := &c.st, &c.est
	if mono < s.Mono {
		mono = s.Mono
	}
	s.Mono = mono
	s.FreqPPB = e.corr.ppb
	s.Latency = c.labels.latency
	s.Accepted, s.Agreed, s.JumpNS = c.edges.evidence, c.labels.evidence, c.bound.unexplained()
	s.RefusedNS = max(c.bound.rejectHint-s.JumpNS, 0)
	if s.AwayNS = c.edges.rejects.away(); !c.labelled && c.inherited.known {
		s.AwayNS = c.inherited.AwayNS // which nothing was compared with yet
	}
	s.Drifted, s.Inherited = c.trust.drifted, c.inherited.passOn(c)
	s.Provisional = c.labelled && (c.edges.provisional() || !c.cfg.GivenSecond && c.labels.provisional())
	k := e.osc.comp.Export()
	s.TempC, s.TempMono, s.TempPPB, s.TempLagS, s.AgeingPPB = e.osc.sensor.reading, e.osc.sensor.mono, k.Temp.Value, k.LagS, k.Age.Value
	if e.imm.Count() > 0 {
		n := e.imm.Noise()
		s.NoiseNS, s.WhiteFM, s.WalkFM = n.MeasNS, n.WhiteFM, n.WalkFM
		s.DriftPPB = e.freq()
		s.EstNS = e.phaseAt(mono)
	}
	if !c.labelled || e.imm.Count() < 2 {
		s.Bound, s.BoundRate, s.Forecast = unboundedNS, 0, Forecast{}
		return
	}
	// The bound holds until the next edge is due: the estimate is best right after
	// an edge, but readers come at any time, and no estimate shows how the receiver
	// wanders.
	s.Floor = c.bound.bracket / 2
	left := 1 - float64(mono-e.mono)*1e-9
	b0 := math.Max(c.bound.in(e, &c.cfg, mono, 0), c.bound.in(e, &c.cfg, mono, math.Max(left, 0)))
	b := math.Max(b0, c.bound.floor)
	s.Bound, s.BoundRate = b, c.bound.growth(e, &c.cfg, mono, b, s.Floor)
	if s.State == status.Holdover && s.Reason != Returning || s.State == status.Faulty {
		c.bound.floor = b0
		if b > lostSecondNS {
			c.reacquire(HoldoverSpent)
			s.Bound, s.BoundRate, s.Forecast = unboundedNS, 0, Forecast{}
			return
		}
	}
	c.bound.forecast(s, e, &c.cfg, mono)
}
