package discipline

import "math"

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

// driftSpans are the times over which pulses are compared with their
// prediction, s.
var driftSpans = [...]int{2, 3, 4, 6, 9, 13, 19, 28, 40}

// deviation is the learned size of deviations from predictions over one span.
type deviation struct {
	sq, n float64 // mean square, ns^2, and the seconds behind it
}

// observe takes a deviation of ns after t seconds, for which the model has
// variance v, and returns its square in learned variances. The model may take
// flicker for a random walk and be too careful by far, or not know of a change at
// all: what was observed has weight, too.
func (d *deviation) observe(ns, t, v float64) float64 {
	v = (v*modelWeight*t + d.sq*d.n) / (modelWeight*t + d.n)
	d.n = math.Min(d.n+1, driftMemory)
	d.sq += (math.Min(ns*ns, 9*v) - d.sq) / d.n
	return ns * ns / v
}

// watchDrift compares the phase with its prediction over each span of the last
// minute, from the estimate and from the mean frequency of some minutes. A
// reference that drifts and an oscillator that changes look alike here, so the
// bound covers the deviation (ARCHITECTURE.md, "Why two detectors").
func (e *estimate) watchDrift() {
	h := &e.hist
	e.drift *= driftDecay
	free, _ := e.freeRunning()
	for i, s := range driftSpans {
		b, ok := h.at(e.sec, s)
		if !ok {
			continue
		}
		t := float64(s)
		dev := free - b.free - b.e.Freq*t
		far := h.byEst[i].observe(dev, t, b.e.Var(t))
		if old, ok := h.at(e.sec, s+meanSpan); ok {
			mean := free - b.free - (b.free-old.free)/meanSpan*t
			if f := h.byMean[i].observe(mean, t, b.e.Var(t)+b.e.Q2*t*t*meanSpan/3); f > far {
				far, dev = f, mean
			}
		}
		if far > driftSigma*driftSigma {
			e.drift = math.Max(e.drift, driftMargin*math.Abs(dev))
		}
		if far > forgetSigma*forgetSigma {
			h.deviated = e.sec
		}
	}
}
