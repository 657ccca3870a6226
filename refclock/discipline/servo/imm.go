// Package servo estimates phase and frequency of one clock from offsets once a
// second, learns the noise of both, and computes frequency corrections.
//
// Units: ns, ppb (1 ppb = 1 ns/s), seconds. Signs: offset = clock - reference.
package servo

import (
	"math"
	"slices"
)

// A Bank estimates phase and frequency error of a clock with many two-state
// Kalman filters at once. Each assumes another ratio of oscillator noise (white
// FM, random-walk FM) to measurement noise, and learns the measurement noise
// itself from its own innovations; the filters are weighted by how well they
// foretell the measurements (interacting multiple models, Blom and Bar-Shalom
// 1988, with the transition "rarely, to any model"). So the noise is learned
// while the estimate already uses it, and a sudden change of the oscillator
// (a draught, a jump) moves the weight to the quick filters at once and back.
type Bank struct {
	m     []model
	prior []float64 // transition weights
	n     float64   // effective number of innovations behind the noise estimates
	ready int       // measurements since Reset
	seed  Noise     // where the noise estimates start

	e Estimate // of the last Advance or Update

	odds [watched]float64 // squared innovations over what was expected, the last
	seen int              // of them since the last look
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
	q1, q2        float64
	lg, to        float64 // decade of q2; weight for changes towards it
	w, v          float64 // probability; the same with belief
	x, y          float64
	p11, p12, p22 float64
	r             float64 // measurement variance, ns^2
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
	switching = 1e-3
	// rarer is by how much, in nats, a change is the less likely for each
	// decade of random walk: draughts are more frequent than knocks, and a
	// single odd measurement must not wake the quickest filters.
	rarer = 2
	// whitePrior is the weight of a filter with white FM against one without;
	// there are several of the former for one of the latter, and they are no
	// explanation of a change.
	whitePrior = 0.1
	// takeover is the part of the common state that a filter of no weight of
	// its own takes over with each measurement.
	takeover = 0.05
	// memory is the number of measurements over which measurement noise is
	// learned; it bounds the error of the estimate to some percent.
	memory = 600
	// prune is the weight, against the heaviest, below which a filter is held
	// only for a change to come and does not count in the covariance.
	prune = 0.02
	// watched is over how many innovations it is looked whether the noise was
	// learned far too large, as by spikes among the first pulses, and tooLarge how
	// small the largest of their squares is then, against nine times what was
	// expected: by chance once in years.
	watched, tooLarge = 24, 0.05
	wholeNS           = 1 // ns: readings have whole ns and may agree for long
	// firstNoise is where an unknown measurement noise starts, ns; two
	// measurements outweigh it.
	firstNoise = 60
	minNoise   = 0.05 // ns: no clock stamps better
	// badWhite (ppb at 1 s) and badWalk (ppb per sqrt(s)) are beyond what cheap
	// crystals do.
	badWhite, badWalk = 20, 10
)

// NewBank returns an empty bank that knows nothing.
func NewBank() *Bank {
	b := &Bank{seed: Noise{MeasNS: firstNoise}}
	for d := float64(minQ2); d <= maxQ2; d += 0.5 {
		q2 := math.Pow(10, d)
		// White FM matters from about the square root of the walk on.
		b.m = append(b.m, model{q1: 0, q2: q2, lg: d})
		for q1 := math.Sqrt(q2); q1 < math.Min(math.Pow(10, maxQ1), whiteToWalk*q2)*1.0001; q1 *= 10 {
			b.m = append(b.m, model{q1: q1, q2: q2, lg: d})
		}
	}
	b.prior = make([]float64, len(b.m))
	b.Learn(Noise{})
	return b
}

// Learn gives the bank what an earlier run learned, with the weight of a
// belief, not of a measurement; zero fields are unknown.
func (b *Bank) Learn(k Noise) {
	b.seed = Noise{MeasNS: firstNoise}
	if k.MeasNS > 0 {
		b.seed = k
	}
	r := b.seed.MeasNS * b.seed.MeasNS
	sum := 0.0
	for i := range b.m {
		b.prior[i] = 1
		if b.m[i].q1 > 0 {
			b.prior[i] = whitePrior
		}
		if k.MeasNS > 0 && k.WalkFM > 0 {
			d2 := math.Log10(b.m[i].q2 * r / (k.WalkFM * k.WalkFM))
			d1 := math.Log10((b.m[i].q1*r + 1e-6) / (k.WhiteFM*k.WhiteFM + 1e-6))
			b.prior[i] *= 0.05 + math.Exp(-(d1*d1+d2*d2)/2)
		}
		sum += b.prior[i]
	}
	for i := range b.prior {
		b.prior[i] /= sum
	}
	b.Reset(0, 0)
	b.ready = 0
}

// Reset forgets phase, and sets the frequency error to freq +- sigma ppb; what
// was learned of the noise by Learn stays.
func (b *Bank) Reset(freq, sigma float64) {
	if !(sigma > 0) {
		sigma = 1e6
	}
	b.n, b.ready, b.seen = 1, 0, 0
	for i := range b.m {
		m := &b.m[i]
		m.w = b.prior[i]
		m.r = b.seed.MeasNS * b.seed.MeasNS
		m.x, m.y = 0, freq
		m.p11, m.p12, m.p22 = 0, 0, sigma*sigma/m.r
	}
	b.combine()
}

// Ready returns the number of measurements taken since Reset.
func (b *Bank) Ready() int { return b.ready }

// Estimate returns the combined estimate as of the last call.
func (b *Bank) Estimate() Estimate { return b.e }

// Noise returns what has been learned.
func (b *Bank) Noise() Noise {
	return Noise{MeasNS: math.Sqrt(b.e.R), WhiteFM: math.Sqrt(b.e.Q1), WalkFM: math.Sqrt(b.e.Q2)}
}

// Save keeps all that the bank knows in dst, for Restore. It reuses dst's
// memory.
func (b *Bank) Save(dst *Bank) {
	m := append(dst.m[:0], b.m...)
	*dst = *b
	dst.m = m
}

// Restore takes back what Save kept in src, which stays as it is.
func (b *Bank) Restore(src *Bank) { src.Save(b) }

// Advance carries the estimate dt seconds on, during which corrections moved
// the clock by moved ns.
func (b *Bank) Advance(dt, moved float64) {
	if b.ready == 0 || !(dt >= 0) {
		return
	}
	for i := range b.m {
		m := &b.m[i]
		m.x += m.y*dt + moved
		m.p11 += 2*m.p12*dt + m.p22*dt*dt + m.q1*dt + m.q2*dt*dt*dt/3
		m.p12 += m.p22*dt + m.q2*dt*dt/2
		m.p22 += m.q2 * dt
	}
	b.combine()
}

// Shift moves the phase by a step of the clock of d ns.
func (b *Bank) Shift(d float64) {
	for i := range b.m {
		b.m[i].x += d
	}
	b.combine()
}

// Turn changes the frequency error by ppb: something outside the measurements
// foretold it.
func (b *Bank) Turn(ppb float64) {
	if ppb == 0 || b.ready == 0 {
		return
	}
	for i := range b.m {
		b.m[i].y += ppb
	}
	b.combine()
}

// Loosen adds uncertainty: phase ns and freq ppb, as standard deviations.
func (b *Bank) Loosen(phase, freq float64) {
	for i := range b.m {
		m := &b.m[i]
		m.p11 += phase * phase / m.r
		m.p22 += freq * freq / m.r
	}
	b.combine()
}

// Sigmas returns how many standard deviations a measurement dt seconds after
// the last call is, when it lies dev ns from the prediction. While little is
// known it is divided by what Student's distribution allows more than the
// normal one.
func (b *Bank) Sigmas(dev, dt float64) float64 {
	if b.ready == 0 {
		return 0
	}
	return dev / math.Sqrt(b.e.Gate+b.e.Var(dt)-b.e.P11) / (1 + 8/b.n)
}

// Update takes a measurement of z ns at the instant of the last Advance.
func (b *Bank) Update(z float64) {
	if b.ready == 0 {
		for i := range b.m {
			m := &b.m[i]
			m.x, m.p11, m.p12 = z, 1, 0
		}
		b.ready = 1
		b.combine()
		return
	}
	b.ready++
	b.odds[b.seen%watched] = (z - b.e.Phase) * (z - b.e.Phase) / b.e.Gate
	if b.seen++; b.seen == watched {
		b.deflate()
	}
	// Likelihood: Student's t with n degrees of freedom, as the measurement
	// noise of each filter is itself an estimate.
	best := math.Inf(-1)
	var logw [256]float64
	for i := range b.m {
		m := &b.m[i]
		v := m.p11 + 1
		e := z - m.x
		d := e * e / v
		l := math.Log(m.w) - 0.5*math.Log(m.r*v) - (b.n+1)/2*math.Log1p(d/(b.n*m.r))
		logw[i] = l
		best = math.Max(best, l)
		k1, k2 := m.p11/v, m.p12/v
		m.x += k1 * e
		m.y += k2 * e
		p12, p22 := m.p12/v, m.p22-k2*m.p12
		m.p11, m.p12, m.p22 = m.p11/v, p12, p22
		// Beyond three standard deviations a measurement says little of the
		// ordinary noise.
		if b.ready > 8 {
			d = math.Min(d, 9*m.r)
		}
		m.r = math.Max((m.r*b.n+d)/(b.n+1), minNoise*minNoise)
	}
	b.n = math.Min(b.n+0.85, memory)
	sum := 0.0
	for i := range b.m {
		b.m[i].w = math.Exp(logw[i] - best)
		sum += b.m[i].w
	}
	for i := range b.m {
		b.m[i].w /= sum
	}
	b.mix()
	b.combine()
}

// deflate looks whether the noise was learned far too large: all of the last
// innovations are far within it. What is much too large falls only as fast as it
// is outnumbered. All else of a filter is in units of its noise and goes with it.
func (b *Bank) deflate() {
	b.seen = 0
	f := slices.Max(b.odds[:]) / 9 // they stay within three standard deviations
	if !(f < tooLarge) || b.e.R < wholeNS*wholeNS {
		return
	}
	for i := range b.m {
		m := &b.m[i]
		m.r = math.Max(m.r*f, math.Min(m.r, wholeNS*wholeNS))
	}
	b.n = math.Min(b.n, watched)
	b.combine()
}

// mix lets the oscillator change its ways: with probability switching, weight
// moves to any filter, and filters whose weight came that way slowly take over
// the common state. Slowly, so that they keep a view of their own to be judged
// by. The measurement noise is not the oscillator's and is not mixed.
func (b *Bank) mix() {
	x, y := b.mean()
	var c11, c12, c22 float64
	for i := range b.m {
		m := &b.m[i]
		dx, dy := m.x-x, m.y-y
		c11 += m.v * (m.r*m.p11 + dx*dx)
		c12 += m.v * (m.r*m.p12 + dx*dy)
		c22 += m.v * (m.r*m.p22 + dy*dy)
	}
	// Changes are the rarer the larger they are.
	at := 0.0
	for i := range b.m {
		at += b.m[i].v * b.m[i].lg
	}
	sum := 0.0
	for i := range b.m {
		m := &b.m[i]
		m.to = b.prior[i] * math.Exp(-rarer*math.Abs(m.lg-at))
		sum += m.to
	}
	for i := range b.m {
		m := &b.m[i]
		in := switching * m.to / sum
		w := (1-switching)*m.w + in
		mu := takeover * in / w
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

// belief is what a weight is multiplied with for the oscillator it assumes:
// none is believed to be much worse than a bad crystal before the measurements
// say so with more than a few words.
func belief(q1, q2 float64) float64 {
	a, b := q1/(badWhite*badWhite), q2/(badWalk*badWalk)
	return 1 / (1 + a*math.Sqrt(a) + b*math.Sqrt(b))
}

// mean makes the weights that the estimate uses, and the common state.
func (b *Bank) mean() (x, y float64) {
	sum := 0.0
	for i := range b.m {
		m := &b.m[i]
		m.v = m.w * belief(m.q1*m.r, m.q2*m.r)
		sum += m.v
	}
	for i := range b.m {
		m := &b.m[i]
		m.v /= sum
		x += m.v * m.x
		y += m.v * m.y
	}
	return x, y
}

// combine makes the common estimate.
func (b *Bank) combine() {
	e := Estimate{}
	e.Phase, e.Freq = b.mean()
	e.N = b.n
	top := 0.0
	for i := range b.m {
		top = math.Max(top, b.m[i].v)
	}
	var sum, all float64
	for i := range b.m {
		m := &b.m[i]
		dx, dy := m.x-e.Phase, m.y-e.Freq
		all += m.v * (m.r*(m.p11+1) + dx*dx)
		if m.v < prune*top {
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
	b.e = e
}
