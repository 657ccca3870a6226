package discipline

import (
	"math"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
)

// estimate is what is known of the clock's phase and of the oscillator's
// frequency. It holds at the edge of second sec, which was at mono. Before the
// second is known, sec is provisional: the fraction is right, the whole seconds
// are not.
type estimate struct {
	imm  *servo.IMM
	sec  tai.Time
	mono int64 // CLOCK_MONOTONIC_RAW, ns
	corr corrections
	osc  oscillator

	// How far the estimate can be trusted.
	prediction servo.PredictionError
	hist       history
	age        float64      // s by which the estimate is older than mono
	others     alternatives // further opinions that the bound covers
	drift      float64      // ns: deviation of the pulses from their prediction that the bound covers
	departure  departure    // the line before a drift of the pulses that was followed
}

// corrections are the frequency corrections of the clock, in ppb, and the
// distances by which they moved it, in ns.
type corrections struct {
	ppb    float64 // in force since
	before float64 // until then
	since  int64   // CLOCK_MONOTONIC_RAW, ns
	moved  float64 // from the estimate's edge to since
	total  float64 // since the estimate began
}

// movedAt returns the distance from the estimate's edge to mono, ns.
func (k *corrections) movedAt(mono int64) float64 {
	if mono < k.since {
		return k.moved - k.before*float64(k.since-mono)*1e-9
	}
	return k.moved + k.ppb*float64(mono-k.since)*1e-9
}

// set puts a correction in force at mono, clamped to +-limit. NaN is ignored.
func (k *corrections) set(mono int64, ppb, limit float64) {
	if math.IsNaN(ppb) {
		return
	}
	ppb = math.Max(-limit, math.Min(limit, ppb))
	if mono >= k.since {
		k.moved = k.movedAt(mono)
		k.before, k.since = k.ppb, mono
	}
	k.ppb = ppb
}

// phaseAt returns the estimated offset at mono, ns.
func (e *estimate) phaseAt(mono int64) float64 {
	x := e.imm.Estimate()
	return x.Phase + x.Freq*float64(mono-e.mono)*1e-9 + e.osc.movedAt(mono) + e.corr.movedAt(mono)
}

// freq returns the free oscillator's predicted frequency error, ppb.
func (e *estimate) freq() float64 { return e.imm.Estimate().Freq + e.osc.freq }

// freeRunning returns the estimate without corrections and compensation: phase
// and frequency of the oscillator as if it ran free at the temperature and age of
// the beginning.
func (e *estimate) freeRunning() (phase, freq float64) {
	x := e.imm.Estimate()
	return x.Phase - e.corr.total - e.osc.phaseTotal, x.Freq - e.osc.freqTotal
}

// start begins a new estimate, from what was learned earlier if that is OK.
func (e *estimate) start(l Learned, maxErrorPPB float64) {
	freq, sigma := 0.0, maxErrorPPB
	if l.OK {
		e.imm.SetPrior(servo.Noise{MeasNS: l.NoiseNS, WhiteFM: l.WhiteFM, WalkFM: l.WalkFM})
		freq, sigma = -l.FreqPPB, l.sigma()
	}
	e.imm.Reset(freq, sigma)
	e.prediction.Reset()
	e.osc.comp.Restart()
	e.corr.total = 0
	e.osc.freqTotal, e.osc.phaseTotal = 0, 0
}

// forget gives up phase and second; the frequency, known to maxErrorPPB, stays.
func (e *estimate) forget(maxErrorPPB float64) {
	e.imm.Reset(-e.corr.ppb, maxErrorPPB)
	e.breakOff()
	e.drift, e.age, e.others = 0, 0, alternatives{}
}

// breakOff ends everything that compares phases over time: the phase jumps.
func (e *estimate) breakOff() {
	e.prediction.Reset()
	e.osc.comp.Restart()
	e.hist.reset()
	e.departure = departure{}
}

// measure measures with a pulse before the second is known. It returns the
// measurement, and whether it was inside the gate.
func (e *estimate) measure(clock tai.Time, mono int64, gateSigma float64) (z float64, ok bool) {
	sec := clock.Round()
	if e.imm.Count() > 0 {
		// Seconds are counted from the last pulse, whatever the clock reads.
		sec = e.sec + (clock - (e.sec + tai.Time(e.imm.Estimate().Phase))).Round()
		e.advance(sec, mono)
	} else {
		e.sec, e.mono = sec, mono
		e.corr.moved, e.corr.since = 0, mono
		e.osc.restart(mono)
	}
	z = float64(clock - sec)
	if e.imm.Count() > 4 && math.Abs(e.imm.Sigmas(z-e.imm.Estimate().Phase, 0)) > gateSigma {
		return z, false
	}
	e.imm.Update(z)
	return z, true
}

// advance carries the estimate to the edge of second sec at mono.
func (e *estimate) advance(sec tai.Time, mono int64) {
	dt := float64(sec-e.sec) / 1e9
	moved := e.corr.movedAt(mono)
	// Corrections are integrated over CLOCK_MONOTONIC_RAW, whose seconds are not
	// exactly the pulses' seconds.
	if el := float64(mono-e.mono) / 1e9; el > 0.5 && math.Abs(dt/el-1) < 1e-3 {
		moved *= dt / el
	}
	compensated := e.osc.movedAt(mono)
	e.imm.Advance(dt, moved+compensated)
	e.imm.AddFreq(e.osc.settle(mono, dt, compensated))
	e.corr.total += moved
	after := e.corr.movedAt(max(mono, e.corr.since)) - e.corr.movedAt(mono)
	e.sec, e.mono, e.corr.moved = sec, mono, after
	e.corr.since = max(mono, e.corr.since)
}
