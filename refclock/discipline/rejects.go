package discipline

import "math"

// rejectRun remembers refused pulses in a row, to tell a change of the
// oscillator or of the reference from spikes.
type rejectRun struct {
	n        int        // refused seconds in a row
	agreeing int        // of them, the last that agree with each other
	first    float64    // when the first of them came: seconds since the last good one
	t, d     [4]float64 // the last: seconds since the last good one, ns from its prediction
	sigma    float64    // of one measurement, ns
}

func (r *rejectRun) clear() { *r = rejectRun{} }

func (r *rejectRun) add(t, d, sigma float64) {
	last := len(r.d) - 1
	if r.n > 0 && t-r.t[last] < 0.5 {
		return // the same second once more
	}
	if r.n > 0 && math.Abs(d-r.d[last]) < 10*sigma+200*(t-r.t[last]) {
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

// ramp reports whether the last refused pulses lie on a line that starts at the
// last good phase: an oscillator that changed its frequency by slope ppb. A
// jump of the phase does not look so, and a burst of spikes hardly ever.
func (r *rejectRun) ramp(limit float64) (slope float64, ok bool) {
	last := len(r.d) - 1
	if r.n <= last || r.t[last]-r.t[0] > float64(last)+1.5 {
		return 0, false
	}
	slope = (r.d[last] - r.d[0]) / (r.t[last] - r.t[0])
	tol := 4*r.sigma + 0.15*math.Abs(r.d[last]-r.d[0]) // of the ramp itself: a spike on a jump is none
	for i := 1; i < last; i++ {
		if math.Abs(r.d[0]+slope*(r.t[i]-r.t[0])-r.d[i]) > tol {
			return 0, false
		}
	}
	if math.Abs(slope) < r.sigma || math.Abs(slope) > limit {
		return 0, false
	}
	// Where the line meets zero: between the last good and the first refused
	// one, with some room for the noise and for a change that took its time. What
	// was refused long before the line begins is no ramp.
	at := r.t[0] - r.d[0]/slope
	room := 1 + 4*r.sigma/math.Abs(slope)
	return slope, at > -room && at < r.first+0.5
}

// hint returns how far the clock may be off, ns, if refused pulses that agree
// with each other should be right after all; 0 if they don't.
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
