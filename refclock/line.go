package refclock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Assumed noise of a clock's rate against CLOCK_MONOTONIC_RAW between two
// readings: two ordinary crystals. Only the smoothing of the line depends on
// it; readings come four times a second.
const (
	lineWhiteFM = 5.0 // ppb at 1 s
	lineWalkFM  = 0.5 // ppb per sqrt(s)
)

// line is the running estimate of clock = a + b * CLOCK_MONOTONIC_RAW: a
// filter over cross timestamps that knows the frequency corrections and steps
// we command, so that it need not learn them. A bracket is a certainty: the
// clock was within half of its width of the reading. That bounds the line's
// error whatever the filter believes.
type line struct {
	ok      bool
	mono    int64
	clock   tai.Time // at mono
	frac    float64  // ns beyond clock
	freePPB float64  // rate of the uncorrected clock against raw, + = faster
	cmdPPB  float64  // correction in force
	p00     float64  // variance of the phase, ns2
	p01     float64
	p11     float64 // variance of the rate, ppb2
	noise   float64 // learned variance of a reading, ns2; 0 = not known yet
	width   float64 // smoothed bracket, ns
	off     float64 // bound of the line's error at mono, ns
	last    int64   // mono of the last reading
}

// reset forgets everything and starts from one reading. The free rate is kept
// if keep: a step does not change it.
func (l *line) reset(x phc.Cross, cmdPPB float64, keep bool) {
	w := float64(x.Width)
	n := line{ok: true, mono: x.Mono, clock: x.Clock, cmdPPB: cmdPPB, width: w, off: w/2 + 1, last: x.Mono, p00: readVar(w), p11: 1e10} // 100 ppm
	if keep && l.ok {
		n.freePPB, n.p11, n.noise = l.freePPB, l.p11, l.noise
	}
	*l = n
}

// readVar is the variance of a reading that may lie anywhere in its bracket,
// and has whole ns.
func readVar(width float64) float64 { return width*width/12 + 0.25 }

// rate is the clock's rate against raw in ppb.
func (l *line) rate() float64 { return l.freePPB + l.cmdPPB }

// at returns the clock's reading at an instant of raw.
func (l *line) at(mono int64) tai.Time {
	t, _ := l.atFrac(mono)
	return t
}

func (l *line) atFrac(mono int64) (tai.Time, float64) {
	d := mono - l.mono
	x := l.frac + float64(d)*l.rate()*1e-9
	w := math.Floor(x + 0.5)
	return l.clock + tai.Time(d) + tai.Time(w), x - w
}

// when returns the instant of raw at which the clock shows t.
func (l *line) when(t tai.Time) int64 {
	d := float64(t-l.clock) - l.frac
	return l.mono + int64(t-l.clock) - int64(math.Round(l.frac+d*l.rate()*1e-9/(1+l.rate()*1e-9)))
}

// advance moves the anchor to an instant, its uncertainty growing.
func (l *line) advance(mono int64) {
	if mono <= l.mono {
		return
	}
	l.clock, l.frac = l.atFrac(mono)
	dt := float64(mono-l.mono) * 1e-9
	l.mono = mono
	before := math.Sqrt(l.p00)
	l.p00 += dt*(2*l.p01+dt*l.p11) + lineWhiteFM*lineWhiteFM*dt + lineWalkFM*lineWalkFM*dt*dt*dt/3
	l.p01 += dt*l.p11 + lineWalkFM*lineWalkFM*dt*dt/2
	l.p11 += lineWalkFM * lineWalkFM * dt
	l.off += 3 * (math.Sqrt(l.p00) - before)
}

// surprise returns the reading's clock minus the line, in ns, and what may be
// expected of it at most.
func (l *line) surprise(x phc.Cross) (ns, limit float64) {
	dt := math.Abs(float64(x.Mono-l.mono)) * 1e-9
	v := l.p00 + 2*math.Abs(l.p01)*dt + l.p11*dt*dt + l.noise
	return l.miss(x), float64(x.Width)/2 + l.width/2 + 8*math.Sqrt(v) + 100 + 1000*dt
}

// update takes a reading into the estimate.
func (l *line) update(x phc.Cross) {
	l.advance(x.Mono)
	v := l.miss(x)
	w := float64(x.Width)
	// The scatter of real brackets may be far below their width, which is
	// mostly a constant delay: learn it, starting from the worst.
	r := readVar(w)
	if l.noise > 0 {
		n := l.noise
		if l.width > 0 && w > l.width { // a bracket wider than usual says less
			n *= (w / l.width) * (w / l.width)
		}
		r = min(r, n)
	}
	s := l.p00 + r
	k0, k1 := l.p00/s, l.p01/s
	l.shift(k0 * v)
	l.freePPB += k1 * v
	l.p11 -= k1 * l.p01
	l.p01 -= k1 * l.p00
	l.p00 -= k0 * l.p00
	const a = 1.0 / 32
	if l.p11 < 1e4 { // before that the innovation tells of the rate
		n := max(min(v*v, 25*readVar(w))-l.p00, 0.25)
		if l.noise == 0 {
			l.noise = readVar(w)
		}
		l.noise = max(l.noise+a*(n-l.noise), 0.25)
	}
	// The bracket's word is final. A line that is outside it by more than its
	// own uncertainty has missed a change of the rate (an oscillator jumps, a
	// daemon slews): let the filter follow.
	left := l.miss(x)
	if over := math.Abs(left) - w/2 - 1; over > 0 {
		l.shift(math.Copysign(over, left))
		if dt := float64(x.Mono-l.last) * 1e-9; dt > 1e-3 && over > 3*math.Sqrt(l.p00) {
			l.p11 += (over / dt) * (over / dt)
		}
		left = l.miss(x)
	}
	sure := w/2 + math.Abs(left) + 1
	if l.off += math.Abs(k0 * v); l.off > sure || l.off < math.Abs(left)-w/2 {
		l.off = sure
	}
	l.last = x.Mono
	l.width += a * (w - l.width)
}

// miss returns a reading's clock minus the line, ns.
func (l *line) miss(x phc.Cross) float64 {
	t, f := l.atFrac(x.Mono)
	return float64(x.Clock.Sub(t)) - f
}

// shift moves the line by ns.
func (l *line) shift(ns float64) {
	f := l.frac + ns
	w := math.Floor(f + 0.5)
	l.clock, l.frac = l.clock+tai.Time(w), f-w
}

// command tells that the correction changes at an instant of raw.
func (l *line) command(mono int64, ppb float64) {
	l.advance(mono)
	l.cmdPPB = ppb
}

// err is how far the line may be from the clock at its anchor.
func (l *line) err() time.Duration { return time.Duration(math.Ceil(l.off)) }

// rateErr is how far the line's rate may be off, ppb.
func (l *line) rateErr() float64 { return 3 * math.Sqrt(max(l.p11, 0)) }
