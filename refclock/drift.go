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
// noise lets it: on a card that is read over a slow bus gentle drifts pass.
// Temperature moves both crystals too, but no crystal turns within seconds.
type drift struct {
	t, y, r     [driftKeep]float64 // s; ns by the clock; ns by raw: since the first of them
	n           int
	mono0       int64   // of the first
	free, phase float64 // of the last: as it was given, and counted on over the second's ends

	run  [driftRun]float64 // last common departures in a row, ns
	have int

	moved bool
	since int64 // mono at which it was
	tail  [driftTail]struct{ t, y float64 }
	nt    int
	calm  int
	fy    fit // as it was when the doubt began
	last  float64
}

const (
	driftKeep  = 64   // pulses behind the line
	driftMin   = 24   // of them at least
	driftRun   = 4    // departures in a row that make a doubt
	driftTail  = 8    // pulses whose slope ends it
	driftCalm  = 10   // of such in a row
	driftLeast = 20   // ns: the least departure that is minded
	driftWide  = 10   // ppb: a slope so near to the old one is the old one,
	driftAge   = 0.02 // ppb/s: and by so much wider with time: crystals wander
)

// fit is a straight line by least squares.
type fit struct{ a, b, sigma float64 }

func (f fit) at(t float64) float64 { return f.a + f.b*t }

func leastSquares(t, y []float64) fit {
	n := float64(len(t))
	var st, sy, stt, sty float64
	for i := range t {
		st, sy = st+t[i], sy+y[i]
	}
	mt, my := st/n, sy/n
	for i := range t {
		stt += (t[i] - mt) * (t[i] - mt)
		sty += (t[i] - mt) * (y[i] - my)
	}
	f := fit{b: sty / stt}
	f.a = my - f.b*mt
	for i := range t {
		e := y[i] - f.at(t[i])
		f.sigma += e * e
	}
	f.sigma = math.Sqrt(f.sigma / (n - 2))
	return f
}

// clear forgets the pulses; a doubt stays.
func (d *drift) clear() { d.n, d.have, d.nt = 0, 0, 0 }

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
	d.free, y = free, d.phase
	r := el - t*1e9
	if (d.n > 0 || d.nt > 0) && (t <= d.last || t-d.last > 10) {
		d.clear()
		return d.moved
	}
	d.last = t
	if d.moved {
		return d.after(mono, t, y)
	}
	if d.n < driftMin {
		d.push(t, y, r)
		return false
	}
	fy, fr := leastSquares(d.t[:d.n], d.y[:d.n]), leastSquares(d.t[:d.n], d.r[:d.n])
	dy, dr := y-fy.at(t), r-fr.at(t)
	limit := max(driftLeast, 5*fy.sigma, 5*fr.sigma)
	common := math.Abs(dy) > limit && math.Abs(dr) > limit && math.Abs(dy-dr) < 0.3*max(math.Abs(dy), math.Abs(dr))
	if !common {
		d.have = 0
		if math.Abs(dy) < limit || math.Abs(dr) < limit { // else a spike in both
			d.push(t, y, r)
		}
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
	d.moved, d.since, d.fy, d.calm, d.nt = true, mono, fy, 0, 0
	return true
}

// after looks, while the reference is doubted, whether it runs as before.
func (d *drift) after(mono int64, t, y float64) bool {
	if d.nt == driftTail {
		copy(d.tail[:], d.tail[1:])
		d.nt--
	}
	d.tail[d.nt] = struct{ t, y float64 }{t, y}
	if d.nt++; d.nt < driftTail {
		return true
	}
	var ts, ys [driftTail]float64
	for i, p := range d.tail {
		ts[i], ys[i] = p.t, p.y
	}
	f := leastSquares(ts[:], ys[:])
	if wide := driftWide + driftAge*float64(mono-d.since)*1e-9 + d.fy.sigma/2; math.Abs(f.b-d.fy.b) > wide {
		d.calm = 0
		return true
	}
	if d.calm++; d.calm < driftCalm {
		return true
	}
	d.moved = false
	d.clear()
	return false
}

func (d *drift) push(t, y, r float64) {
	if d.n == driftKeep {
		copy(d.t[:], d.t[1:])
		copy(d.y[:], d.y[1:])
		copy(d.r[:], d.r[1:])
		d.n--
	}
	d.t[d.n], d.y[d.n], d.r[d.n] = t, y, r
	d.n++
}
