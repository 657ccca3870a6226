package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
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
	// Across a gap between pulses there is nothing to compare with but the line before.
	if by := e.departure.by(e); e.departure.ok && e.sec-e.departure.since <= departureLine*tai.Second {
		e.drift = math.Max(e.drift, driftMargin*math.Abs(by))
	}
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
			e.departure.begin(e, e.sec)
		}
	}
}

// departure is the line that the free oscillator was on before the pulses left it by
// a drift that the estimate followed. One clock cannot tell whether its oscillator
// changed or the pulses drift. But if the pulses come back to the old line at once,
// they had drifted: no oscillator returns to where it would have been.
type departure struct {
	ok    bool
	sec   tai.Time       // where the line begins
	since tai.Time       // when the pulses were seen to leave it
	phase float64        // of the free oscillator at sec, ns
	freq  float64        // its slope, ppb
	e     servo.Estimate // at sec: how certain the line is
}

const (
	// departureAge is the greatest age of a line that pulses may come back to: an
	// hour later any clock has left it.
	departureAge = time.Hour
	// returnedPart is the part of the way that pulses may miss the line by when they
	// come back to it: its slope was measured with their noise.
	returnedPart = 0.1
	// departureLine is for how long before a drift its line is taken, s: the longest
	// time over which pulses are compared with their prediction.
	departureLine = 40
)

// at returns the line's phase at sec, ns.
func (d *departure) at(sec tai.Time) float64 {
	return d.phase + d.freq*float64(sec-d.sec)*1e-9
}

// tolerance is how far the oscillator may have left its line by itself until sec, ns.
func (d *departure) tolerance(sec tai.Time) float64 {
	return farSigma*math.Sqrt(max(d.e.Var(float64(sec-d.sec)*1e-9), 0)) + displacedSigma*math.Sqrt(d.e.R)
}

// begin notes that the pulses were seen at sec to leave the prediction by a drift that
// the estimate follows. The line before it is that of the last minutes, as far as they
// are known. Pulses that are still on a line which they had seemed to leave leave it now.
func (d *departure) begin(e *estimate, sec tai.Time) {
	if d.ok {
		if free, _ := e.freeRunning(); math.Abs(free-d.at(e.sec)) < d.tolerance(e.sec) {
			d.since = sec
		}
		return
	}
	for i := len(driftSpans) - 1; i >= 0; i-- {
		b, ok := e.hist.at(e.sec, driftSpans[i])
		if !ok {
			continue
		}
		*d = departure{ok: true, sec: b.sec, since: sec, phase: b.free, freq: b.e.Freq, e: b.e}
		for span := meanSpan; span >= meanSpan/4; span /= 2 {
			if old, ok := e.hist.at(b.sec, span); ok {
				d.freq = (b.free - old.free) / float64(span)
				break
			}
		}
		return
	}
}

// by returns how far the estimate is from the line that the pulses left, ns,
// 0 if they left none, and forgets a line that shows nothing any more.
func (d *departure) by(e *estimate) float64 {
	if !d.ok {
		return 0
	}
	free, _ := e.freeRunning()
	ns, age := free-d.at(e.sec), e.sec.Sub(d.since)
	if age > departureLine*time.Second && math.Abs(ns) < d.tolerance(e.sec) || age > departureAge {
		*d = departure{}
		return 0
	}
	return ns
}

// off returns how far a pulse dt seconds after the estimate's edge, dev ns from its
// prediction, is from the line that the pulses had left, ns. back: it is on it.
func (d *departure) off(e *estimate, dt, dev float64) (off float64, back bool) {
	if !d.ok {
		return 0, false
	}
	free, freq := e.freeRunning()
	sec := e.sec + tai.Time(math.Round(dt))*tai.Second
	off = free + freq*dt + dev - d.at(sec)
	return off, math.Abs(off) < max(d.tolerance(sec), returnedPart*math.Abs(off-dev)) && math.Abs(off) < math.Abs(dev)/2
}

// resume continues the estimate from the line, which a pulse is off ns from.
func (d departure) resume(e *estimate, off float64) {
	free, freq := e.freeRunning()
	e.imm.AddPhase(d.at(e.sec) - free)
	e.imm.AddFreq(d.freq - freq)
	t := math.Max(float64(e.sec-d.sec)*1e-9, departureLine)
	e.imm.Inflate(math.Abs(off), math.Sqrt(max(d.e.Var(t), 0))/t+math.Abs(off)/t)
	e.breakOff()
	e.drift, e.age, e.others = 0, 0, alternatives{}
}
