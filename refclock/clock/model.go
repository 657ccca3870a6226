package clock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Assumed noise of a clock's rate against CLOCK_MONOTONIC_RAW between two
// readings: two ordinary crystals. Only the smoothing of the model depends on
// it; readings come five times a second.
const (
	modelWhiteFM = 5.0 // ppb at 1 s
	modelWalkFM  = 0.5 // ppb per sqrt(s)
)

// Model is the running estimate of clock = a + b * CLOCK_MONOTONIC_RAW. It is a
// Kalman filter over cross timestamps that knows the commanded corrections and
// steps, so that it need not estimate them. The bracket of a reading is certain:
// the clock was within half of the bracket's width of the reading. That bounds
// the model's error, whatever the filter estimates.
//
// The zero Model knows nothing.
type Model struct {
	known   bool
	mono    int64    // anchor, CLOCK_MONOTONIC_RAW, ns
	clock   tai.Time // at the anchor
	frac    float64  // ns beyond clock
	freePPB float64  // rate of the uncorrected clock against raw, + = faster
	cmdPPB  float64  // correction in force
	p00     float64  // variance of the phase, ns^2
	p01     float64  // covariance, ns * ppb
	p11     float64  // variance of the rate, ppb^2
	noise   float64  // learned variance of a reading, ns^2; 0 = not known yet
	width   float64  // smoothed bracket, ns
	off     float64  // bound of the model's error at the anchor, ns
	last    int64    // mono of the last reading
}

// Known reports whether the model stands on at least one reading.
func (m *Model) Known() bool { return m.known }

// Clock returns the clock's reading at the model's anchor.
func (m *Model) Clock() tai.Time { return m.clock }

// Width returns the smoothed width of a reading's bracket, ns.
func (m *Model) Width() float64 { return m.width }

// reset starts the model anew from one reading. keep keeps the free rate, which a
// step does not change.
func (m *Model) reset(x phc.Cross, cmdPPB float64, keep bool) {
	w := float64(x.Width)
	n := Model{known: true, mono: x.Mono, clock: x.Clock, cmdPPB: cmdPPB, width: w, off: w/2 + 1, last: x.Mono, p00: readVar(w), p11: 1e10} // 100 ppm
	if keep && m.known {
		n.freePPB, n.p11, n.noise = m.freePPB, m.p11, m.noise
	}
	*m = n
}

// resume continues the model of an earlier run, from whose line the first reading is
// off by ns. phaseErr (ns) and rateErr (ppb) are three standard deviations of that line
// now and of its free rate freePPB. The bound of the error stays that of the reading.
func (m *Model) resume(ns, phaseErr, freePPB, rateErr float64) {
	p := phaseErr * phaseErr / 9
	k := m.p00 / (m.p00 + p)
	m.shift(-k * ns)
	m.off += math.Abs(k * ns)
	m.p00 -= k * m.p00
	m.freePPB, m.p11 = freePPB, min(m.p11, rateErr*rateErr/9)
}

// readVar returns the variance, ns^2, of a reading that may lie anywhere in its
// bracket of a width in ns and is rounded to whole ns.
func readVar(width float64) float64 { return width*width/12 + 0.25 }

// Rate returns the clock's rate against raw, ppb, + = faster.
func (m *Model) Rate() float64 { return m.freePPB + m.cmdPPB }

// At returns the clock's reading at an instant of raw.
func (m *Model) At(mono int64) tai.Time {
	t, _ := m.atFrac(mono)
	return t
}

func (m *Model) atFrac(mono int64) (tai.Time, float64) {
	d := mono - m.mono
	x := m.frac + float64(d)*m.Rate()*1e-9
	w := math.Floor(x + 0.5)
	return m.clock + tai.Time(d) + tai.Time(w), x - w
}

// When returns the instant of raw at which the clock shows t.
func (m *Model) When(t tai.Time) int64 {
	d := float64(t-m.clock) - m.frac
	return m.mono + int64(t-m.clock) - int64(math.Round(m.frac+d*m.Rate()*1e-9/(1+m.Rate()*1e-9)))
}

// advance moves the anchor to a later instant; the uncertainty grows.
func (m *Model) advance(mono int64) {
	if mono <= m.mono {
		return
	}
	m.clock, m.frac = m.atFrac(mono)
	dt := float64(mono-m.mono) * 1e-9
	m.mono = mono
	before := math.Sqrt(m.p00)
	m.p00 += dt*(2*m.p01+dt*m.p11) + modelWhiteFM*modelWhiteFM*dt + modelWalkFM*modelWalkFM*dt*dt*dt/3
	m.p01 += dt*m.p11 + modelWalkFM*modelWalkFM*dt*dt/2
	m.p11 += modelWalkFM * modelWalkFM * dt
	m.off += 3 * (math.Sqrt(m.p00) - before)
}

// residual returns the reading minus the model, ns, and its largest value while
// nobody but the owner moves the clock.
func (m *Model) residual(x phc.Cross) (ns, limit float64) {
	dt := math.Abs(float64(x.Mono-m.mono)) * 1e-9
	v := m.p00 + 2*math.Abs(m.p01)*dt + m.p11*dt*dt + m.noise
	return m.offset(x), float64(x.Width)/2 + m.width/2 + 8*math.Sqrt(v) + 100 + 1000*dt
}

// update takes a reading into the estimate.
func (m *Model) update(x phc.Cross) {
	m.advance(x.Mono)
	v := m.offset(x)
	w := float64(x.Width)
	// Real readings scatter far less than the width of their bracket, most of
	// which is a constant delay. Learn the scatter, starting from the worst.
	r := readVar(w)
	if m.noise > 0 {
		n := m.noise
		if m.width > 0 && w > m.width { // a bracket wider than usual is less exact
			n *= (w / m.width) * (w / m.width)
		}
		r = min(r, n)
	}
	s := m.p00 + r
	k0, k1 := m.p00/s, m.p01/s
	m.shift(k0 * v)
	m.freePPB += k1 * v
	m.p11 -= k1 * m.p01
	m.p01 -= k1 * m.p00
	m.p00 -= k0 * m.p00
	const a = 1.0 / 32
	if m.p11 < 1e4 { // before that the innovation shows the rate, not the noise
		n := max(min(v*v, 25*readVar(w))-m.p00, 0.25)
		if m.noise == 0 {
			m.noise = readVar(w)
		}
		m.noise = max(m.noise+a*(n-m.noise), 0.25)
	}
	// The bracket is certain. A model that is outside of it by more than its own
	// uncertainty has missed a change of the rate (an oscillator jumps, a daemon
	// slews): let the filter follow.
	left := m.offset(x)
	if over := math.Abs(left) - w/2 - 1; over > 0 {
		m.shift(math.Copysign(over, left))
		if dt := float64(x.Mono-m.last) * 1e-9; dt > 1e-3 && over > 3*math.Sqrt(m.p00) {
			m.p11 += (over / dt) * (over / dt)
		}
		left = m.offset(x)
	}
	sure := w/2 + math.Abs(left) + 1
	if m.off += math.Abs(k0 * v); m.off > sure || m.off < math.Abs(left)-w/2 {
		m.off = sure
	}
	m.last = x.Mono
	m.width += a * (w - m.width)
}

// offset returns a reading minus the model, ns.
func (m *Model) offset(x phc.Cross) float64 {
	t, f := m.atFrac(x.Mono)
	return float64(x.Clock.Sub(t)) - f
}

// shift moves the model by ns.
func (m *Model) shift(ns float64) {
	f := m.frac + ns
	w := math.Floor(f + 0.5)
	m.clock, m.frac = m.clock+tai.Time(w), f-w
}

// command notes that the correction changes at an instant of raw.
func (m *Model) command(mono int64, ppb float64) {
	m.advance(mono)
	m.cmdPPB = ppb
}

// Err returns the bound of the model's error at its anchor.
func (m *Model) Err() time.Duration { return time.Duration(math.Ceil(m.off)) }

// RateErr returns the error of the model's rate, three standard deviations, ppb.
func (m *Model) RateErr() float64 { return 3 * math.Sqrt(max(m.p11, 0)) }
