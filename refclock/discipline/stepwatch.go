package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// stepWatch follows the clock against CLOCK_MONOTONIC_RAW, an independent witness of
// steps that we did not order.
type stepWatch struct {
	ok        bool
	mono      int64
	clock     tai.Time
	freq      float64 // correction in force at mono, ppb
	count     int     // readings behind rate and noise
	rate      float64 // of the uncorrected clock against the counter, ppb
	noise     float64 // mean absolute error of a reading, ns
	suspect   bool    // the last reading was off,
	suspectBy float64 // by so much, ns
}

const (
	untrainedTolerance = 5e6  // ns: tolerance while nothing is known of the rates
	minTolerance       = 20e3 // ns: tolerance at least; a reading may take that long
	trainedAfter       = 16   // readings before the rate is believed
)

// tolerance is by how much a reading dm ns after the last may be off, ns.
func (l *stepWatch) tolerance(dm, freq, beyond float64) float64 {
	if l.count < trainedAfter {
		return untrainedTolerance + beyond*dm*1e-9
	}
	return minTolerance + 10*l.noise + (2000+2*math.Abs(freq-l.freq))*dm*1e-9
}

// observe takes a reading, with the correction in force and the frequency beyond
// which no clock is, both ppb. It reports a jump that two readings in a row have
// shown: one alone may have been interrupted.
func (l *stepWatch) observe(mono int64, clock tai.Time, freq, beyond float64) (jumped bool) {
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
		jumped = l.suspect && math.Abs(off-l.suspectBy) <= tol
		l.suspect, l.suspectBy, l.ok = true, off, !jumped
		return jumped
	}
	l.count++
	if math.Abs(freq-l.freq) < 1000 || l.count < trainedAfter {
		k := 1 / math.Min(float64(l.count), 32)
		l.rate += k * off / dm * 1e9
		l.noise += k * (math.Abs(off) - l.noise)
	}
	l.mono, l.clock, l.freq, l.suspect = mono, clock, freq, false
	return false
}

// watchStep watches for a jump that we did not order (somebody else's step, a
// suspended machine); it ends all trust in phase and second.
func (c *Controller) watchStep(mono int64, clock tai.Time) {
	if c.stepping || mono < c.stepMono {
		return
	}
	if c.steps.observe(mono, clock, c.freq, c.cfg.MaxFreqPPB+c.cfg.MaxErrorPPB) && (c.st.State != status.Unlocked || c.imm.Count() > 0) {
		c.reacquire(ClockStepped)
	}
}

// clockAt carries the clock's last reading to mono.
func (c *Controller) clockAt(mono int64) tai.Time {
	return c.steps.clock + tai.Time(mono-c.steps.mono)
}
