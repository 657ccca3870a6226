package discipline

import (
	"math"

	"noonmark/refclock/status"
)

// steer computes the correction after a measurement.
func (c *Controller) steer(z float64, now int64) {
	if c.pi != nil && c.st.State != status.Holdover {
		c.setFreq(now, c.pi.Sample(z, int64(c.sec)))
		c.ctrlMono = now
		return
	}
	c.control(now)
}

// control computes the correction from the estimate: the oscillator's error is
// cancelled, and the offset is to be gone at the next edge (dead beat on the
// estimate, the optimum of a quadratic cost of phase alone).
func (c *Controller) control(now int64) {
	if c.imm.Count() < 2 {
		return
	}
	if c.pi != nil && c.st.State == status.Locked {
		return // holds its last
	}
	c.ctrlMono = now
	// Time to the next edge, or to the one after it when it is too near.
	_, frac := math.Modf(float64(now-c.edgeMono) * 1e-9)
	left := 1 - frac
	if left < 0.5 {
		left++
	}
	u := -c.phaseAt(now) / left
	u = math.Max(-c.cfg.MaxSlewPPB, math.Min(c.cfg.MaxSlewPPB, u))
	c.setFreq(now, u-c.oscillatorFreq())
}

// cancelDrift cancels the oscillator's error only.
func (c *Controller) cancelDrift(now int64) {
	if c.imm.Count() < 2 {
		return
	}
	c.ctrlMono = now
	c.setFreq(now, -c.oscillatorFreq())
	if c.pi != nil {
		c.pi.Reset(c.freq)
	}
}
