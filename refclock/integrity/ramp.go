package integrity

import (
	"math"
	"slices"
)

// ramp recognises pulses that drift away. It measures the pulses with two clocks:
// the disciplined one, without its steering, and CLOCK_MONOTONIC_RAW. If pulses
// leave the line that both clocks predict, by the same amount, second after
// second, then the pulses moved: a spoofer drags them, or a receiver runs on
// without satellites. If only one of the clocks shows it, that clock moved.
//
// It needs two clocks with crystals of their own, and resolves no more than the
// noise of crystals and stamps allows: fast ramps pulse by pulse, slow ones over
// spans of up to 40 s, slow drifts on a card behind a slow bus not at all.
// Temperature moves both crystals too, but no crystal turns within seconds.
type ramp struct {
	origin struct {
		mono  int64   // of the first pulse kept
		free  float64 // the last phase as given, ns within the second
		phase float64 // the same, continued over the ends of seconds, ns
		last  float64 // time of the last pulse, s since the first
	}
	points [rampKeep]point
	n      int

	run  [rampRun]float64 // latest common residuals in a row, ns
	have int
	lost int // pulses in a row that were not taken into the line
	slow spans

	alarm struct {
		raised bool
		since  int64 // CLOCK_MONOTONIC_RAW
		slope  float64
		y, r   fit // the lines of both clocks before it
		tail   [rampTail]point
		n      int
		calm   int // pulses in a row whose slope is the old one

		steady struct { // pulses in a row with one slope, be it another
			y, r float64
			n    int
		}
	}
}

// point is one pulse: seconds, ns by the clock and ns by raw since the first.
type point struct{ t, y, r float64 }

// far reports whether two pulses are farther from each other than any drift
// brings them.
func (p point) far(x point) bool {
	return max(math.Abs(x.y-p.y), math.Abs(x.r-p.r)) > rampMost*(x.t-p.t)
}

const (
	rampKeep    = 128  // pulses that are kept
	rampLine    = 64   // of them, the latest that make the line for single residuals
	rampMin     = 24   // pulses that make a line at least
	rampGap     = 10   // s: a longer gap between pulses starts anew
	rampRun     = 4    // residuals in a row that raise an alarm
	rampTail    = 64   // pulses at most whose slope ends it
	rampTailMin = 8    // and at least
	rampCalm    = 10   // pulses in a row with the old slope that end it
	rampSteady  = 540  // pulses in a row with another slope that outweigh a line that no lock has confirmed for as long: that one was wrong, or all there is drifts
	rampBent    = 8    // of a line: its deviation, in those from pulse to pulse, from which on it is two lines
	rampLost    = 32   // pulses in a row off the line that start a new one
	rampLeast   = 20   // ns: smallest residual that counts
	rampMost    = 1e6  // ns/s: largest; nothing that drifts gets there unnoticed
	rampSame    = 10   // ppb: slopes so near to each other are the same
	rampAge     = 0.02 // ppb/s: and so much wider with time, as crystals wander
)

// fit is a straight line by least squares: a + b*t, and the deviation from it.
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

// clear forgets the pulses. An alarm stays.
func (d *ramp) clear() {
	d.n, d.have, d.alarm.n, d.lost = 0, 0, 0, 0
	d.slow.clear()
}

// unexplained returns by how much both clocks say that the pulses have left their
// line, ns, while that is more than the noise of the two and too little for an
// alarm: the clock may have followed the pulses there.
func (d *ramp) unexplained() float64 {
	if d.alarm.raised {
		return 0
	}
	return d.slow.excess
}

// pulse takes a pulse: its instant, CLOCK_MONOTONIC_RAW in ns, and its phase by
// the clock without steering, ns within the second. young: no clock has been locked to
// the pulses for long, and pulses that run otherwise for longer may be right.
func (d *ramp) pulse(mono int64, free float64, young bool) {
	x, ok := d.place(mono, free)
	switch {
	case !ok:
		d.clear()
	case d.alarm.raised:
		d.ending(mono, x, young)
	case d.n < rampMin:
		if d.n > 0 && d.points[d.n-1].far(x) {
			d.n = 0 // nothing of this kind makes a line
		}
		d.push(x)
		if d.n == rampMin && bent(d.points[:d.n]) {
			d.n = copy(d.points[:], d.points[rampMin/2:rampMin])
		}
	default:
		d.compare(mono, x)
	}
}

// place returns the pulse relative to the first; not ok after a gap.
func (d *ramp) place(mono int64, free float64) (x point, ok bool) {
	o := &d.origin
	first := d.n == 0 && d.alarm.n == 0
	if first {
		o.mono, o.free, o.phase, o.last = mono, free, 0, 0
	}
	elapsed := float64(mono - o.mono)
	t := math.Round(elapsed * 1e-9)
	y := free - o.free
	o.phase += y - 1e9*math.Round(y*1e-9)
	o.free = free
	if !first && (t <= o.last || t-o.last > rampGap) {
		return x, false
	}
	o.last = t
	return point{t, o.phase, elapsed - t*1e9}, true
}

// compare compares a pulse with the line of those before it.
func (d *ramp) compare(mono int64, x point) {
	fy, fr := fits(d.points[max(0, d.n-rampLine):d.n])
	dy, dr := x.y-fy.at(x.t), x.r-fr.at(x.t)
	limit := max(rampLeast, 5*fy.sigma, 5*fr.sigma)
	if math.Abs(dy) <= limit || math.Abs(dr) <= limit || !alike(dy, dr) {
		d.have = 0
		if math.Abs(dy) < limit || math.Abs(dr) < limit { // else a spike in both
			d.push(x)
			if slope, y, r, ok := d.slow.see(d.points[:d.n]); ok {
				d.raise(mono, slope, y, r)
			}
		}
		return
	}
	d.lost++
	switch {
	case d.lost > rampLost:
		d.clear()
	case math.Abs(dy) > rampMost:
		d.have = 0
	default:
		d.left(mono, dy, fy, fr)
	}
}

// bent reports whether points are no line by either clock: the pulses jumped among
// them. The noise of a line is that from point to point, which a jump leaves alone.
func bent(p []point) bool {
	y, r := fits(p)
	dy, dr := make([]float64, 0, rampMin), make([]float64, 0, rampMin)
	for i := 2; i < len(p); i++ {
		dy = append(dy, math.Abs(p[i].y-2*p[i-1].y+p[i-2].y))
		dr = append(dr, math.Abs(p[i].r-2*p[i-1].r+p[i-2].r))
	}
	slices.Sort(dy)
	slices.Sort(dr)
	// The median of second differences of white noise is 1.65 of its deviation.
	ny, nr := max(dy[len(dy)/2]/1.65, spanNoise), max(dr[len(dr)/2]/1.65, spanNoise)
	return y.sigma > rampBent*ny && r.sigma > rampBent*nr
}

// left takes a residual that both clocks agree on. A ramp, unlike a jump, is
// farther off with each pulse, by about as much.
func (d *ramp) left(mono int64, residual float64, fy, fr fit) {
	if d.have == rampRun {
		copy(d.run[:], d.run[1:])
		d.have--
	}
	d.run[d.have] = residual
	if d.have++; d.have < rampRun {
		return
	}
	slope := (d.run[rampRun-1] - d.run[0]) / (rampRun - 1)
	for i := 1; i < rampRun; i++ {
		if s := d.run[i] - d.run[i-1]; s*slope <= 0 || math.Abs(s-slope) > 0.5*math.Abs(slope)+2*fy.sigma {
			return
		}
	}
	if math.Abs(slope) < fy.sigma/2 || math.Abs(d.run[rampRun-1]) < 1.3*math.Abs(d.run[0]) {
		return
	}
	d.raise(mono, slope, fy, fr)
}

// alike reports whether two residuals are so near to each other that the pulses
// moved, away from both clocks.
func alike(a, b float64) bool { return math.Abs(a-b) < 0.3*max(math.Abs(a), math.Abs(b)) }

// raise raises the alarm: the pulses leave the lines y and r by slope, ns/s.
func (d *ramp) raise(mono int64, slope float64, y, r fit) {
	a := &d.alarm
	a.raised, a.since, a.slope, a.y, a.r, a.calm, a.n = true, mono, slope, y, r, 0, 0
	a.steady.n = 0
	d.slow.clear()
}

// ending looks, during an alarm, whether the pulses run as before, or, if the line before
// is young, as they do for longer now. It looks at so many pulses that their noise cannot
// hide a third of the slope that raised it.
func (d *ramp) ending(mono int64, x point, young bool) {
	a := &d.alarm
	if a.n == rampTail {
		copy(a.tail[:], a.tail[1:])
		a.n--
	}
	a.tail[a.n] = x
	a.n++
	noise := min(a.y.sigma, a.r.sigma)
	k := int(min(max(math.Cbrt(12*81*noise*noise/(a.slope*a.slope)), rampTailMin), rampTail))
	if a.n < k {
		return
	}
	y, r := fits(withoutSpikes(a.tail[a.n-k:a.n], 4*noise))
	age := float64(mono-a.since) * 1e-9
	width := min(rampSame+noise/2, math.Abs(a.slope)/2) + rampAge*age
	wy, wr := d.slow.wander(age)
	if s := &a.steady; s.n == 0 || math.Abs(y.b-s.y) > width+wy || math.Abs(r.b-s.r) > width+wr {
		s.y, s.r, s.n = y.b, r.b, 0
	}
	a.steady.n++
	if math.Abs(y.b-a.y.b) > width+wy || math.Abs(r.b-a.r.b) > width+wr {
		a.calm = 0
	} else {
		a.calm++
	}
	if a.calm < max(rampCalm, k) && !(young && a.steady.n >= rampSteady) { // over other pulses than those that first showed it
		return
	}
	a.raised = false
	d.clear()
}

// withoutSpikes returns the points that are at most limit ns off their line by
// either clock; all of them if that leaves less than half.
func withoutSpikes(p []point, limit float64) []point {
	y, r := fits(p)
	var near []point
	for _, x := range p {
		if math.Abs(x.y-y.at(x.t)) <= limit || math.Abs(x.r-r.at(x.t)) <= limit {
			near = append(near, x)
		}
	}
	if len(near) < len(p)/2 {
		return p
	}
	return near
}

func (d *ramp) push(x point) {
	if d.n == rampKeep {
		copy(d.points[:], d.points[1:])
		d.n--
	}
	d.points[d.n] = x
	d.n++
	d.lost = 0
}
