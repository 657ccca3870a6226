package phctest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Config describes a simulated clock and the device around it.
type Config struct {
	Seed  uint64
	Noise Noise
	Osc   *Oscillator // if set, used instead of Seed and Noise

	Truth  tai.Time      // true time at the mono source's reading Mono0
	Mono0  int64         // ns
	Start  time.Duration // clock minus truth at Mono0
	System time.Duration // CLOCK_REALTIME minus true UTC at Mono0

	IsSystem bool // the clock itself is CLOCK_REALTIME, shown as TAI: instead of System and SystemNoise

	SystemNoise Noise      // CLOCK_REALTIME's own error, rate included
	TAIOffset   int        // TAI - UTC of CLOCK_REALTIME; 0 means 37
	Leaps       *tai.Table // if set, CLOCK_REALTIME takes its leap seconds from it, as one that is disciplined

	MaxPPB     float64       // largest correction, default 100000 ppb
	StepPPB    float64       // smallest step of the correction, 0 = none
	Resolution time.Duration // of a reading, default 1 ns
	Width      time.Duration // bracket of a reading, 0 = all clocks at once
	StepJitter time.Duration // largest error of a step, as of drivers that read, modify and write
}

// ErrGone is the error of a missing device; it wraps phc.ErrGone.
var ErrGone = fmt.Errorf("simulated clock: %w", phc.ErrGone)

// Clock is a simulated PTP hardware clock. True time is exact: Truth + (mono -
// Mono0), plus the time that the machine slept. Its methods may be called from
// several goroutines.
type Clock struct {
	Faults
	mono func() int64
	cfg  Config

	mu   sync.Mutex // guards all below
	osc  *Oscillator
	sys  *Oscillator
	rng  *rand.Rand
	past past
	time timeline
}

// timeline is true time as a function of the mono source.
type timeline struct {
	truth  tai.Time // at mono0
	mono0  int64
	sleeps []sleep
}

// sleep is a period of true time in which the mono source stood still.
type sleep struct {
	mono int64
	d    int64 // ns
}

// at returns the true time at a reading of the mono source.
func (l *timeline) at(mono int64) tai.Time {
	t := l.truth + tai.Time(mono-l.mono0)
	for _, s := range l.sleeps {
		if mono >= s.mono {
			t += tai.Time(s.d)
		}
	}
	return t
}

// mono returns the reading of the mono source at a true time.
func (l *timeline) mono(t tai.Time) int64 {
	m := l.mono0 + int64(t-l.truth)
	for _, s := range l.sleeps {
		if m > s.mono {
			m = max(m-s.d, s.mono)
		}
	}
	return m
}

// segment is a period of time with one frequency correction and no step.
type segment struct {
	mono  int64
	phase float64 // correction accumulated so far: ns, without the oscillator's own
	whole int64   // the same, the part that does not fit a float64's precision
	ppb   float64
}

// past are the last segments, oldest first; there is at least one.
type past []segment

// maxSegments is the number of corrections kept for readings of the past: a
// minute, at four a second.
const maxSegments = 256

// at returns the segment that a reading of the mono source is in.
func (p past) at(mono int64) segment {
	i := len(p) - 1
	for i > 0 && p[i].mono > mono {
		i--
	}
	return p[i]
}

// last returns the newest segment.
func (p past) last() segment { return p[len(p)-1] }

// next returns a new segment that begins at mono and continues the last.
func (p past) next(mono int64) segment {
	s := p.last()
	m := max(mono, s.mono)
	s.phase += s.ppb * float64(m-s.mono) * 1e-9
	if math.Abs(s.phase) > 1e6 { // keep the float small, so that its last bit stays far below 1 ps
		w := math.Trunc(s.phase)
		s.whole, s.phase = s.whole+int64(w), s.phase-w
	}
	s.mono = m
	return s
}

func (p *past) push(s segment) {
	if len(*p) == maxSegments {
		*p = append((*p)[:0], (*p)[maxSegments/4:]...)
	}
	*p = append(*p, s)
}

// New returns a clock that runs on the given source of CLOCK_MONOTONIC_RAW.
func New(mono func() int64, cfg Config) *Clock {
	if cfg.MaxPPB == 0 {
		cfg.MaxPPB = 100000
	}
	if cfg.Resolution <= 0 {
		cfg.Resolution = 1
	}
	if cfg.TAIOffset == 0 {
		cfg.TAIOffset = 37
	}
	c := &Clock{mono: mono, cfg: cfg, osc: cfg.Osc, rng: rand.New(rand.NewPCG(cfg.Seed, 0x706863))}
	if c.osc == nil {
		c.osc = NewOscillator(cfg.Seed, cfg.Noise)
	}
	c.sys = NewOscillator(cfg.Seed^0x737973, cfg.SystemNoise)
	c.past = past{{mono: cfg.Mono0, whole: int64(cfg.Start)}}
	c.time = timeline{truth: cfg.Truth, mono0: cfg.Mono0}
	return c
}

// True returns the true time at a reading of the mono source; for the reading
// during a sleep, the time of waking up.
func (c *Clock) True(mono int64) tai.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time.at(mono)
}

// MonoAt returns the mono source's reading at a true time; for a time within a
// sleep, the reading during the sleep.
func (c *Clock) MonoAt(t tai.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time.mono(t)
}

// Suspend lets the machine sleep now: true time advances by d, and the mono source
// stands still. If runs, the clock keeps its error; otherwise it stands still, too,
// and is slow by d afterwards. CLOCK_REALTIME is right afterwards.
func (c *Clock) Suspend(d time.Duration, runs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.past.next(c.mono())
	if !runs {
		s.whole -= int64(d)
	}
	c.past.push(s)
	c.time.sleeps = append(c.time.sleeps, sleep{s.mono, int64(d)})
}

// Slept returns the time for which the machine has slept.
func (c *Clock) Slept() (d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.time.sleeps {
		d += time.Duration(s.d)
	}
	return d
}

// Error returns clock - true time in ns at a reading of the mono source, + = clock
// fast. The reading may be up to about a minute in the past.
func (c *Clock) Error(mono int64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, f := c.err(mono)
	return float64(w) + f
}

// At returns the clock's reading at a reading of the mono source, in steps of its
// resolution.
func (c *Clock) At(mono int64) tai.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(mono)
}

func (c *Clock) at(mono int64) tai.Time {
	w, f := c.err(mono)
	t := c.time.at(mono) + tai.Time(w) + tai.Time(math.Round(f))
	return t - t%tai.Time(c.cfg.Resolution)
}

func (c *Clock) err(mono int64) (whole int64, ns float64) {
	s := c.past.at(mono)
	d := float64(mono-s.mono) * 1e-9
	return s.whole, s.phase + s.ppb*d + c.osc.Phase(float64(mono-c.cfg.Mono0)*1e-9)
}

// RealAt returns the simulated CLOCK_REALTIME, ns since the POSIX epoch, at a
// reading of the mono source.
func (c *Clock) RealAt(mono int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.realAt(mono)
}

func (c *Clock) realAt(mono int64) int64 {
	t, offset := c.time.at(mono), c.cfg.TAIOffset
	if c.cfg.IsSystem {
		t = c.at(mono)
	}
	if c.cfg.Leaps != nil {
		offset = c.cfg.Leaps.Offset(t)
	}
	if c.cfg.IsSystem {
		return int64(t) - int64(offset)*1e9
	}
	x := c.sys.Phase(float64(mono-c.cfg.Mono0) * 1e-9)
	return int64(t) - int64(offset)*1e9 + int64(c.cfg.System) + int64(math.Round(x))
}

// Cross reads the three clocks. The simulated clock is read at a random instant
// within a bracket of Width around the other two.
func (c *Clock) Cross() (phc.Cross, error) {
	if err := c.check("read"); err != nil {
		return phc.Cross{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.mono()
	at := m
	if w := int64(c.cfg.Width); w > 0 {
		at += c.rng.Int64N(w+1) - w/2
	}
	// A reading after a step must show it; in virtual time the bracket would reach
	// back to before the step.
	at = max(at, c.past.last().mono)
	x := phc.Cross{Clock: c.at(at), Mono: m, Width: c.cfg.Width}
	if x.Real = c.realAt(m); c.cfg.IsSystem {
		x.Real = c.realAt(at)
	}
	return x, nil
}

// Step adds delta to the clock, + = forward.
func (c *Clock) Step(delta time.Duration) error {
	if err := c.check("step"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if j := int64(c.cfg.StepJitter); j > 0 {
		delta += time.Duration(c.rng.Int64N(2*j+1) - j)
	}
	s := c.past.next(c.mono())
	s.whole += int64(delta)
	c.past.push(s)
	return nil
}

// AdjFreq sets the correction, absolute, in ppb, + = faster. Beyond MaxFreq it sets
// the limit and returns phc.ErrFreqRange, as phc.Device does.
func (c *Clock) AdjFreq(ppb float64) error {
	if err := c.check("adjust"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if math.IsNaN(ppb) {
		return fmt.Errorf("adjust simulated clock: %w: not a number", phc.ErrFreqRange)
	}
	var beyond error
	if math.Abs(ppb) > c.cfg.MaxPPB {
		beyond = fmt.Errorf("adjust simulated clock: %w: %.3f ppb is beyond its %.0f", phc.ErrFreqRange, ppb, c.cfg.MaxPPB)
		ppb = math.Copysign(c.cfg.MaxPPB, ppb)
	}
	if q := c.cfg.StepPPB; q > 0 {
		ppb = math.Round(ppb/q) * q
	}
	s := c.past.next(c.mono())
	s.ppb = ppb
	c.past.push(s)
	return beyond
}

// MaxFreq returns the largest correction in ppb.
func (c *Clock) MaxFreq() float64 { return c.cfg.MaxPPB }

// FreqPPB returns the correction in force.
func (c *Clock) FreqPPB() (float64, error) {
	if err := c.check("read"); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.past.last().ppb, nil
}

// Index returns -1: a simulated clock is not a /dev/ptpN.
func (c *Clock) Index() int { return -1 }

// Name returns "sim".
func (c *Clock) Name() string { return "sim" }

// Close does nothing.
func (c *Clock) Close() error { return nil }

// Disturb steps the clock as another program would.
func (c *Clock) Disturb(delta time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.past.next(c.mono())
	s.whole += int64(delta)
	c.past.push(s)
}

// Reset does what a driver does that restarts its card: the clock is stepped by
// delta, and the correction is lost.
func (c *Clock) Reset(delta time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.past.next(c.mono())
	s.whole += int64(delta)
	s.ppb = 0
	c.past.push(s)
}
