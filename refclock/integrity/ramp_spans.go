package integrity

import "math"

// spanLengths are the times over which a slow ramp is looked for, s.
var spanLengths = [...]float64{4, 6, 9, 13, 19, 28, 40}

const (
	spanLearn  = 64   // residuals of a span that must have been seen before it is judged by
	spanMemory = 900  // residuals over which their noise is learned
	spanAlarm  = 6    // standard deviations that raise an alarm, twice in a row
	spanExcess = 3    // standard deviations from which the bound covers the residual
	spanSame   = 3    // standard deviations by which the two clocks may differ about it
	spanOver   = 1.2  // factor on a residual: it grows until the next pulse
	spanShape  = 0.25 // of a ramp: its pulses may be off it by so much at most, root mean square
	spanWarm   = 1.0  // ppb/s: so fast temperature may turn both crystals together
	spanDecay  = 0.9  // of the excess is left a second later
	spanNoise  = 1.0  // ns: less noise than this is not assumed
)

// spans looks for ramps that no single pulse shows: over several times, how far
// have the latest pulses left the line of those before them, by both clocks? The
// usual residual of each span is learned: noise of stamps and crystals, and
// temperature.
type spans struct {
	seen   [len(spanLengths)]span
	excess float64 // ns that the bound has to cover
}

// span is what is learned of one length.
type span struct {
	y, r, common, difference usual // by the clock, by raw, of both together, between them
	bad                      int   // residuals in a row that would raise an alarm
}

// usual is how large residuals are when nothing happens.
type usual struct {
	sq float64 // mean square, ns^2
	n  int
}

// see returns the standard deviation so far and takes another residual.
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

// clear forgets residuals in a row. What is usual stays known.
func (s *spans) clear() {
	s.excess = 0
	for i := range s.seen {
		s.seen[i].bad = 0
	}
}

// see looks at pulses, oldest first. It returns the slope of the ramp they are
// on, ns/s, and both clocks' lines before it; ok if they certainly are on one.
func (s *spans) see(p []point) (slope float64, y, r fit, ok bool) {
	s.excess *= spanDecay
	for i, length := range spanLengths {
		k, j, enough := split(p, length)
		if !enough {
			continue
		}
		y, r = fits(p[j:k])
		if slope, ok = s.judge(&s.seen[i], p[k:], length, y, r); ok {
			return slope, y, r, true
		}
	}
	return 0, fit{}, fit{}, false
}

// lineTime returns how long the line before a span is, s.
func lineTime(length float64) float64 { return max(rampMin, 2*length) }

// split returns the index k of the first pulse of the last length seconds, and j
// of the line before it; not enough: there are too few pulses.
func split(p []point, length float64) (k, j int, enough bool) {
	now, line := p[len(p)-1].t, lineTime(length)
	k = since(p, now-length)
	j = since(p, now-length-line)
	return k, j, float64(k-j) >= 0.8*line && float64(len(p)-k) >= 0.8*length && now-length-line >= p[0].t-1
}

// judge looks at the pulses of one span, after the lines y and r.
func (s *spans) judge(e *span, p []point, length float64, y, r fit) (slope float64, ok bool) {
	start := p[len(p)-1].t - length
	var a, b, q float64
	for _, x := range p {
		tau := x.t - start
		a, b, q = a+tau*(x.y-y.at(x.t)), b+tau*(x.r-r.at(x.t)), q+tau*tau
	}
	dy, dr := a/q*length, b/q*length
	known := e.common.n >= spanLearn
	sy, sr := e.y.see(dy), e.r.see(dr)
	c := (dy/(sy*sy) + dr/(sr*sr)) / (1/(sy*sy) + 1/(sr*sr)) // the quieter clock counts for more
	sc, sd := e.common.see(c), e.difference.see(dy-dr)
	if !known || math.Abs(dy-dr) > spanSame*sd || math.Abs(c) < spanExcess*sc {
		e.bad = 0
		return 0, false
	}
	s.excess = max(s.excess, spanOver*math.Abs(c))
	if math.Abs(c) < spanAlarm*sc || math.Abs(c) < rampLeast+bend(length) || min(dy/c, dr/c) < 0.5 {
		e.bad = 0
		return 0, false
	}
	off, w := 0.0, sr*sr/(sy*sy+sr*sr)
	for _, x := range p {
		o := w*(x.y-y.at(x.t)) + (1-w)*(x.r-r.at(x.t)) - c/length*(x.t-start)
		off += o * o
	}
	if off = math.Sqrt(off / float64(len(p))); off > spanShape*math.Abs(c)+2*min(y.sigma, r.sigma) {
		e.bad = 0
		return 0, false
	}
	e.bad++
	return c / length, e.bad >= 2
}

// bend returns how far temperature may bend the pulses' line over a span, ns. It
// bends the line before the span, too: over half of it and the span from its
// middle.
func bend(length float64) float64 {
	line := lineTime(length)
	return spanWarm / 2 * ((length+line/2)*(length+line/2) - line*line/12)
}

// wander returns how far the rates of both clocks may have wandered after a time,
// ppb: three times what the longest span has shown beyond a short one's noise, and
// with the root of the time.
func (s *spans) wander(age float64) (y, r float64) {
	const last, short = len(spanLengths) - 1, 2
	k := 3 / spanLengths[last] * math.Sqrt(age/(1.5*spanLengths[last]))
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
