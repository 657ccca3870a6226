package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// stepWatch compares the clock's readings with CLOCK_MONOTONIC_RAW over time. It
// notices a step that nobody reported, and knows by how much the clock cannot
// have moved (ARCHITECTURE.md, "Why two detectors").
type stepWatch struct {
	ok        bool
	mono      int64 // of the last reading, CLOCK_MONOTONIC_RAW, ns
	clock     tai.Time
	freq      float64 // correction in force then, ppb
	count     int     // readings behind rate and noise
	rate      float64 // of the uncorrected clock against CLOCK_MONOTONIC_RAW, ppb
	noise     float64 // mean absolute error of a reading, ns
	suspect   bool    // the last reading was off
	suspectBy float64 // by so much, ns
}

const (
	untrainedTolerance = 5e6  // ns: while the rates are not known
	minTolerance       = 20e3 // ns: how long a reading may take
	trainedAfter       = 16   // readings before rate and noise are used
)

// tolerance returns the error, ns, that a reading dm ns after the last may have.
// beyond is the largest frequency error of a clock, ppb.
func (l *stepWatch) tolerance(dm, freq, beyond float64) float64 {
	if l.count < trainedAfter {
		return untrainedTolerance + beyond*dm*1e-9
	}
	return minTolerance + 10*l.noise + (2000+2*math.Abs(freq-l.freq))*dm*1e-9
}

// observe takes a reading at mono, with the correction in force and the largest
// frequency error of a clock, both in ppb. It reports a jump that two readings
// in a row show: one alone may have been interrupted.
func (l *stepWatch) observe(mono int64, clock tai.Time, freq, beyond float64) (jumped bool) {
	dm := float64(mono - l.mono)
	if !l.ok || dm < 0 {
		l.ok, l.mono, l.clock, l.freq, l.suspect = true, mono, clock, freq, false
		return false
	}
	if dm < 20e6 {
		return false // too short to measure a rate
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

// at carries the last reading to mono.
func (l *stepWatch) at(mono int64) tai.Time { return l.clock + tai.Time(mono-l.mono) }

// excludes reports whether the clock cannot have moved by ns within a second,
// because CLOCK_MONOTONIC_RAW would have shown it: then the pulses did.
func (l *stepWatch) excludes(ns float64) bool {
	return l.count >= trainedAfter && math.Abs(ns) > 2*l.tolerance(1e9, l.freq, 0)
}

// watchStep looks for a step that nobody reported: by another program, or over a
// suspend of the machine. Then neither phase nor second are known any more.
func (c *machine) watchStep(mono int64, clock tai.Time) {
	if c.step.pending || mono < c.step.mono {
		return
	}
	if c.steps.observe(mono, clock, c.est.corr.ppb, c.cfg.MaxFreqPPB+c.cfg.MaxErrorPPB) && (c.st.State != status.Unlocked || c.est.imm.Count() > 0) {
		c.reacquire(ClockStepped)
	}
}
