package servo

import (
	"math"
	"slices"
)

// Point is a pulse: when it came, s, and how far a line was ahead of it, ns.
type Point struct{ T, Y float64 }

// mostPoints is how many points a jump is looked for among.
const mostPoints = 64

const (
	// sidePulses is how many pulses must be on either side of a jump: one that is alone
	// is a spike.
	sidePulses = 2
	// besidePulses is how many are compared on either side: oscillators change.
	besidePulses = 12
	// fitted is the mean square of the distances from the lines, in variances of a pulse,
	// up to which a jump explains the pulses. Those that drift are farther off.
	fitted = 6
	// spike is the largest distance from a line that counts, in standard deviations: the
	// first pulses of a run are read less well.
	spike = 4
	// wander is by how much the lines may be apart, ns for each second between their
	// means, because the oscillators change.
	wander = 20
)

// Jump returns the jump among points in the order of time, if two straight lines of one
// slope are where they are to their noise, sigma ns, and one line is not, by k standard
// deviations. The points after the jump may all be read off by as much as read, ns. at: the
// number of points before it, 0 if they did not jump, or are too few, or more than 64. by:
// how far they jumped, to unsure ns. Spikes in p are taken out.
func Jump(p []Point, sigma, read, k float64) (at int, by, unsure float64) {
	if len(p) < 2*sidePulses || len(p) > mostPoints {
		return 0, 0, 0
	}
	sigma = max(sigma, white(p)) // the instants of pulses have noise, too
	for i := 1; i < len(p)-1; i++ {
		mean := (p[i-1].Y + p[i+1].Y) / 2
		if math.Abs(p[i+1].Y-p[i-1].Y) < k*sigma && math.Abs(p[i].Y-mean) > k*sigma {
			p[i].Y = mean // a spike
		}
	}
	clearest := k
	for i := sidePulses; i <= len(p)-sidePulses; i++ {
		a, b := p[max(i-besidePulses, 0):i], p[i:min(i+besidePulses, len(p))]
		ns, dt, scatter, rest := apart(a, b, spike*sigma)
		free := read + wander*dt
		clear := (math.Abs(ns) - free) / (max(scatter, 1) * sigma)
		if clear > clearest && rest < fitted*sigma*sigma {
			clearest, at, by, unsure = clear, i, ns, k*scatter*sigma+free
		}
	}
	return at, by, unsure
}

// white returns the standard deviation of the noise of single values: a jump, a drift and
// spikes are in few second differences.
func white(p []Point) float64 {
	var d [mostPoints]float64
	n := len(p) - 2
	for i := range n {
		d[i] = math.Abs(p[i].Y - 2*p[i+1].Y + p[i+2].Y)
	}
	slices.Sort(d[:n])
	return d[n/2] / (normalQuartile * math.Sqrt(6))
}

// normalQuartile is the median of the absolute value of normal noise, in standard
// deviations.
const normalQuartile = 0.6745

// lineFit are the means of points, and their sums of squares and products about these.
type lineFit struct{ n, t, y, tt, ty float64 }

func fit(p []Point) (f lineFit) {
	f.n = float64(len(p))
	for _, q := range p {
		f.t, f.y = f.t+q.T/f.n, f.y+q.Y/f.n
	}
	for _, q := range p {
		f.tt, f.ty = f.tt+(q.T-f.t)*(q.T-f.t), f.ty+(q.T-f.t)*(q.Y-f.y)
	}
	return f
}

// left returns the mean square of the distances from a line through the mean, of which
// each counts as at most most.
func (f *lineFit) left(p []Point, slope, most float64) (sum float64) {
	for _, q := range p {
		d := min(math.Abs(q.Y-f.y-slope*(q.T-f.t)), most)
		sum += d * d
	}
	return sum / f.n
}

// apart fits two lines of one slope. It returns how far b is above a, the time between
// their means, the standard deviation for points of standard deviation 1, and the mean
// square of the distances that are left, each of at most most, of the points that have
// the larger one.
func apart(a, b []Point, most float64) (y, dt, sigma, rest float64) {
	f, g := fit(a), fit(b)
	tt := f.tt + g.tt
	dt = g.t - f.t
	slope := (f.ty + g.ty) / tt
	return g.y - f.y - slope*dt, dt, math.Sqrt(1/f.n + 1/g.n + dt*dt/tt), max(f.left(a, slope, most), g.left(b, slope, most))
}
