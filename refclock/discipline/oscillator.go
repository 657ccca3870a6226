package discipline

import "math"

// oscChange is what is foretold of the oscillator between measurements: how far
// temperature and age have turned its frequency. The estimator takes it over at
// each edge.
type oscChange struct {
	freq  float64 // ppb since edgeMono
	phase float64 // ns that it moved the clock by, from edgeMono to mono
	mono  int64   // of the last turn
	sigma float64 // ns, one standard deviation of phase for the coefficient's

	// Since the estimate began: what phase and frequency would be without.
	freqTotal, phaseTotal float64 // ppb; ns

	crystalC  float64 // K: temperature at edgeMono as the crystal has it
	reading   float64 // last accepted
	readAt    int64   // mono of it, 0 = never
	suspect   bool    // a reading was refused, and not enough agree since
	agreeing  int     // readings in a row that agree,
	agreeingC float64 // the last of them
}

const (
	minTempC, maxTempC = -60, 150 // degrees Celsius: no board works beyond
	// leap is by how much a reading may differ from the last, K and K/s. After one
	// that differs by more, or cannot be, oddly many have to agree.
	jumpC, jumpRate, confirmReadings = 2, 0.5, 5
)

// Temperature takes a reading of the sensor near the oscillator, in degrees
// Celsius, at CLOCK_MONOTONIC_RAW mono: about once a second, before Pulse and Tick.
// It reports whether the reading was believed. Without readings nothing is lost but
// what temperature would have told.
func (c *Controller) Temperature(celsius float64, mono int64) bool {
	h := &c.osc
	dt := float64(mono-h.readAt) * 1e-9
	blind, first := c.comp.Unobserved(seconds(mono)), h.readAt == 0
	leaps := !first && math.Abs(celsius-h.reading) > jumpC+jumpRate*math.Max(dt, blind)
	switch {
	case math.IsNaN(celsius) || celsius < minTempC || celsius > maxTempC:
		c.st.Counts[SensorRange]++
		h.suspect, h.agreeing = !first, 0
		return false
	case !first && dt < 0:
		return false
	case leaps || h.suspect:
		if h.agreeing++; h.agreeing == 1 || math.Abs(celsius-h.agreeingC) > jumpC {
			h.agreeing = 1
		}
		h.suspect, h.agreeingC = true, celsius
		if h.agreeing < confirmReadings {
			c.st.Counts[SensorJump]++
			return false
		}
		if leaps {
			// The sensor counts otherwise from now on; the crystal noticed nothing.
			c.comp.ShiftSensor(celsius - h.reading)
			h.crystalC += celsius - h.reading
			h.reading = celsius
		}
	}
	was := h.reading
	h.suspect, h.agreeing, h.reading, h.readAt = false, 0, celsius, mono
	c.comp.Temperature(seconds(mono), celsius)
	if first {
		h.crystalC = c.comp.CrystalTemp()
	}
	// When it changed meanwhile, and what else it did, nobody knows. A sensor with
	// coarse steps that goes on to the next only stood still.
	if blind = c.unobserved(mono, blind); blind > 0 && c.comp.Unobserved(seconds(mono)) == 0 && math.Abs(celsius-was) > 1.5*c.comp.Resolution() {
		h.sigma += math.Abs(c.comp.Export().Temp.Value*(celsius-was))*blind/2 + c.comp.TempWalk(blind, 0)/2
	}
	return true
}

// unobserved is the part of a blind time that matters: what was before the last edge
// is in the estimate, s.
func (c *Controller) unobserved(mono int64, blind float64) float64 {
	return math.Max(0, math.Min(blind, seconds(mono-c.edgeMono)))
}

func seconds(mono int64) float64 { return float64(mono) * 1e-9 }

// predictOscillator carries the course on to mono.
func (c *Controller) predictOscillator(mono int64) {
	h := &c.osc
	if c.imm.Count() == 0 {
		c.comp.Advance(seconds(mono))
		return
	}
	dt := float64(mono-h.mono) * 1e-9
	if dt < 0 {
		return
	}
	d := c.comp.Advance(seconds(mono))
	h.phase += (h.freq + d/2) * dt
	h.freq += d
	h.sigma += c.comp.FreqSigma(c.comp.CrystalTemp()-h.crystalC) * dt
	h.mono = mono
	if stuck := c.comp.Stuck(seconds(mono)); stuck != c.st.SensorStuck {
		c.st.SensorStuck = stuck
		if stuck {
			c.st.Counts[SensorStuck]++
		}
	}
}

// compensatedAt returns by how much the course moved the clock from edgeMono to mono, ns.
func (c *Controller) compensatedAt(mono int64) float64 {
	return c.osc.phase + c.osc.freq*float64(mono-c.osc.mono)*1e-9
}

// oscillatorFreq is the free oscillator's frequency error as it is foretold now, ppb.
func (c *Controller) oscillatorFreq() float64 { return c.imm.Estimate().Freq + c.osc.freq }

// applyCompensation gives the course from the last edge to the one at mono, dt s
// later, to the estimate; ns is what the caller advanced it by for that.
func (c *Controller) applyCompensation(mono int64, dt, ns float64) {
	h := &c.osc
	h.phaseTotal += h.freqTotal*dt + ns
	h.freqTotal += h.freq
	c.imm.AddFreq(h.freq)
	h.restart(mono, c.comp.CrystalTemp())
}

// restart begins a course at an edge.
func (h *oscChange) restart(mono int64, low float64) {
	h.freq, h.phase, h.sigma, h.mono, h.crystalC = 0, 0, 0, mono, low
}

// predictAhead returns what temperature and age can still do to the phase until t seconds
// after mono, at seconds after the edge: what is foretold, and the standard
// deviation of the foretelling, ns.
func (c *Controller) predictAhead(mono int64, at, t float64) (ns, sigma float64) {
	h, age := &c.osc, c.comp.Ageing()
	if c.comp.Export().Temp.Value == 0 && age.Sigma == 0 {
		return 0, 0
	}
	thermal := h.sigma + c.comp.FreqSigma(c.comp.CrystalTemp()-h.crystalC)*t
	// Whoever has no more than this foretelling reads no sensor either.
	wander := c.comp.TempWalk(c.unobserved(mono, c.comp.Unobserved(seconds(mono))), t)
	drift := age.Sigma * at * at / 2
	return age.Value * t * t / 2, math.Sqrt(thermal*thermal + wander*wander + drift*drift)
}

// freeRunning is the estimate without what the course foretold: phase and frequency
// of the oscillator running free at the temperature and age of the beginning.
func (c *Controller) freeRunning() (phase, freq float64) {
	e := c.imm.Estimate()
	return e.Phase - c.total - c.osc.phaseTotal, e.Freq - c.osc.freqTotal
}
