// Package servo estimates phase and frequency of one clock from offsets once a
// second, learns the noise of both, and computes frequency corrections.
//
// Units: ns, ppb (1 ppb = 1 ns/s), seconds. Signs: offset = clock - reference.
package servo

import (
	"math"
	"slices"
)

// A IMM estimates phase and frequency error of a clock with many two-state
// Kalman filters at once. Each assumes another ratio of oscillator noise (white
// FM, random-walk FM) to measurement noise, and learns the measurement noise
// itself from its own innovations; the filters are weighted by how well they
// foretell the measurements (interacting multiple models, Blom and Bar-Shalom
// 1988, with the transition "rarely, to any model"). So the noise is learned
// while the estimate already uses it, and a sudden change of the oscillator
// (a draught, a jump) moves the weight to the quick filters at once and back.
type IMM struct {
	models  []model
	prior   []float64 // transition weights
	dof     float64   // effective number of innovations behind the noise estimates
	count   int       // measurements since Reset
	initial Noise     // where the noise estimates start

	est Estimate // of the last Advance or Update

	ratios     [checkWindow]float64 // squared innovations over what was expected, the last
	sinceCheck int                  // of them since the last look
}

// Noise is what is known of measurement and oscillator.
type Noise struct {
	MeasNS  float64 // standard deviation of one measurement, ns
	WhiteFM float64 // white FM, ppb at 1 s
	WalkFM  float64 // random-walk FM, ppb per sqrt(s)
}

// Estimate is the combined state of a Bank. Growth in time t without
// measurements: var(t) = P11 + 2 P12 t + P22 t^2 + Q1 t + Q2 t^3/3.
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
	decade, switchTo float64 // decade of q2; weight for changes towards it
	w, v             float64 // probability; the same with belief
	x, y             float64
	p11, p12, p22    float64
	r                float64 // measurement variance, ns^2
}

const (
	minQ2, maxQ2 = -11, 3 // decades of random walk to measurement noise, per s
	maxQ1        = 3      // decades of white FM to measurement noise
	// whiteToWalk is the largest believable ratio of white FM to random walk, in
	// s; oscillators known have 1 to 2e4.
	whiteToWalk = 1e5
	// switching is the probability per measurement that the oscillator behaves
	// otherwise from now on. It keeps every filter at hand for a change, and
	// limits how much evidence a change has to overcome.
	switchProb = 1e-3
	// rarer is by how much, in nats, a change is the less likely for each
	// decade of random walk: draughts are more frequent than knocks, and a
	// single odd measurement must not wake the quickest filters.
	switchPenalty = 2
	// whitePrior is the weight of a filter with white FM against one without;
	// there are several of the former for one of the latter, and they are no
	// explanation of a change.
	whitePrior = 0.1
	// takeover is the part of the common state that a filter of no weight of
	// its own takes over with each measurement.
	mixing = 0.05
	// memory is the number of measurements over which measurement noise is
	// learned; it bounds the error of the estimate to some percent.
	noiseMemory = 600
	// prune is the weight, against the heaviest, below which a filter is held
	// only for a change to come and does not count in the covariance.
	negligible = 0.02
	// watched is over how many innovations it is looked whether the noise was
	// learned far too large, as by spikes among the first pulses, and tooLarge how
	// small the largest of their squares is then, against nine times what was
	// expected: by chance once in years.
	checkWindow, inflatedBelow = 24, 0.05
	quantumNS                  = 1 // ns: readings have whole ns and may agree for long
	// firstNoise is where an unknown measurement noise starts, ns; two
	// measurements outweigh it.
	firstNoise = 60
	minNoise   = 0.05 // ns: no clock stamps better
	// badWhite (ppb at 1 s) and badWalk (ppb per sqrt(s)) are beyond what cheap
	// crystals do.
	badWhite, badWalk = 20, 10
)

// NewIMM returns an empty bank that knows nothing.
func NewIMM() *IMM {
	b := &IMM{initial: Noise{MeasNS: firstNoise}}
	for d := float64(minQ2); d <= maxQ2; d += 0.5 {
		q2 := math.Pow(10, d)
		// White FM matters from about the square root of the walk on.
		b.models = append(b.models, model{q1: 0, q2: q2, decade: d})
		for q1 := math.Sqrt(q2); q1 < math.Min(math.Pow(10, maxQ1), whiteToWalk*q2)*1.0001; q1 *= 10 {
			b.models = append(b.models, model{q1: q1, q2: q2, decade: d})
		}
	}
	b.prior = make([]float64, len(b.models))
	b.SetPrior(Noise{})
	return b
}

// SetPrior gives the bank what an earlier run learned, with the weight of a
// belief, not of a measurement; zero fields are unknown.
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

// Reset forgets phase, and sets the frequency error to freq +- sigma ppb; what
// was learned of the noise by Learn stays.
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

// Save keeps all that the bank knows in dst, for Restore. It reuses dst's
// memory.
func (b *IMM) Save(dst *IMM) {
	m := append(dst.models[:0], b.models...)
	*dst = *b
	dst.models = m
}

// Restore takes back what Save kept in src, which stays as it is.
func (b *IMM) Restore(src *IMM) { src.Save(b) }

// Advance carries the estimate dt seconds on, during which corrections moved
// the clock by moved ns.
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

// AddPhase moves the phase by a step of the clock of d ns.
func (b *IMM) AddPhase(d float64) {
	for i := range b.models {
		b.models[i].x += d
	}
	b.combine()
}

// AddFreq changes the frequency error by ppb: something outside the measurements
// foretold it.
func (b *IMM) AddFreq(ppb float64) {
	if ppb == 0 || b.count == 0 {
		return
	}
	for i := range b.models {
		b.models[i].y += ppb
	}
	b.combine()
}

// Inflate adds uncertainty: phase ns and freq ppb, as standard deviations.
func (b *IMM) Inflate(phase, freq float64) {
	for i := range b.models {
		m := &b.models[i]
		m.p11 += phase * phase / m.r
		m.p22 += freq * freq / m.r
	}
	b.combine()
}

// Sigmas returns how many standard deviations a measurement dt seconds after
// the last call is, when it lies dev ns from the prediction. While little is
// known it is divided by what Student's distribution allows more than the
// normal one.
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
	// Likelihood: Student's t with n degrees of freedom, as the measurement
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
		// Beyond three standard deviations a measurement says little of the
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

// deflate looks whether the noise was learned far too large: all of the last
// innovations are far within it. What is much too large falls only as fast as it
// is outnumbered. All else of a filter is in units of its noise and goes with it.
func (b *IMM) deflate() {
	b.sinceCheck = 0
	f := slices.Max(b.ratios[:]) / 9 // they stay within three standard deviations
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

// mix lets the oscillator change its ways: with probability switching, weight
// moves to any filter, and filters whose weight came that way slowly take over
// the common state. Slowly, so that they keep a view of their own to be judged
// by. The measurement noise is not the oscillator's and is not mixed.
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
	// Changes are the rarer the larger they are.
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

// plausibility is what a weight is multiplied with for the oscillator it assumes:
// none is believed to be much worse than a bad crystal before the measurements
// say so with more than a few words.
func plausibility(q1, q2 float64) float64 {
	a, b := q1/(badWhite*badWhite), q2/(badWalk*badWalk)
	return 1 / (1 + a*math.Sqrt(a) + b*math.Sqrt(b))
}

// mean makes the weights that the estimate uses, and the common state.
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

// combine makes the common estimate.
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
