package discipline

import "math"

// Learned is what a run knows of clock and pulses, to be kept for the next.
type Learned struct {
	OK        bool    `json:"ok"`
	FreqPPB   float64 `json:"freq_ppb"`   // correction that cancels the oscillator's error
	SigmaPPB  float64 `json:"sigma_ppb"`  // how well it is known
	NoiseNS   float64 `json:"noise_ns"`   // standard deviation of a measurement
	WhiteFM   float64 `json:"white_fm"`   // ppb at 1 s
	WalkFM    float64 `json:"walk_fm"`    // ppb per sqrt(s)
	AgeSecond float64 `json:"age_second"` // since it was exported; the importer fills it in
}

// sigma returns how far the frequency may have gone since, ppb: by its walk, and
// by another temperature.
func (l Learned) sigma() float64 {
	return 3*math.Sqrt(l.SigmaPPB*l.SigmaPPB+l.WalkFM*l.WalkFM*l.AgeSecond) + 1000
}

// Export returns what has been learned; OK is false when that is nothing yet.
func (c *Controller) Export() Learned {
	if c.bank.Ready() < 30 {
		return c.learned
	}
	e, n := c.bank.Estimate(), c.bank.Noise()
	return Learned{OK: true, FreqPPB: -e.Freq, SigmaPPB: math.Sqrt(e.P22), NoiseNS: n.MeasNS, WhiteFM: n.WhiteFM, WalkFM: n.WalkFM}
}

// Import takes what an earlier run learned; call it before the first pulse.
// Values that make no sense are ignored.
func (c *Controller) Import(l Learned) {
	for _, v := range [...]float64{l.FreqPPB, l.SigmaPPB, l.NoiseNS, l.WhiteFM, l.WalkFM, l.AgeSecond} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
	}
	if !l.OK || math.Abs(l.FreqPPB) > c.cfg.MaxFreqPPB || l.NoiseNS <= 0 || l.AgeSecond < 0 || c.bank.Ready() > 0 {
		return
	}
	c.learned = l
	c.freq = l.FreqPPB
}
