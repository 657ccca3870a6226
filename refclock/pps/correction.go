package pps

import (
	"math"
	"time"

	"noonmark/phc/tai"
)

// Correction corrects the steering pulse: its path (bias and cable) and the
// quantisation error that the receiver announces. It is for one goroutine.
type Correction struct {
	delay time.Duration // of the pulse's path
	off   bool          // announced quantisation errors are not applied
	quant Quantisation
	sign  float64 // as of the last pulse
}

// Corrected is a corrected pulse.
type Corrected struct {
	Clock tai.Time // by the clock
	Mono  int64    // CLOCK_MONOTONIC_RAW, ns, with the quantisation correction
	Free  float64  // phase by the clock without steering, ns within the second
}

// NewCorrection returns a Correction that applies announced values as documented,
// until the pulses show otherwise.
func NewCorrection() *Correction { return &Correction{sign: 1} }

// Set sets the delay of the pulse's path, and whether announced quantisation
// errors are ignored. It returns by how much offsets grow by that.
func (c *Correction) Set(delay time.Duration, off bool) (grow time.Duration) {
	grow = c.delay - delay
	c.delay, c.off = delay, off
	return grow
}

// Announce notes the quantisation error of the next pulse, ns to be added to its
// time, received at mono.
func (c *Correction) Announce(mono int64, ns float64) { c.quant.Announce(mono, ns) }

// Break notes that the clock was stepped: pulses before and after do not compare.
func (c *Correction) Break() { c.quant.Gap() }

// Sign returns the factor with which announced values are applied: 1 as
// documented, -1 or 0 where the pulses show otherwise.
func (c *Correction) Sign() float64 { return c.sign }

// Apply corrects a pulse that the clock read at mono. travel is by how much
// steering has moved the clock, ns. turned reports that the factor of announced
// values changed.
func (c *Correction) Apply(clock tai.Time, mono int64, travel float64) (p Corrected, turned bool) {
	p = Corrected{Clock: clock.Add(-c.delay), Mono: mono}
	if q, ok := c.quant.Take(mono); !ok {
		c.quant.Gap()
	} else {
		c.quant.Learn(mono, phase(p.Clock)-travel, q)
		turned = c.quant.Sign() != c.sign
		c.sign = c.quant.Sign()
		if !c.off {
			ns := math.Round(q * c.sign)
			p.Clock += tai.Time(ns)
			p.Mono += int64(ns)
		}
	}
	p.Free = phase(p.Clock) - travel
	return p, turned
}

// phase returns the distance of a time from the nearest second, ns.
func phase(t tai.Time) float64 { return float64(t.Sub(t.Round())) }
