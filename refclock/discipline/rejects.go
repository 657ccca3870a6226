package discipline

import (
	"math"

	"noonmark/phc/tai"
)

// rejectRun keeps refused pulses in a row, to distinguish a change of the
// oscillator or of the reference from spikes.
type rejectRun struct {
	n        int        // refused seconds in a row
	agreeing int        // of them, the last that agree with each other
	first    float64    // s from the last good pulse to the first refused one
	t, d     [4]float64 // the last ones: s since the last good pulse, ns from its prediction
	sigma    float64    // standard deviation of one measurement, ns
}

func (r *rejectRun) clear() { *r = rejectRun{} }

// add takes a refused pulse: t s after the last good one, d ns from its
// prediction.
func (r *rejectRun) add(t, d, sigma float64) {
	last := len(r.d) - 1
	if r.n > 0 && t-r.t[last] < 0.5 {
		return // the same second again
	}
	if r.n > 0 && r.agrees(t, d, sigma) {
		r.agreeing++
	} else {
		r.agreeing = 1
	}
	if r.n == 0 {
		r.first = t
	}
	copy(r.t[:], r.t[1:])
	copy(r.d[:], r.d[1:])
	r.t[last], r.d[last] = t, d
	r.n++
	r.sigma = sigma
}

// agrees reports whether a refused pulse agrees with those before it: they are where
// that one was, or on the line through the last two. The frequency of the prediction
// may be wrong by far: it was learned while the pulses drifted.
func (r *rejectRun) agrees(t, d, sigma float64) bool {
	last := len(r.d) - 1
	dt, rise := t-r.t[last], d-r.d[last]
	if math.Abs(rise) < pulseStep(dt, sigma) {
		return true
	}
	before := r.t[last] - r.t[last-1]
	if r.n < 2 || before <= 0 {
		return false
	}
	return math.Abs(rise/dt-(r.d[last]-r.d[last-1])/before)*dt < 25*sigma+20*dt
}

// displacedSigma is from how many standard deviations of a measurement on a pulse is
// displaced.
const displacedSigma = 6

// displaces reports whether a pulse inside the gate is where those were that the gate
// refused: it is the gate that grew with the time, and that confirms no jump.
func (r *rejectRun) displaces(t, d, sigma float64) bool {
	return math.Abs(d) > displacedSigma*sigma && r.agrees(t, d, sigma)
}

// steppedPart is by which part of the last one pulses may differ that jumped. On a line
// from the last good pulse on, four of up to fourteen differ by more.
const steppedPart = 0.25

// stepped reports whether a pulse inside the gate, and those before it that the gate
// refused, are all where one jump took them.
func (r *rejectRun) stepped(t, d, sigma float64) bool {
	if r.agreeing < min(r.n, len(r.d)) || !r.displaces(t, d, sigma) {
		return false
	}
	for i := len(r.d) - min(r.n, len(r.d)); i < len(r.d); i++ {
		if math.Abs(r.d[i]-d) > steppedPart*math.Abs(d) {
			return false
		}
	}
	return r.n > 0
}

// letIn reports whether a pulse inside the gate is where refused pulses had jumped to: it
// is the gate that grew. jumped: that they have jumped is known.
func (r *rejectRun) letIn(t, d, sigma float64, jumped bool) bool {
	return r.stepped(t, d, sigma) || jumped && r.displaces(t, d, sigma)
}

// rampPulses is the number of refused pulses up to which they can be a ramp: one that
// leaves the gate is recognised at once. Later the noise of four pulses extrapolates to
// any place.
const rampPulses = 12

// ramp reports whether the last refused pulses lie on a line that starts at the
// last good phase: an oscillator that changed its frequency by slope ppb. A
// jump of the phase does not look like that, and a burst of spikes hardly ever.
func (r *rejectRun) ramp(limit float64) (slope float64, ok bool) {
	last := len(r.d) - 1
	if r.n <= last || r.n > rampPulses || r.t[last]-r.t[0] > float64(last)+1.5 {
		return 0, false
	}
	slope = (r.d[last] - r.d[0]) / (r.t[last] - r.t[0])
	tol := 4*r.sigma + 0.15*math.Abs(r.d[last]-r.d[0]) // relative to the ramp: a spike on top of a jump is no ramp
	for i := 1; i < last; i++ {
		if math.Abs(r.d[0]+slope*(r.t[i]-r.t[0])-r.d[i]) > tol {
			return 0, false
		}
	}
	if math.Abs(slope) < r.sigma || math.Abs(slope) > limit {
		return 0, false
	}
	// The line must meet zero between the last good pulse and the first refused
	// one, with a margin for the noise and for a change that took some time. Pulses
	// refused long before the line begins rule out a ramp.
	at := r.t[0] - r.d[0]/slope
	room := 1 + 4*r.sigma/math.Abs(slope)
	return slope, at > -room && at < r.first+0.5
}

// away returns where the last pulses are that agree with each other, ns from their
// prediction; 0 if none do.
func (r *rejectRun) away() float64 {
	if r.agreeing < 2 {
		return 0
	}
	return r.d[len(r.d)-1]
}

// hint returns the clock's error, ns, if refused pulses that agree with each
// other should be right after all; 0 if they do not agree.
func (r *rejectRun) hint() float64 {
	last := len(r.d) - 1
	if r.n < 2 {
		return 0
	}
	a, b := r.d[last-1], r.d[last]
	if math.Abs(b-a) > 0.6*math.Max(math.Abs(a), math.Abs(b)) {
		return 0
	}
	return math.Abs(b) + 1.5*math.Abs(b-a)
}

// unusedPulses watches the pulses while they may not be used for a reason that says
// nothing about the pulses themselves. The gate grows meanwhile and lets pulses in that
// jumped. The zero value watches none.
type unusedPulses struct {
	on   bool
	mono int64   // CLOCK_MONOTONIC_RAW (ns) of the last one
	dev  float64 // ns: its distance from the prediction
	jump float64 // ns: the sum of their jumps
	off  int     // of them, the last in a row that were outside the gate and did not jump
}

// take takes a pulse that may not be used.
func (u *unusedPulses) take(p Pulse, e *estimate, t *trust, gateSigma float64) {
	if !u.on || t.doubtsPulses() {
		return
	}
	pred := e.phaseAt(p.Mono)
	sec := (p.Clock - tai.Time(pred)).Round()
	dev, dt := float64(p.Clock-sec)-pred, float64(sec-e.sec)*1e-9
	u.watch(p.Mono, dev, math.Sqrt(e.imm.Estimate().R), math.Abs(e.imm.Sigmas(dev, dt)) <= gateSigma)
}

// watch takes a pulse dev ns from its prediction, measured to sigma ns.
func (u *unusedPulses) watch(mono int64, dev, sigma float64, inGate bool) {
	step := dev - u.dev
	jumped := u.on && math.Abs(step) > pulseStep(float64(mono-u.mono)*1e-9, sigma)
	if jumped {
		u.jump += step
	}
	if u.off++; jumped || inGate {
		u.off = 0
	}
	u.on, u.mono, u.dev = true, mono, dev
}

// displaced returns by how much the pulses jumped, ns, if a pulse dev ns from its
// prediction is where the jump took them; 0 if it is nearer to the prediction: then it
// was the jump that took them back.
func (u *unusedPulses) displaced(dev, sigma float64) float64 {
	if math.Abs(u.jump) <= displacedSigma*sigma || dev*u.jump <= 0 || math.Abs(dev) < math.Abs(u.jump)/2 {
		return 0
	}
	return u.jump
}

// pulseStep is by how much two pulses dt seconds apart may differ, ns, without a jump
// between them.
func pulseStep(dt, sigma float64) float64 { return 10*sigma + 200*dt }
