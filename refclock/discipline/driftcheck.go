package discipline

import (
	"math"

	"noonmark/phc/tai"
)

const (
	// driftSigma is the deviation from the prediction, in standard deviations,
	// from which the bound covers the deviation. If pulses stop while the
	// deviation is beyond forgetSigma, the suspect pulses are forgotten; that
	// threshold is higher, so that an ordinary outage loses nothing.
	driftSigma, forgetSigma = 2.8, 4.4
	// driftMargin multiplies a deviation in the bound, because the estimate lags
	// behind a drift.
	driftMargin = 1.1
	// driftMemory is the number of seconds over which the size of ordinary
	// deviations is learned; modelWeight is the weight of the model's variance in
	// it, in independent predictions.
	driftMemory, modelWeight = 900, 4
	// driftDecay is the part of the drift's bound that is left a second later,
	// once the deviation is ordinary again.
	driftDecay = 0.95
)

// driftSpans are the times over which pulses are compared with what was
// foretold, s.
var driftSpans = [...]int{2, 3, 4, 6, 9, 13, 19, 28, 40}

// deviation is how well phases are foretold over one span.
type deviation struct {
	sq, n float64 // mean square, ns^2, and seconds behind it
}

// observe takes one deviation of ns after t seconds, for which the model has
// variance v, and returns its square in learned variances. The model may take a
// wander for a walk and be too careful by far, or know nothing of it: what was
// seen counts with it.
func (d *deviation) observe(ns, t, v float64) float64 {
	v = (v*modelWeight*t + d.sq*d.n) / (modelWeight*t + d.n)
	d.n = math.Min(d.n+1, driftMemory)
	d.sq += (math.Min(ns*ns, 9*v) - d.sq) / d.n
	return ns * ns / v
}

// watchDrift looks whether the phase has left, over any span of the last
// minute, what was foretold by the estimate or by the mean frequency of some
// minutes. A reference that drifts and an oscillator that changes look alike,
// so the bound covers the way.
func (c *Controller) watchDrift() {
	h := &c.hist
	c.drift *= driftDecay
	free, _ := c.freeRunning()
	for i, s := range driftSpans {
		b, ok := h.at(c.sec, s)
		if !ok {
			continue
		}
		t := float64(s)
		dev := free - b.free - b.e.Freq*t
		far := h.byEst[i].observe(dev, t, b.e.Var(t))
		if old, ok := h.at(c.sec, s+meanSpan); ok {
			mean := free - b.free - (b.free-old.free)/meanSpan*t
			if f := h.byMean[i].observe(mean, t, b.e.Var(t)+b.e.Q2*t*t*meanSpan/3); f > far {
				far, dev = f, mean
			}
		}
		if far > driftSigma*driftSigma {
			c.drift = math.Max(c.drift, driftMargin*math.Abs(dev))
		}
		if far > forgetSigma*forgetSigma {
			h.deviated = c.sec
		}
	}
}

// at returns the estimate of s seconds before sec, if there is one.
func (h *history) at(sec tai.Time, s int) (*secondState, bool) {
	sec -= tai.Time(s) * tai.Second
	b := &h.recent[slot(sec)]
	return b, b.sec == sec
}

// checkPrediction lets the estimate be measured against what it foretold earlier.
func (c *Controller) checkPrediction() {
	e := c.imm.Estimate()
	c.comp.Observe(seconds(c.edgeMono), e.Phase-c.total)
	e.Phase, e.Freq = c.freeRunning()
	c.prediction.Observe(float64(c.sec/tai.Second), e, 0)
}
