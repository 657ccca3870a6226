package discipline

import (
	"math"

	"noonmark/refclock/discipline/servo"
)

// control computes corrections.
type control struct {
	pi               *servo.PI // nil unless configured
	mono             int64     // CLOCK_MONOTONIC_RAW (ns) of the last correction
	maxFreq, maxSlew float64   // limits of Config, ppb
}

// soon makes the next Tick compute a correction.
func (k *control) soon() { k.mono = math.MinInt64 / 2 }

// measured computes the correction after a measurement of z ns. The PI servo,
// if configured, does so except in holdover.
func (k *control) measured(e *estimate, z float64, now int64, holdover bool) {
	if k.pi != nil && !holdover {
		k.set(e, now, k.pi.Sample(z, int64(e.sec)))
		return
	}
	k.correct(e, now, false)
}

// correct computes the correction from the estimate: it cancels the oscillator's
// error and removes the offset by the next edge (dead-beat control on the
// estimate, optimal for a quadratic cost of phase alone). While locked, the PI
// servo keeps its last correction instead.
func (k *control) correct(e *estimate, now int64, locked bool) {
	if e.imm.Count() < 2 || k.pi != nil && locked {
		return
	}
	// Time to the next edge, or to the one after it if that is too close.
	_, frac := math.Modf(float64(now-e.mono) * 1e-9)
	left := 1 - frac
	if left < 0.5 {
		left++
	}
	u := -e.phaseAt(now) / left
	u = math.Max(-k.maxSlew, math.Min(k.maxSlew, u))
	k.set(e, now, u-e.freq())
}

// cancelDrift cancels the oscillator's error only.
func (k *control) cancelDrift(e *estimate, now int64) {
	if e.imm.Count() < 2 {
		return
	}
	k.set(e, now, -e.freq())
	if k.pi != nil {
		k.pi.Reset(e.corr.ppb)
	}
}

// set puts a correction in force.
func (k *control) set(e *estimate, now int64, ppb float64) {
	k.mono = now
	e.corr.set(now, ppb, k.maxFreq)
}
