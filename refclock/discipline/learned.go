package discipline

import (
	"math"

	"noonmark/refclock/discipline/servo"
)

// Learned is what a run learned of clock and pulses, to be kept for the next.
type Learned struct {
	OK       bool    `json:"ok"`
	FreqPPB  float64 `json:"freq_ppb"`  // correction that cancels the oscillator's error
	SigmaPPB float64 `json:"sigma_ppb"` // standard deviation of FreqPPB
	NoiseNS  float64 `json:"noise_ns"`  // standard deviation of a measurement
	WhiteFM  float64 `json:"white_fm"`  // ppb at 1 s
	WalkFM   float64 `json:"walk_fm"`   // ppb per sqrt(s)

	AgeingPPB   float64 `json:"ageing_ppb_per_day"` // drift of the oscillator's frequency, + = ever faster
	AgeingSigma float64 `json:"ageing_sigma"`       // 0 = not known
	TempPPB     float64 `json:"temperature_ppb_per_k"`
	TempSigma   float64 `json:"temperature_sigma"` // 0 = not known
	TempLagS    float64 `json:"temperature_lag_s"` // of the oscillator behind the sensor

	Predictions servo.PredictionRatios `json:"foresight"`  // how large the errors of predictions were
	AgeSecond   float64                `json:"age_second"` // s since the export; the importer fills it in
}

// No oscillator that keeps time has larger coefficients: ppb per day, ppb per K.
const maxAgeing, maxTemp = 1e4, 1e5

// exportFrom is the number of measurements from which the estimate is worth
// keeping.
const exportFrom = 30

// sigma returns how far the frequency may be from FreqPPB by now, ppb: by its
// random walk, and at another temperature.
func (l Learned) sigma() float64 {
	return 3*math.Sqrt(l.SigmaPPB*l.SigmaPPB+l.WalkFM*l.WalkFM*l.AgeSecond) + 1000
}

// Export returns what has been learned; OK is false while that is nothing.
func (c *Controller) Export() Learned { return c.est.export(c.learned) }

// export returns what the estimate learned, or otherwise while that is little.
func (e *estimate) export(otherwise Learned) Learned {
	if e.imm.Count() < exportFrom {
		return otherwise
	}
	x, n, s := e.imm.Estimate(), e.imm.Noise(), e.osc.comp.Export()
	return Learned{OK: true, FreqPPB: -x.Freq, SigmaPPB: math.Sqrt(x.P22), NoiseNS: n.MeasNS, WhiteFM: n.WhiteFM, WalkFM: n.WalkFM,
		AgeingPPB: s.Age.Value, AgeingSigma: s.Age.Sigma, TempPPB: s.Temp.Value, TempSigma: s.Temp.Sigma, TempLagS: s.LagS, Predictions: e.prediction.Export()}
}

// Import takes what an earlier run learned; call it before the first pulse.
// Values that are out of range are ignored.
func (c *Controller) Import(l Learned) {
	c.imported = l
	for _, v := range [...]float64{l.FreqPPB, l.SigmaPPB, l.NoiseNS, l.WhiteFM, l.WalkFM, l.AgeSecond, l.AgeingPPB, l.AgeingSigma, l.TempPPB, l.TempSigma, l.TempLagS} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
	}
	if !l.OK || math.Abs(l.FreqPPB) > c.cfg.MaxFreqPPB || l.NoiseNS <= 0 || l.AgeSecond < 0 || c.est.imm.Count() > 0 {
		return
	}
	c.learned = l
	c.est.corr.ppb = l.FreqPPB
	c.est.prediction.Import(l.Predictions)
	var n servo.CompensationState
	if math.Abs(l.AgeingPPB) <= maxAgeing {
		n.Age = servo.Coefficient{Value: l.AgeingPPB, Sigma: l.AgeingSigma}
	}
	if math.Abs(l.TempPPB) <= maxTemp {
		n.Temp, n.LagS = servo.Coefficient{Value: l.TempPPB, Sigma: l.TempSigma}, l.TempLagS
	}
	c.est.osc.comp.Import(n)
}
