package discipline

import "math"

// course is what is foretold of the oscillator between measurements: how far
// temperature and age have turned its frequency. The estimator takes it over at
// each edge.
type course struct {
	turn  float64 // ppb since edgeMono
	phase float64 // ns that it moved the clock by, from edgeMono to mono
	mono  int64   // of the last turn
	doubt float64 // ns, one standard deviation of phase for the coefficient's

	// Since the estimate began: what phase and frequency would be without.
	total, theta float64 // ppb; ns

	at      float64 // K: temperature at edgeMono as the crystal has it
	reading float64 // last accepted
	readAt  int64   // mono of it, 0 = never
	sick    bool    // a reading was refused, and not enough agree since
	odd     int     // readings in a row that agree,
	oddC    float64 // the last of them
}

const (
	coldest, hottest = -60, 150 // degrees Celsius: no board works beyond
	// leap is by how much a reading may differ from the last, K and K/s. After one
	// that differs by more, or cannot be, oddly many have to agree.
	leapC, leapRate, oddly = 2, 0.5, 5
)

// Temperature takes a reading of the sensor near the oscillator, in degrees
// Celsius, at CLOCK_MONOTONIC_RAW mono: about once a second, before Pulse and Tick.
// It reports whether the reading was believed. Without readings nothing is lost but
// what temperature would have told.
func (c *Controller) Temperature(celsius float64, mono int64) bool {
	h := &c.course
	dt := float64(mono-h.readAt) * 1e-9
	blind, first := c.slow.Blind(seconds(mono)), h.readAt == 0
	leaps := !first && math.Abs(celsius-h.reading) > leapC+leapRate*math.Max(dt, blind)
	switch {
	case math.IsNaN(celsius) || celsius < coldest || celsius > hottest:
		c.st.Counts[SensorRange]++
		h.sick, h.odd = !first, 0
		return false
	case !first && dt < 0:
		return false
	case leaps || h.sick:
		if h.odd++; h.odd == 1 || math.Abs(celsius-h.oddC) > leapC {
			h.odd = 1
		}
		h.sick, h.oddC = true, celsius
		if h.odd < oddly {
			c.st.Counts[SensorJump]++
			return false
		}
		if leaps {
			// The sensor counts otherwise from now on; the crystal noticed nothing.
			c.slow.Shift(celsius - h.reading)
			h.at += celsius - h.reading
			h.reading = celsius
		}
	}
	was := h.reading
	h.sick, h.odd, h.reading, h.readAt = false, 0, celsius, mono
	c.slow.Temperature(seconds(mono), celsius)
	if first {
		h.at = c.slow.Low()
	}
	// When it changed meanwhile, and what else it did, nobody knows. A sensor with
	// coarse steps that goes on to the next only stood still.
	if blind = c.unseen(mono, blind); blind > 0 && c.slow.Blind(seconds(mono)) == 0 && math.Abs(celsius-was) > 1.5*c.slow.Grain() {
		h.doubt += math.Abs(c.slow.Notes().Temp.Value*(celsius-was))*blind/2 + c.slow.Wander(blind, 0)/2
	}
	return true
}

// unseen is the part of a blind time that matters: what was before the last edge
// is in the estimate, s.
func (c *Controller) unseen(mono int64, blind float64) float64 {
	return math.Max(0, math.Min(blind, seconds(mono-c.edgeMono)))
}

func seconds(mono int64) float64 { return float64(mono) * 1e-9 }

// foretell carries the course on to mono.
func (c *Controller) foretell(mono int64) {
	h := &c.course
	if c.bank.Ready() == 0 {
		c.slow.Turn(seconds(mono))
		return
	}
	dt := float64(mono-h.mono) * 1e-9
	if dt < 0 {
		return
	}
	d := c.slow.Turn(seconds(mono))
	h.phase += (h.turn + d/2) * dt
	h.turn += d
	h.doubt += c.slow.Unsure(c.slow.Low()-h.at) * dt
	h.mono = mono
	if stuck := c.slow.Stuck(seconds(mono)); stuck != c.st.SensorStuck {
		c.st.SensorStuck = stuck
		if stuck {
			c.st.Counts[SensorStuck]++
		}
	}
}

// turned returns by how much the course moved the clock from edgeMono to mono, ns.
func (c *Controller) turned(mono int64) float64 {
	return c.course.phase + c.course.turn*float64(mono-c.course.mono)*1e-9
}

// freqNow is the free oscillator's frequency error as it is foretold now, ppb.
func (c *Controller) freqNow() float64 { return c.bank.Estimate().Freq + c.course.turn }

// settleCourse gives the course from the last edge to the one at mono, dt s
// later, to the estimate; ns is what the caller advanced it by for that.
func (c *Controller) settleCourse(mono int64, dt, ns float64) {
	h := &c.course
	h.theta += h.total*dt + ns
	h.total += h.turn
	c.bank.Turn(h.turn)
	h.restart(mono, c.slow.Low())
}

// restart begins a course at an edge.
func (h *course) restart(mono int64, low float64) {
	h.turn, h.phase, h.doubt, h.mono, h.at = 0, 0, 0, mono, low
}

// ahead returns what temperature and age can still do to the phase until t seconds
// after mono, at seconds after the edge: what is foretold, and the standard
// deviation of the foretelling, ns.
func (c *Controller) ahead(mono int64, at, t float64) (ns, sigma float64) {
	h, age := &c.course, c.slow.Ageing()
	if c.slow.Notes().Temp.Value == 0 && age.Sigma == 0 {
		return 0, 0
	}
	thermal := h.doubt + c.slow.Unsure(c.slow.Low()-h.at)*t
	// Whoever has no more than this foretelling reads no sensor either.
	wander := c.slow.Wander(c.unseen(mono, c.slow.Blind(seconds(mono))), t)
	drift := age.Sigma * at * at / 2
	return age.Value * t * t / 2, math.Sqrt(thermal*thermal + wander*wander + drift*drift)
}

// residual is the estimate without what the course foretold: phase and frequency
// of the oscillator running free at the temperature and age of the beginning.
func (c *Controller) residual() (phase, freq float64) {
	e := c.bank.Estimate()
	return e.Phase - c.total - c.course.theta, e.Freq - c.course.total
}
