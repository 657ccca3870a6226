package discipline

import (
	"math"

	"noonmark/phc/tai"
)

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
	e := c.imm.Estimate()
	return e.Phase + e.Freq*float64(mono-c.edgeMono)*1e-9 + c.compensatedAt(mono) + c.movedAt(mono)
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
	turned := c.compensatedAt(mono)
	c.imm.Advance(dt, moved+turned)
	c.applyCompensation(mono, dt, turned)
	c.total += moved
	after := c.movedAt(max(mono, c.freqMono)) - c.movedAt(mono)
	c.sec, c.edgeMono, c.moved = sec, mono, after
	c.freqMono = max(mono, c.freqMono)
}
