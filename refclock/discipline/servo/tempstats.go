package servo

import "math"

// tempStats is what is known of a temperature sensor itself: how far the temperature
// wanders in a time, where it tends to be, and how long the sensor's word stays
// the same while it works.
type tempStats struct {
	start, from [walkSpans]float64 // start of the span under way, s, and the temperature then
	n           [walkSpans]float64 // spans seen
	sq, peak    [walkSpans]float64 // K^2: mean square of the change in a span, slowly falling largest

	meanN          float64 // readings, one a span of the shortest, behind
	mean, variance float64 // their mean and variance

	changedAt  float64 // when the reading changed last
	resolution float64 // the smallest change seen, K
	stillSum   float64 // sums over the times for which readings stood still: s,
	stillSq    float64 // and s^2
}

const (
	// walks spans of time, the first walkFrom s and each four times the one before:
	// 75 s to 5.3 h. A day's swing shows in the longest, a draught in the shortest.
	walkSpans, firstSpanS = 5, 75
	// walkFew is how many of them have to be seen.
	minSpans = 3
	// rare is by how many standard deviations the largest change seen may stand out:
	// what happened once a day can happen again.
	peakSigma = 3
	// walkLeast is what the temperature is taken to wander at least where nothing
	// is read: 1.5 K within an hour, one standard deviation. K^2 per s.
	minWalk = 1.5 * 1.5 / 3600
	// draught is by how much more it may change, K, one standard deviation, within
	// draughtS, s, while a sensor is silent: what silenced it may have stopped the fan.
	stepAllowanceK, stepAllowanceS = 2, 600
	// meansMemory is over how many spans of the shortest the mean is taken: two days.
	meanMemory = 2 * 86400 / firstSpanS
	// standing is for how long a sensor of which nothing is known may stand still, s;
	// and stoodMemory over what time it is learned, s.
	initialStillS, stillMemoryS = 300, 86400
)

// restart forgets the spans under way.
func (w *tempStats) restart(t, celsius float64) {
	for i := range w.start {
		w.start[i], w.from[i] = t, celsius
	}
	w.changedAt = t
}

// observe takes the temperature, noise smoothed out.
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

// changed takes a change of the reading by d.
func (w *tempStats) changed(t, d float64) {
	if w.resolution == 0 || d < w.resolution {
		w.resolution = d
	}
	// A stand that was doubted counts no more than that: or a sensor that was stuck
	// once would be believed for as long for ever.
	s := math.Min(t-w.changedAt, w.usualStill())
	keep := math.Exp(-s / stillMemoryS)
	w.stillSum, w.stillSq = w.stillSum*keep+s, w.stillSq*keep+s*s
	w.changedAt = t
}

// usualStill is for how long a reading may stand still: twice the mean, by time.
func (w *tempStats) usualStill() float64 {
	return math.Max(sensorGap, 2*(initialStillS*initialStillS+w.stillSq)/(initialStillS+w.stillSum))
}

// unobserved is for how long the reading may say nothing, by how long it has stood still:
// the whole time once that is longer than usual, a part of it before.
func (w *tempStats) unobserved(t float64) float64 {
	s := t - w.changedAt
	if s <= sensorGap {
		return 0
	}
	return s * math.Min(1, math.Sqrt(s/w.usualStill()))
}

// stuck reports whether it has stood still for longer than it ever should, by how
// the temperature wanders.
func (w *tempStats) stuck(t float64) bool {
	s := t - w.changedAt
	return s > 600 && s > w.usualStill() && w.walk()*s > 25*w.resolution*w.resolution
}

// walk is the temperature's random walk as it was seen, K^2 per s: the largest of
// all spans'; 0 = not known.
func (w *tempStats) walk() float64 {
	q := 0.0
	for i, n := range w.n {
		if n >= minSpans {
			q = math.Max(q, math.Max(w.sq[i], w.peak[i]/(peakSigma*peakSigma))/(firstSpanS*math.Pow(4, float64(i))))
		}
	}
	return q
}

// returnTime is the time in which the temperature comes back to its mean, s: of a walk
// with that variance.
func (w *tempStats) returnTime() float64 {
	if q := w.walk(); q > 0 && w.variance > 0 {
		return math.Max(2*w.variance/q, firstSpanS)
	}
	return math.Inf(1)
}

// shift: the sensor reads by dc more from now on.
func (w *tempStats) shift(dc float64) {
	w.mean += dc
	for i := range w.from {
		w.from[i] += dc
	}
}
