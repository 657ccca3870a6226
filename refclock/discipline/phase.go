package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// line follows the clock against CLOCK_MONOTONIC_RAW, an independent witness of
// steps that we did not order.
type line struct {
	ok      bool
	mono    int64
	clock   tai.Time
	freq    float64 // correction in force at mono, ppb
	n       int     // readings behind rate and noise
	rate    float64 // of the uncorrected clock against the counter, ppb
	noise   float64 // mean absolute error of a reading, ns
	suspect bool    // the last reading was off,
	by      float64 // by so much, ns
}

const (
	lineBlind = 5e6  // ns: tolerance while nothing is known of the rates
	lineSharp = 20e3 // ns: tolerance at least; a reading may take that long
	lineReady = 16   // readings before the rate is believed
)

// tolerance is by how much a reading dm ns after the last may be off, ns.
func (l *line) tolerance(dm, freq, beyond float64) float64 {
	if l.n < lineReady {
		return lineBlind + beyond*dm*1e-9
	}
	return lineSharp + 10*l.noise + (2000+2*math.Abs(freq-l.freq))*dm*1e-9
}

// see takes a reading, with the correction in force and the frequency beyond
// which no clock is, both ppb. It reports a jump that two readings in a row have
// shown: one alone may have been interrupted.
func (l *line) see(mono int64, clock tai.Time, freq, beyond float64) (jumped bool) {
	dm := float64(mono - l.mono)
	if !l.ok || dm < 0 {
		l.ok, l.mono, l.clock, l.freq, l.suspect = true, mono, clock, freq, false
		return false
	}
	if dm < 20e6 {
		return false // too near to tell a rate
	}
	off := float64(clock.Sub(l.clock)-time.Duration(mono-l.mono)) - (l.rate+freq)*dm*1e-9
	if tol := l.tolerance(dm, freq, beyond); math.Abs(off) > tol {
		jumped = l.suspect && math.Abs(off-l.by) <= tol
		l.suspect, l.by, l.ok = true, off, !jumped
		return jumped
	}
	l.n++
	if math.Abs(freq-l.freq) < 1000 || l.n < lineReady {
		k := 1 / math.Min(float64(l.n), 32)
		l.rate += k * off / dm * 1e9
		l.noise += k * (math.Abs(off) - l.noise)
	}
	l.mono, l.clock, l.freq, l.suspect = mono, clock, freq, false
	return false
}

// seeClock watches for a jump that we did not order (somebody else's step, a
// suspended machine); it ends all trust in phase and second.
func (c *Controller) seeClock(mono int64, clock tai.Time) {
	if c.stepping || mono < c.epoch {
		return
	}
	if c.line.see(mono, clock, c.freq, c.cfg.MaxFreqPPB+c.cfg.MaxErrorPPB) && (c.st.State != status.Unlocked || c.bank.Ready() > 0) {
		c.reacquire(ClockStepped, mono)
	}
}

// clockAt carries the clock's last reading to mono.
func (c *Controller) clockAt(mono int64) tai.Time {
	return c.line.clock + tai.Time(mono-c.line.mono)
}

// movedAt returns by how much corrections moved the clock from edgeMono to
// mono, ns.
func (c *Controller) movedAt(mono int64) float64 {
	if mono < c.freqMono {
		return c.moved - c.oldFreq*float64(c.freqMono-mono)*1e-9
	}
	return c.moved + c.freq*float64(mono-c.freqMono)*1e-9
}

// phaseAt returns the estimated offset at mono, ns.
func (c *Controller) phaseAt(mono int64) float64 {
	e := c.bank.Estimate()
	return e.Phase + e.Freq*float64(mono-c.edgeMono)*1e-9 + c.turned(mono) + c.movedAt(mono)
}

// setFreq puts a correction in force at mono.
func (c *Controller) setFreq(mono int64, ppb float64) {
	if math.IsNaN(ppb) {
		return
	}
	ppb = math.Max(-c.cfg.MaxFreqPPB, math.Min(c.cfg.MaxFreqPPB, ppb))
	if mono >= c.freqMono {
		c.moved = c.movedAt(mono)
		c.oldFreq, c.freqMono = c.freq, mono
	}
	c.freq = ppb
}

// advance carries the estimate to the edge of second sec at mono.
func (c *Controller) advance(sec tai.Time, mono int64) {
	dt := float64(sec-c.sec) / 1e9
	moved := c.movedAt(mono)
	// Corrections are summed over CLOCK_MONOTONIC_RAW, whose seconds are not
	// quite the pulses' seconds.
	if el := float64(mono-c.edgeMono) / 1e9; el > 0.5 && math.Abs(dt/el-1) < 1e-3 {
		moved *= dt / el
	}
	turned := c.turned(mono)
	c.bank.Advance(dt, moved+turned)
	c.settleCourse(mono, dt, turned)
	c.total += moved
	after := c.movedAt(max(mono, c.freqMono)) - c.movedAt(mono)
	c.sec, c.edgeMono, c.moved = sec, mono, after
	c.freqMono = max(mono, c.freqMono)
}
