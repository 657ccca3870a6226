package refclock

import "math"

// driftSpans are the times over which a slow ramp is looked for, s.
var driftSpans = [...]float64{4, 6, 9, 13, 19, 28, 40}

const (
	spanLearn  = 64   // departures of a span that must have been seen before it is judged by
	spanMemory = 900  // departures by which their noise is learned
	spanDoubt  = 6    // standard deviations that make a doubt, twice in a row,
	spanStrain = 3    // and that the bound is to cover
	spanSame   = 3    // standard deviations by which the two clocks may differ about it
	spanOver   = 1.2  // what a departure is taken for more than it shows: it grows until the next pulse
	spanShape  = 0.25 // of a ramp, its pulses may be off it at most, root mean square
	spanWarm   = 1.0  // ppb/s: so fast may temperature turn both crystals together
	spanEase   = 0.9  // of the strain is left a second later
	spanNoise  = 1.0  // ns: less noise is not believed
)

// spans looks for ramps that no single pulse shows: over several times, how far
// have the last pulses left the line that those before them made, by both
// clocks? What is ordinary is learned for each span: the noise of stamps and
// crystals, and what the room does.
type spans struct {
	seen [len(driftSpans)]struct {
		y, r, c, d usual // by the clock, by raw, together, and their difference
		bad        int   // in a row that would make a doubt
	}
	strain float64
}

// usual is how large departures are when nothing happens.
type usual struct {
	sq float64 // mean square, ns^2
	n  int
}

// see returns the standard deviation so far and takes another departure.
func (u *usual) see(x float64) float64 {
	sigma := max(math.Sqrt(u.sq), spanNoise)
	sq := x * x
	if u.n >= spanLearn {
		sq = min(sq, 9*sigma*sigma)
	}
	u.n = min(u.n+1, spanMemory)
	u.sq += (sq - u.sq) / float64(u.n)
	return sigma
}

// clear forgets departures in a row; what is ordinary stays known.
func (s *spans) clear() {
	s.strain = 0
	for i := range s.seen {
		s.seen[i].bad = 0
	}
}

// see looks at pulses, oldest first. It returns the slope of the ramp they are
// on, ns/s, both clocks' lines before it, and whether they are on one beyond
// doubt.
func (s *spans) see(p []point) (slope float64, y0, r0 fit, ok bool) {
	s.strain *= spanEase
	now := p[len(p)-1].t
	for i, span := range driftSpans {
		back := max(driftMin, 2*span)
		k := since(p, now-span)      // the first of the span
		j := since(p, now-span-back) // the first of the line before it
		if float64(k-j) < 0.8*back || float64(len(p)-k) < 0.8*span || now-span-back < p[0].t-1 {
			continue
		}
		fy, fr := fits(p[j:k])
		var a, b, q float64
		for _, x := range p[k:] {
			tau := x.t - (now - span)
			a, b, q = a+tau*(x.y-fy.at(x.t)), b+tau*(x.r-fr.at(x.t)), q+tau*tau
		}
		y, r := a/q*span, b/q*span
		e := &s.seen[i]
		known := e.c.n >= spanLearn
		sy, sr := e.y.see(y), e.r.see(r)
		c := (y/(sy*sy) + r/(sr*sr)) / (1/(sy*sy) + 1/(sr*sr)) // the quieter counts for more
		sc, sd := e.c.see(c), e.d.see(y-r)
		if !known || math.Abs(y-r) > spanSame*sd || math.Abs(c) < spanStrain*sc {
			e.bad = 0
			continue
		}
		s.strain = max(s.strain, spanOver*math.Abs(c))
		// Warmth bends the line before the span, too: over half of it and the
		// span from its middle.
		bend := spanWarm / 2 * ((span+back/2)*(span+back/2) - back*back/12)
		if math.Abs(c) < spanDoubt*sc || math.Abs(c) < driftLeast+bend || min(y/c, r/c) < 0.5 {
			e.bad = 0
			continue
		}
		off, w := 0.0, sr*sr/(sy*sy+sr*sr)
		for _, x := range p[k:] {
			o := w*(x.y-fy.at(x.t)) + (1-w)*(x.r-fr.at(x.t)) - c/span*(x.t-(now-span))
			off += o * o
		}
		if off = math.Sqrt(off / float64(len(p)-k)); off > spanShape*math.Abs(c)+2*min(fy.sigma, fr.sigma) {
			e.bad = 0
			continue
		}
		if e.bad++; e.bad >= 2 {
			return c / span, fy, fr, true
		}
	}
	return 0, y0, r0, false
}

// wander is how far the rates of both clocks may have wandered after a time, ppb:
// three times what the longest span has shown beyond a short one's noise, and with the
// root of the time.
func (s *spans) wander(age float64) (y, r float64) {
	const last, short = len(driftSpans) - 1, 2
	k := 3 / driftSpans[last] * math.Sqrt(age/(1.5*driftSpans[last]))
	a, b := &s.seen[last], &s.seen[short]
	return k * math.Sqrt(max(0, a.y.sq-b.y.sq)), k * math.Sqrt(max(0, a.r.sq-b.r.sq))
}

// since returns the index of the first point later than t.
func since(p []point, t float64) int {
	k := len(p)
	for k > 0 && p[k-1].t > t {
		k--
	}
	return k
}
