package discipline

import (
	"math"
	"slices"
)

// recentKept is how many of the latest pulses are kept. A jump among them shows by the
// pulses on both sides of it, before oscillators change by as much.
const recentKept = 64

// LastPulses are the latest pulses of an earlier run: CLOCK_MONOTONIC_RAW (ns) of each,
// the last one last; zeros: there were not so many.
type LastPulses [16]int64

// recentPulses are the latest pulses, whichever seconds they begin. Those of a run come
// after those of the run before it, so that a jump between them is one among them.
type recentPulses struct {
	n    int
	mono [recentKept]int64 // CLOCK_MONOTONIC_RAW, ns
}

// add takes a pulse. Earlier ones that seem to come after it are from a file that is not
// right.
func (r *recentPulses) add(mono int64) {
	switch {
	case r.n > 0 && mono == r.mono[r.n-1]:
		return
	case r.n > 0 && mono < r.mono[r.n-1]:
		r.n = 0
	case r.n == len(r.mono):
		r.drop(1)
	}
	r.mono[r.n] = mono
	r.n++
}

// drop forgets the first n pulses.
func (r *recentPulses) drop(n int) {
	copy(r.mono[:], r.mono[n:r.n])
	r.n -= n
}

// last returns the latest ones.
func (r *recentPulses) last() (l LastPulses) {
	n := min(r.n, len(l))
	copy(l[len(l)-n:], r.mono[r.n-n:r.n])
	return l
}

// continueFrom begins with the pulses of an earlier run.
func (r *recentPulses) continueFrom(l *LastPulses) {
	*r = recentPulses{}
	for _, mono := range l {
		if mono > 0 {
			r.add(mono)
		}
	}
}

const (
	// sidePulses is how many pulses must be on either side of a jump: one that is alone
	// is a spike.
	sidePulses = 2
	// besidePulses is how many are compared on either side: oscillators change.
	besidePulses = 12
	// fitted is up to which variance, in that of a pulse, a jump explains the pulses.
	// Those that drift are farther from two straight lines of one slope.
	fitted = 6
	// spike is the distance from its line, in standard deviations, from which on one that
	// is farther off counts as much: the first pulses of a run are read less well.
	spike = 4
	// wander is by how much the lines may be apart, ns for each second between their
	// means, because the oscillators change.
	wander = 20
)

// jumped returns the jump among the pulses, if two straight lines of one slope are where
// they are to their noise, sigma ns, and one line is not. line returns how far a line
// through their whole seconds is ahead of a pulse, ns. The instants of all pulses after
// the jump may be read off by as much as read, ns. at: the number of pulses before it, 0
// if they did not jump.
func (r *recentPulses) jumped(line func(mono int64) float64, sigma, read float64) (at int, j jump) {
	if r.n < 2*sidePulses {
		return 0, j
	}
	var points [recentKept]point
	all := points[:r.n]
	first := line(r.mono[0])
	for i, mono := range r.mono[:r.n] {
		ns := line(mono) - first
		all[i] = point{float64(mono-r.mono[0]) * 1e-9, ns - 1e9*math.Round(ns*1e-9)}
	}
	sigma = max(sigma, white(all)) // that of CLOCK_MONOTONIC_RAW at a pulse, too
	for i := 1; i < r.n-1; i++ {
		if p, q, mean := all[i-1].y, all[i+1].y, (all[i-1].y+all[i+1].y)/2; math.Abs(p-q) < displacedSigma*sigma && math.Abs(all[i].y-mean) > displacedSigma*sigma {
			all[i].y = mean // a spike
		}
	}
	clearest := float64(displacedSigma)
	for i := sidePulses; i <= r.n-sidePulses; i++ {
		a, b := all[max(i-besidePulses, 0):i], all[i:min(i+besidePulses, r.n)]
		ns, dt, unsure, rest := apart(a, b, spike*sigma)
		unsure *= sigma
		free := read + wander*dt
		clear := (math.Abs(ns) - free) / max(unsure, sigma)
		if clear > clearest && rest < fitted*sigma*sigma {
			clearest, at, j = clear, i, jump{ns, displacedSigma*unsure + free}
		}
	}
	return at, j
}

// point is a pulse: when it came, s, and how far a line was ahead of it, ns.
type point struct{ t, y float64 }

// white returns the standard deviation of the noise of single values: a jump, a drift and
// spikes are in few second differences.
func white(p []point) float64 {
	var d [recentKept]float64
	n := len(p) - 2
	for i := range n {
		d[i] = math.Abs(p[i].y - 2*p[i+1].y + p[i+2].y)
	}
	slices.Sort(d[:n])
	return d[n/2] / (normalQuartile * math.Sqrt(6))
}

// normalQuartile is the median of the absolute value of normal noise, in standard
// deviations.
const normalQuartile = 0.6745

// lineFit are the means of points, and their sums of squares and products about these.
type lineFit struct{ n, t, y, tt, ty float64 }

func fit(p []point) (f lineFit) {
	f.n = float64(len(p))
	for _, q := range p {
		f.t, f.y = f.t+q.t/f.n, f.y+q.y/f.n
	}
	for _, q := range p {
		f.tt, f.ty = f.tt+(q.t-f.t)*(q.t-f.t), f.ty+(q.t-f.t)*(q.y-f.y)
	}
	return f
}

// left returns the mean square of the distances from a line through the mean, each of at
// most most.
func (f *lineFit) left(p []point, slope, most float64) (sum float64) {
	for _, q := range p {
		d := min(math.Abs(q.y-f.y-slope*(q.t-f.t)), most)
		sum += d * d
	}
	return sum / f.n
}

// apart fits two lines of one slope. It returns how far b is above a, the time between
// their means, the standard deviation for points of standard deviation 1, and the mean
// square of the distances that are left, each of at most most, of the points that have
// the larger one.
func apart(a, b []point, most float64) (y, dt, sigma, rest float64) {
	f, g := fit(a), fit(b)
	tt := f.tt + g.tt
	dt = g.t - f.t
	slope := (f.ty + g.ty) / tt
	return g.y - f.y - slope*dt, dt, math.Sqrt(1/f.n + 1/g.n + dt*dt/tt), max(f.left(a, slope, most), g.left(b, slope, most))
}
