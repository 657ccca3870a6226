package refclock

import "math"

// drift tells a reference that runs away from a clock that does. The pulses are
// measured with two clocks: the disciplined one, free of its steering, and
// CLOCK_MONOTONIC_RAW. If pulses leave the line that both foretold, by the same
// amount, second after second, it is the pulses that moved: a spoofer pulls
// them, or a receiver goes on without satellites. If only one of the two shows
// it, it is that one.
//
// It needs two clocks with crystals of their own, and sees no more than their
// noise and that of the stamps lets it: fast ramps pulse by pulse, slow ones
// over spans of up to 40 s (spans), gentle drifts on a card that is read over a
// slow bus not at all. Temperature moves both crystals too, but no crystal turns
// within seconds.
type drift struct {
	p           [driftKeep]point
	n           int
	mono0       int64   // of the first
	free, phase float64 // of the last: as it was given, and counted on over the second's ends

	run  [driftRun]float64 // last common departures in a row, ns
	have int
	lost int // pulses in a row that were not taken into the line
	slow spans

	moved bool
	since int64   // mono at which it was
	slope float64 // by so much, ns/s
	tail  [driftTail]point
	nt    int
	calm  int
	y, r  fit // by the two clocks before the doubt began
	last  float64
}

// point is one pulse: seconds, ns by the clock and ns by raw since the first.
type point struct{ t, y, r float64 }

// far reports whether two pulses are farther from each other than any drift
// brings them.
func (p point) far(x point) bool {
	return max(math.Abs(x.y-p.y), math.Abs(x.r-p.r)) > driftMost*(x.t-p.t)
}

const (
	driftKeep  = 128  // pulses that are kept
	driftLine  = 64   // of them, the last that make the line of single departures
	driftMin   = 24   // of them at least
	driftRun   = 4    // departures in a row that make a doubt
	driftTail  = 64   // pulses at most whose slope ends it, and
	driftTail0 = 8    // at least
	driftCalm  = 10   // of such in a row at least
	driftLost  = 32   // pulses in a row off the line that make a new one
	driftLeast = 20   // ns: the least departure that is minded,
	driftMost  = 1e6  // and the largest: nothing that drifts gets there unnoticed
	driftWide  = 10   // ppb: a slope so near to the old one is the old one,
	driftAge   = 0.02 // ppb/s: and by so much wider with time: crystals wander
)

// fit is a straight line by least squares.
type fit struct{ a, b, sigma float64 }

func (f fit) at(t float64) float64 { return f.a + f.b*t }

// fits fits lines to what both clocks say of the pulses.
func fits(p []point) (y, r fit) {
	n := float64(len(p))
	var mt, my, mr, tt, ty, tr float64
	for i := range p {
		mt, my, mr = mt+p[i].t/n, my+p[i].y/n, mr+p[i].r/n
	}
	for i := range p {
		dt := p[i].t - mt
		tt, ty, tr = tt+dt*dt, ty+dt*(p[i].y-my), tr+dt*(p[i].r-mr)
	}
	y.b, r.b = ty/tt, tr/tt
	y.a, r.a = my-y.b*mt, mr-r.b*mt
	for i := range p {
		dy, dr := p[i].y-y.at(p[i].t), p[i].r-r.at(p[i].t)
		y.sigma, r.sigma = y.sigma+dy*dy, r.sigma+dr*dr
	}
	y.sigma, r.sigma = math.Sqrt(y.sigma/(n-2)), math.Sqrt(r.sigma/(n-2))
	return y, r
}

// clear forgets the pulses; a doubt stays.
func (d *drift) clear() {
	d.n, d.have, d.nt, d.lost = 0, 0, 0, 0
	d.slow.clear()
}

// strain is by how much both clocks say that the pulses have left their line,
// ns, while that is more than the noise of the two and not enough for a doubt:
// the clock may have followed them there.
func (d *drift) strain() float64 {
	if d.moved {
		return 0
	}
	return d.slow.strain
}

// pulse takes a pulse: its instant of raw, and its time by the clock free of
// steering, ns within the second. It reports whether the reference is doubted.
func (d *drift) pulse(mono int64, free float64) bool {
	if d.n == 0 && d.nt == 0 {
		d.mono0, d.free, d.phase, d.last = mono, free, 0, 0
	}
	el := float64(mono - d.mono0)
	t := math.Round(el * 1e-9)
	y := free - d.free
	d.phase += y - 1e9*math.Round(y*1e-9)
	d.free = free
	x := point{t, d.phase, el - t*1e9}
	if (d.n > 0 || d.nt > 0) && (t <= d.last || t-d.last > 10) {
		d.clear()
		return d.moved
	}
	d.last = t
	if d.moved {
		return d.after(mono, x)
	}
	if d.n < driftMin {
		if d.n > 0 && d.p[d.n-1].far(x) {
			d.n = 0 // nothing of this kind makes a line
		}
		d.push(x)
		return false
	}
	fy, fr := fits(d.p[max(0, d.n-driftLine):d.n])
	dy, dr := x.y-fy.at(t), x.r-fr.at(t)
	limit := max(driftLeast, 5*fy.sigma, 5*fr.sigma)
	if math.Abs(dy) <= limit || math.Abs(dr) <= limit || !alike(dy, dr) {
		d.have = 0
		if math.Abs(dy) < limit || math.Abs(dr) < limit { // else a spike in both
			d.push(x)
			if slope, y, r, ok := d.slow.see(d.p[:d.n]); ok {
				d.doubt(mono, slope, y, r)
			}
		}
		return d.moved
	}
	if d.lost++; d.lost > driftLost {
		d.clear()
		return false
	}
	if math.Abs(dy) > driftMost {
		d.have = 0
		return false
	}
	if d.have == driftRun {
		copy(d.run[:], d.run[1:])
		d.have--
	}
	d.run[d.have] = dy
	if d.have++; d.have < driftRun {
		return false
	}
	// A ramp, no jump: each farther than the one before, by about as much.
	slope := (d.run[driftRun-1] - d.run[0]) / (driftRun - 1)
	for i := 1; i < driftRun; i++ {
		if s := d.run[i] - d.run[i-1]; s*slope <= 0 || math.Abs(s-slope) > 0.5*math.Abs(slope)+2*fy.sigma {
			return false
		}
	}
	if math.Abs(slope) < fy.sigma/2 || math.Abs(d.run[driftRun-1]) < 1.3*math.Abs(d.run[0]) {
		return false
	}
	d.doubt(mono, slope, fy, fr)
	return true
}

// alike reports whether two departures are so near to each other that it is the
// pulses that departed, from both clocks.
func alike(a, b float64) bool { return math.Abs(a-b) < 0.3*max(math.Abs(a), math.Abs(b)) }

func (d *drift) doubt(mono int64, slope float64, y, r fit) {
	d.moved, d.since, d.slope, d.y, d.r, d.calm, d.nt = true, mono, slope, y, r, 0, 0
	d.slow.clear()
}

// after looks, while the reference is doubted, whether it runs as before: over
// so many pulses that their noise cannot hide a third of the slope that made
// the doubt.
func (d *drift) after(mono int64, x point) bool {
	if d.nt == driftTail {
		copy(d.tail[:], d.tail[1:])
		d.nt--
	}
	d.tail[d.nt] = x
	d.nt++
	noise := min(d.y.sigma, d.r.sigma)
	k := int(min(max(math.Cbrt(12*81*noise*noise/(d.slope*d.slope)), driftTail0), driftTail))
	if d.nt < k {
		return true
	}
	y, r := fits(tame(d.tail[d.nt-k:d.nt], 4*noise))
	age := float64(mono-d.since) * 1e-9
	wide := min(driftWide+noise/2, math.Abs(d.slope)/2) + driftAge*age
	wy, wr := d.slow.wander(age)
	if math.Abs(y.b-d.y.b) > wide+wy || math.Abs(r.b-d.r.b) > wide+wr {
		d.calm = 0
		return true
	}
	if d.calm++; d.calm < max(driftCalm, k) { // over other pulses than those that first showed it
		return true
	}
	d.moved = false
	d.clear()
	return false
}

// tame returns the points without spikes of more than limit ns off their line.
func tame(p []point, limit float64) []point {
	y, r := fits(p)
	var kept []point
	for _, x := range p {
		if math.Abs(x.y-y.at(x.t)) <= limit || math.Abs(x.r-r.at(x.t)) <= limit {
			kept = append(kept, x)
		}
	}
	if len(kept) < len(p)/2 {
		return p
	}
	return kept
}

func (d *drift) push(x point) {
	if d.n == driftKeep {
		copy(d.p[:], d.p[1:])
		d.n--
	}
	d.p[d.n] = x
	d.n++
	d.lost = 0
}
