package servo

import "math"

// tempStats are the statistics of a temperature sensor: how far the temperature
// walks in a time, its mean, and for how long the reading stays constant while
// the sensor works. Times are in s, temperatures in degrees Celsius.
type tempStats struct {
	start, from [walkSpans]float64 // start of the current span, and the temperature then
	n           [walkSpans]float64 // spans completed
	sq, peak    [walkSpans]float64 // square of the change in a span, K^2: its mean, its slowly falling maximum

	meanN          float64 // readings behind mean, one for each shortest span
	mean, variance float64

	changedAt  float64 // time of the last change of the reading
	resolution float64 // the smallest change observed, K
	stillSum   float64 // sum of the times for which readings were constant, s,
	stillSq    float64 // and of their squares, s^2
}

const (
	// There are walkSpans spans of time, the first firstSpanS s, each four times the
	// one before: 75 s to 5.3 h. The daily cycle shows in the longest, moving air in
	// the shortest.
	walkSpans, firstSpanS = 5, 75
	// minSpans is the number of spans from which a mean square is used.
	minSpans = 3
	// peakSigma is the largest observed change in standard deviations of the walk:
	// what happened once a day can happen again.
	peakSigma = 3
	// minWalk is the least random walk assumed for a temperature that is not
	// observed, K^2 per s: 1.5 K within an hour, one standard deviation.
	minWalk = 1.5 * 1.5 / 3600
	// stepAllowanceK is how much more the temperature may change, K, one standard
	// deviation, within stepAllowanceS, s, while it is not observed: what silenced
	// the sensor may have stopped the fan, too.
	stepAllowanceK, stepAllowanceS = 2, 600
	// meanMemory is the number of readings that the mean is taken over: two days.
	meanMemory = 2 * 86400 / firstSpanS
	// initialStillS is how long, s, the reading of an unknown sensor may be
	// constant; stillMemoryS, s, is the time over which that is learned.
	initialStillS, stillMemoryS = 300, 86400
)

// restart begins all spans again.
func (w *tempStats) restart(t, celsius float64) {
	for i := range w.start {
		w.start[i], w.from[i] = t, celsius
	}
	w.changedAt = t
}

// observe takes the temperature, low-pass filtered.
func (w *tempStats) observe(t, celsius float64) {
	for i := range w.start {
		long := firstSpanS * math.Pow(4, float64(i))
		if t-w.start[i] < long {
			continue
		}
		d := celsius - w.from[i]
		d *= d * long / (t - w.start[i])
		w.n[i] = math.Min(w.n[i]+1, blockMemory)
		w.sq[i] += (d - w.sq[i]) / w.n[i]
		w.peak[i] = math.Max(w.peak[i]*(1-1./blockMemory), d)
		w.start[i], w.from[i] = t, celsius
		if i == 0 {
			w.meanN = math.Min(w.meanN+1, meanMemory)
			w.mean += (celsius - w.mean) / w.meanN
			w.variance += ((celsius-w.mean)*(celsius-w.mean) - w.variance) / w.meanN
		}
	}
}

// changed takes a change of the reading by d K at t.
func (w *tempStats) changed(t, d float64) {
	if w.resolution == 0 || d < w.resolution {
		w.resolution = d
	}
	// A constant time counts up to where it became implausible: otherwise a sensor
	// that was stuck once would be accepted for as long from then on.
	s := math.Min(t-w.changedAt, w.usualStill())
	keep := math.Exp(-s / stillMemoryS)
	w.stillSum, w.stillSq = w.stillSum*keep+s, w.stillSq*keep+s*s
	w.changedAt = t
}

// usualStill returns how long the reading may be constant, s: twice the mean,
// weighted by time.
func (w *tempStats) usualStill() float64 {
	return math.Max(sensorGap, 2*(initialStillS*initialStillS+w.stillSq)/(initialStillS+w.stillSum))
}

// unobserved returns for how long the temperature counts as not observed, s,
// because the reading is constant: the whole time once that is longer than usual,
// a part of it before.
func (w *tempStats) unobserved(t float64) float64 {
	s := t - w.changedAt
	if s <= sensorGap {
		return 0
	}
	return s * math.Min(1, math.Sqrt(s/w.usualStill()))
}

// stuck reports whether the reading is constant for implausibly long, given how
// the temperature walks.
func (w *tempStats) stuck(t float64) bool {
	s := t - w.changedAt
	return s > 600 && s > w.usualStill() && w.walk()*s > 25*w.resolution*w.resolution
}

// walk returns the observed random walk of the temperature, K^2 per s: the
// largest of all spans; 0 = not known.
func (w *tempStats) walk() float64 {
	q := 0.0
	for i, n := range w.n {
		if n >= minSpans {
			q = math.Max(q, math.Max(w.sq[i], w.peak[i]/(peakSigma*peakSigma))/(firstSpanS*math.Pow(4, float64(i))))
		}
	}
	return q
}

// returnTime returns the time constant with which the temperature returns to its
// mean, s: that of a walk with the observed variance.
func (w *tempStats) returnTime() float64 {
	if q := w.walk(); q > 0 && w.variance > 0 {
		return math.Max(2*w.variance/q, firstSpanS)
	}
	return math.Inf(1)
}

// shift: the sensor reads dc K more from now on.
func (w *tempStats) shift(dc float64) {
	w.mean += dc
	for i := range w.from {
		w.from[i] += dc
	}
}
