package servo

import "math"

// weather is what is known of a temperature sensor itself: how far the temperature
// wanders in a time, where it tends to be, and how long the sensor's word stays
// the same while it works.
type weather struct {
	at, from [walks]float64 // start of the span under way, s, and the temperature then
	n        [walks]float64 // spans seen
	sq, top  [walks]float64 // K^2: mean square of the change in a span, slowly falling largest

	means     float64 // readings, one a span of the shortest, behind
	mid, vari float64 // their mean and variance

	since   float64 // when the reading changed last
	grain   float64 // the smallest change seen, K
	stood   float64 // sums over the times for which readings stood still: s,
	stoodSq float64 // and s^2
}

const (
	// walks spans of time, the first walkFrom s and each four times the one before:
	// 75 s to 5.3 h. A day's swing shows in the longest, a draught in the shortest.
	walks, walkFrom = 5, 75
	// walkFew is how many of them have to be seen.
	walkFew = 3
	// rare is by how many standard deviations the largest change seen may stand out:
	// what happened once a day can happen again.
	rare = 3
	// walkLeast is what the temperature is taken to wander at least where nothing
	// is read: 1.5 K within an hour, one standard deviation. K^2 per s.
	walkLeast = 1.5 * 1.5 / 3600
	// draught is by how much more it may change, K, one standard deviation, within
	// draughtS, s, while a sensor is silent: what silenced it may have stopped the fan.
	draught, draughtS = 2, 600
	// meansMemory is over how many spans of the shortest the mean is taken: two days.
	meansMemory = 2 * 86400 / walkFrom
	// standing is for how long a sensor of which nothing is known may stand still, s;
	// and stoodMemory over what time it is learned, s.
	standing, stoodMemory = 300, 86400
)

// begin forgets the spans under way.
func (w *weather) begin(t, celsius float64) {
	for i := range w.at {
		w.at[i], w.from[i] = t, celsius
	}
	w.since = t
}

// see takes the temperature, noise smoothed out.
func (w *weather) see(t, celsius float64) {
	for i := range w.at {
		long := walkFrom * math.Pow(4, float64(i))
		if t-w.at[i] < long {
			continue
		}
		d := celsius - w.from[i]
		d *= d * long / (t - w.at[i])
		w.n[i] = math.Min(w.n[i]+1, blockMemory)
		w.sq[i] += (d - w.sq[i]) / w.n[i]
		w.top[i] = math.Max(w.top[i]*(1-1./blockMemory), d)
		w.at[i], w.from[i] = t, celsius
		if i == 0 {
			w.means = math.Min(w.means+1, meansMemory)
			w.mid += (celsius - w.mid) / w.means
			w.vari += ((celsius-w.mid)*(celsius-w.mid) - w.vari) / w.means
		}
	}
}

// moved takes a change of the reading by d.
func (w *weather) moved(t, d float64) {
	if w.grain == 0 || d < w.grain {
		w.grain = d
	}
	// A stand that was doubted counts no more than that: or a sensor that was stuck
	// once would be believed for as long for ever.
	s := math.Min(t-w.since, w.usual())
	keep := math.Exp(-s / stoodMemory)
	w.stood, w.stoodSq = w.stood*keep+s, w.stoodSq*keep+s*s
	w.since = t
}

// usual is for how long a reading may stand still: twice the mean, by time.
func (w *weather) usual() float64 {
	return math.Max(sensorGap, 2*(standing*standing+w.stoodSq)/(standing+w.stood))
}

// still is for how long the reading may say nothing, by how long it has stood still:
// the whole time once that is longer than usual, a part of it before.
func (w *weather) still(t float64) float64 {
	s := t - w.since
	if s <= sensorGap {
		return 0
	}
	return s * math.Min(1, math.Sqrt(s/w.usual()))
}

// stuck reports whether it has stood still for longer than it ever should, by how
// the temperature wanders.
func (w *weather) stuck(t float64) bool {
	s := t - w.since
	return s > 600 && s > w.usual() && w.walk()*s > 25*w.grain*w.grain
}

// walk is the temperature's random walk as it was seen, K^2 per s: the largest of
// all spans'; 0 = not known.
func (w *weather) walk() float64 {
	q := 0.0
	for i, n := range w.n {
		if n >= walkFew {
			q = math.Max(q, math.Max(w.sq[i], w.top[i]/(rare*rare))/(walkFrom*math.Pow(4, float64(i))))
		}
	}
	return q
}

// back is the time in which the temperature comes back to its mean, s: of a walk
// with that variance.
func (w *weather) back() float64 {
	if q := w.walk(); q > 0 && w.vari > 0 {
		return math.Max(2*w.vari/q, walkFrom)
	}
	return math.Inf(1)
}

// shift: the sensor reads by dc more from now on.
func (w *weather) shift(dc float64) {
	w.mid += dc
	for i := range w.from {
		w.from[i] += dc
	}
}
