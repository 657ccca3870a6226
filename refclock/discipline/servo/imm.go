// Package servo estimates phase and frequency of one clock from offsets once a
// second, learns the noise of both, and computes frequency corrections.
//
// Units: ns, ppb (1 ppb = 1 ns/s), seconds. Signs: offset = clock - reference.
package servo

import (
	"math"
	"slices"
)

// IMM is an interacting-multiple-model estimator (Blom and Bar-Shalom, 1988) of
// the phase and frequency error of a clock. It runs many two-state Kalman filters
// at once. Each assumes another ratio of oscillator noise (white FM, random-walk
// FM) to measurement noise, and learns the measurement noise from its own
// innovations. The filters are weighted by how well they predict the
// measurements; the oscillator may rarely change from any model to any other. So
// the estimate uses the noise while it is still being learned, and a sudden
// change of the oscillator (moving air, a knock) shifts the weight to the fast
// filters at once, and back afterwards.
type IMM struct {
	models  []model
	prior   []float64 // transition weights
	dof     float64   // effective number of innovations behind the noise estimates
	count   int       // measurements since Reset
	initial Noise     // where the noise estimates start

	est Estimate // of the last Advance or Update

	ratios     [checkWindow]float64 // the last squared innovations over their expected variance
	sinceCheck int                  // of them, since the last check
}

// Noise is what is known of measurement and oscillator.
type Noise struct {
	MeasNS  float64 // standard deviation of one measurement, ns
	WhiteFM float64 // white FM, ppb at 1 s
	WalkFM  float64 // random-walk FM, ppb per sqrt(s)
}

// Estimate is the combined state of the filters. Variance of the phase after t
// more seconds without measurements: var(t) = P11 + 2 P12 t + P22 t^2 + Q1 t + Q2 t^3/3.
type Estimate struct {
	Phase, Freq   float64 // ns, ppb: offset of the clock, frequency error of the free oscillator
	P11, P12, P22 float64 // their covariance: ns^2, ns ppb, ppb^2
	Q1, Q2        float64 // growth: white FM^2, random-walk FM^2
	R             float64 // variance of one measurement, ns^2
	N             float64 // effective number of measurements that the noise was learned from
	Gate          float64 // variance of the next measurement around Phase, ns^2
}

// Var returns the variance of the phase after t more seconds without
// measurements, in ns^2.
func (e Estimate) Var(t float64) float64 {
	return e.P11 + 2*e.P12*t + e.P22*t*t + e.Q1*t + e.Q2*t*t*t/3
}

// model is one Kalman filter. Covariance and process noise are in units of its
// measurement variance.
type model struct {
	q1, q2           float64
	decade, switchTo float64 // decade of q2; weight of changes to this model
	w, v             float64 // probability; the same weighted with plausibility
	x, y             float64 // phase, ns; frequency, ppb
	p11, p12, p22    float64 // their covariance
	r                float64 // measurement variance, ns^2
}

const (
	minQ2, maxQ2 = -11, 3 // decades of random walk to measurement noise, per s
	maxQ1        = 3      // decades of white FM to measurement noise
	// whiteToWalk is the largest plausible ratio of white FM to random walk, in
	// s; known oscillators have 1 to 2e4.
	whiteToWalk = 1e5
	// switchProb is the probability per measurement that the oscillator changes to
	// another model. It keeps every filter available for a change, and limits how
	// much evidence a change has to overcome.
	switchProb = 1e-3
	// switchPenalty lowers the probability of a change, in nats per decade of
	// random walk: small changes are more frequent than large ones, and a single
	// outlier must not activate the fastest filters.
	switchPenalty = 2
	// whitePrior is the weight of a filter with white FM relative to one without:
	// there are several of the former for each of the latter, and they do not
	// explain a change.
	whitePrior = 0.1
	// mixing is the part of the common state that a filter without any weight of
	// its own takes over with each measurement.
	mixing = 0.05
	// noiseMemory is the number of measurements over which measurement noise is
	// learned; it bounds the error of the noise to some percent.
	noiseMemory = 600
	// negligible is the weight, relative to the largest, below which a filter is
	// kept only for a future change and is left out of the covariance.
	negligible = 0.02
	// Every checkWindow innovations, the learned noise is checked: spikes among the
	// first pulses make it far too large. It is, if the largest squared innovation
	// is below inflatedBelow times nine expected variances, which happens by chance
	// once in years.
	checkWindow, inflatedBelow = 24, 0.05
	quantumNS                  = 1 // ns: readings have whole ns and may be equal for a long time
	// firstNoise is the initial measurement noise if nothing is known, ns; two
	// measurements outweigh it.
	firstNoise = 60
	minNoise   = 0.05 // ns: no clock stamps more exactly
	// badWhite (ppb at 1 s) and badWalk (ppb per sqrt(s)) exceed the noise of cheap
	// crystals.
	badWhite, badWalk = 20, 10
)

// NewIMM returns an estimator that knows nothing.
func NewIMM() *IMM {
	b := &IMM{initial: Noise{MeasNS: firstNoise}}
	for d := float64(minQ2); d <= maxQ2; d += 0.5 {
		q2 := math.Pow(10, d)
		// White FM has an effect from about the square root of the walk on.
		b.models = append(b.models, model{q1: 0, q2: q2, decade: d})
		for q1 := math.Sqrt(q2); q1 < math.Min(math.Pow(10, maxQ1), whiteToWalk*q2)*1.0001; q1 *= 10 {
			b.models = append(b.models, model{q1: q1, q2: q2, decade: d})
		}
	}
	b.prior = make([]float64, len(b.models))
	b.SetPrior(Noise{})
	return b
}

// SetPrior sets the noise that an earlier run learned, as a prior, not as a
// measurement; zero fields are unknown. It resets the estimate.
func (b *IMM) SetPrior(k Noise) {
	b.initial = Noise{MeasNS: firstNoise}
	if k.MeasNS > 0 {
		b.initial = k
	}
	r := b.initial.MeasNS * b.initial.MeasNS
	sum := 0.0
	for i := range b.models {
		b.prior[i] = 1
		if b.models[i].q1 > 0 {
			b.prior[i] = whitePrior
		}
		if k.MeasNS > 0 && k.WalkFM > 0 {
			d2 := math.Log10(b.models[i].q2 * r / (k.WalkFM * k.WalkFM))
			d1 := math.Log10((b.models[i].q1*r + 1e-6) / (k.WhiteFM*k.WhiteFM + 1e-6))
			b.prior[i] *= 0.05 + math.Exp(-(d1*d1+d2*d2)/2)
		}
		sum += b.prior[i]
	}
	for i := range b.prior {
		b.prior[i] /= sum
	}
	b.Reset(0, 0)
	b.count = 0
}

// Reset forgets the phase and the learned noise, and sets the frequency error to
// freq +- sigma ppb; the prior of SetPrior stays.
func (b *IMM) Reset(freq, sigma float64) {
	if !(sigma > 0) {
		sigma = 1e6
	}
	b.dof, b.count, b.sinceCheck = 1, 0, 0
	for i := range b.models {
		m := &b.models[i]
		m.w = b.prior[i]
		m.r = b.initial.MeasNS * b.initial.MeasNS
		m.x, m.y = 0, freq
		m.p11, m.p12, m.p22 = 0, 0, sigma*sigma/m.r
	}
	b.combine()
}

// Count returns the number of measurements taken since Reset.
func (b *IMM) Count() int { return b.count }

// Estimate returns the combined estimate as of the last call.
func (b *IMM) Estimate() Estimate { return b.est }

// Noise returns what has been learned.
func (b *IMM) Noise() Noise {
	return Noise{MeasNS: math.Sqrt(b.est.R), WhiteFM: math.Sqrt(b.est.Q1), WalkFM: math.Sqrt(b.est.Q2)}
}

// Save copies the whole state to dst, for Restore. It reuses dst's memory.
func (b *IMM) Save(dst *IMM) {
	m := append(dst.models[:0], b.models...)
	*dst = *b
	dst.models = m
}

// Restore copies the state that Save made back from src, which is not changed.
func (b *IMM) Restore(src *IMM) { src.Save(b) }

// Advance carries the estimate on by dt seconds, in which corrections moved the
// clock by moved ns.
func (b *IMM) Advance(dt, moved float64) {
	if b.count == 0 || !(dt >= 0) {
		return
	}
	for i := range b.models {
		m := &b.models[i]
		m.x += m.y*dt + moved
		m.p11 += 2*m.p12*dt + m.p22*dt*dt + m.q1*dt + m.q2*dt*dt*dt/3
		m.p12 += m.p22*dt + m.q2*dt*dt/2
		m.p22 += m.q2 * dt
	}
	b.combine()
}

// AddPhase moves the phase by d ns: the clock was stepped.
func (b *IMM) AddPhase(d float64) {
	for i := range b.models {
		b.models[i].x += d
	}
	b.combine()
}

// AddFreq changes the frequency error by ppb, as predicted by something other
// than the measurements.
func (b *IMM) AddFreq(ppb float64) {
	if ppb == 0 || b.count == 0 {
		return
	}
	for i := range b.models {
		b.models[i].y += ppb
	}
	b.combine()
}

// Inflate adds uncertainty: standard deviations of phase, ns, and freq, ppb.
func (b *IMM) Inflate(phase, freq float64) {
	for i := range b.models {
		m := &b.models[i]
		m.p11 += phase * phase / m.r
		m.p22 += freq * freq / m.r
	}
	b.combine()
}

// Sigmas returns the deviation in standard deviations of a measurement, dt
// seconds after the last call, that is dev ns from the prediction. While the
// noise rests on few measurements, the result is smaller: Student's distribution
// is wider than the normal one.
func (b *IMM) Sigmas(dev, dt float64) float64 {
	if b.count == 0 {
		return 0
	}
	return dev / math.Sqrt(b.est.Gate+b.est.Var(dt)-b.est.P11) / (1 + 8/b.dof)
}

// Update takes a measurement of z ns at the instant of the last Advance.
func (b *IMM) Update(z float64) {
	if b.count == 0 {
		for i := range b.models {
			m := &b.models[i]
			m.x, m.p11, m.p12 = z, 1, 0
		}
		b.count = 1
		b.combine()
		return
	}
	b.count++
	b.ratios[b.sinceCheck%checkWindow] = (z - b.est.Phase) * (z - b.est.Phase) / b.est.Gate
	if b.sinceCheck++; b.sinceCheck == checkWindow {
		b.deflate()
	}
	// Likelihood: Student's t with dof degrees of freedom, because the measurement
	// noise of each filter is itself an estimate.
	best := math.Inf(-1)
	var logw [256]float64
	for i := range b.models {
		m := &b.models[i]
		v := m.p11 + 1
		e := z - m.x
		d := e * e / v
		l := math.Log(m.w) - 0.5*math.Log(m.r*v) - (b.dof+1)/2*math.Log1p(d/(b.dof*m.r))
		logw[i] = l
		best = math.Max(best, l)
		k1, k2 := m.p11/v, m.p12/v
		m.x += k1 * e
		m.y += k2 * e
		p12, p22 := m.p12/v, m.p22-k2*m.p12
		m.p11, m.p12, m.p22 = m.p11/v, p12, p22
		// A measurement beyond three standard deviations shows little of the
		// ordinary noise.
		if b.count > 8 {
			d = math.Min(d, 9*m.r)
		}
		m.r = math.Max((m.r*b.dof+d)/(b.dof+1), minNoise*minNoise)
	}
	b.dof = math.Min(b.dof+0.85, noiseMemory)
	sum := 0.0
	for i := range b.models {
		b.models[i].w = math.Exp(logw[i] - best)
		sum += b.models[i].w
	}
	for i := range b.models {
		b.models[i].w /= sum
	}
	b.mix()
	b.combine()
}

// deflate lowers a noise that was learned far too large: all of the last
// innovations are far smaller. On its own, it would fall only as fast as later
// measurements outnumber the first. All else of a filter is in units of its noise
// and scales with it.
func (b *IMM) deflate() {
	b.sinceCheck = 0
	f := slices.Max(b.ratios[:]) / 9 // within three standard deviations
	if !(f < inflatedBelow) || b.est.R < quantumNS*quantumNS {
		return
	}
	for i := range b.models {
		m := &b.models[i]
		m.r = math.Max(m.r*f, math.Min(m.r, quantumNS*quantumNS))
	}
	b.dof = math.Min(b.dof, checkWindow)
	b.combine()
}

// mix lets the oscillator change its model: with probability switchProb, weight
// moves to any filter, and filters that got their weight this way slowly take
// over the common state. Slowly, so that each keeps a state of its own by which
// it is weighted. The measurement noise is not the oscillator's and is not mixed.
func (b *IMM) mix() {
	x, y := b.mean()
	var c11, c12, c22 float64
	for i := range b.models {
		m := &b.models[i]
		dx, dy := m.x-x, m.y-y
		c11 += m.v * (m.r*m.p11 + dx*dx)
		c12 += m.v * (m.r*m.p12 + dx*dy)
		c22 += m.v * (m.r*m.p22 + dy*dy)
	}
	// Large changes are rare.
	at := 0.0
	for i := range b.models {
		at += b.models[i].v * b.models[i].decade
	}
	sum := 0.0
	for i := range b.models {
		m := &b.models[i]
		m.switchTo = b.prior[i] * math.Exp(-switchPenalty*math.Abs(m.decade-at))
		sum += m.switchTo
	}
	for i := range b.models {
		m := &b.models[i]
		in := switchProb * m.switchTo / sum
		w := (1-switchProb)*m.w + in
		mu := mixing * in / w
		m.w = w
		dx, dy := m.x-x, m.y-y
		s := mu * (1 - mu) // spread of two points, of weights mu and 1-mu
		m.p11 = (1-mu)*m.p11 + (mu*c11+s*dx*dx)/m.r
		m.p12 = (1-mu)*m.p12 + (mu*c12+s*dx*dy)/m.r
		m.p22 = (1-mu)*m.p22 + (mu*c22+s*dy*dy)/m.r
		m.x -= mu * dx
		m.y -= mu * dy
	}
}

// plausibility is the factor of a filter's weight for the oscillator that it
// assumes: one that is much worse than a bad crystal takes more than a few
// measurements to be accepted.
func plausibility(q1, q2 float64) float64 {
	a, b := q1/(badWhite*badWhite), q2/(badWalk*badWalk)
	return 1 / (1 + a*math.Sqrt(a) + b*math.Sqrt(b))
}

// mean computes the weights that the estimate uses, and the common state.
func (b *IMM) mean() (x, y float64) {
	sum := 0.0
	for i := range b.models {
		m := &b.models[i]
		m.v = m.w * plausibility(m.q1*m.r, m.q2*m.r)
		sum += m.v
	}
	for i := range b.models {
		m := &b.models[i]
		m.v /= sum
		x += m.v * m.x
		y += m.v * m.y
	}
	return x, y
}

// combine computes the common estimate.
func (b *IMM) combine() {
	e := Estimate{}
	e.Phase, e.Freq = b.mean()
	e.N = b.dof
	top := 0.0
	for i := range b.models {
		top = math.Max(top, b.models[i].v)
	}
	var sum, all float64
	for i := range b.models {
		m := &b.models[i]
		dx, dy := m.x-e.Phase, m.y-e.Freq
		all += m.v * (m.r*(m.p11+1) + dx*dx)
		if m.v < negligible*top {
			continue
		}
		sum += m.v
		e.P11 += m.v * (m.r*m.p11 + dx*dx)
		e.P12 += m.v * (m.r*m.p12 + dx*dy)
		e.P22 += m.v * (m.r*m.p22 + dy*dy)
		e.R += m.v * m.r
		e.Q1 += m.v * m.q1 * m.r
		e.Q2 += m.v * m.q2 * m.r
	}
	e.P11 /= sum
	e.P12 /= sum
	e.P22 /= sum
	e.R /= sum
	e.Q1 /= sum
	e.Q2 /= sum
	e.Gate = math.Max(all, e.P11+e.R)
	b.est = e
}
