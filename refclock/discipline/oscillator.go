package discipline

import (
	"math"

	"noonmark/refclock/discipline/servo"
)

// oscillator predicts how temperature and ageing change the oscillator's
// frequency between measurements. The estimator takes the change over at each
// edge.
type oscillator struct {
	comp servo.Compensation

	// The change since the estimate's edge.
	freq  float64 // ppb
	phase float64 // ns by which it moved the clock, from the edge to mono
	sigma float64 // ns, one standard deviation of phase from that of the coefficients
	mono  int64   // of the last advance, CLOCK_MONOTONIC_RAW, ns

	// The changes since the estimate began; without them, frequency and phase
	// would be smaller by so much.
	freqTotal, phaseTotal float64 // ppb; ns

	crystalC float64 // temperature of the crystal at the edge, degrees Celsius
	stuck    bool    // the sensor is
	sensor   sensorCheck
}

// sensorCheck decides which readings of the sensor are accepted.
type sensorCheck struct {
	reading   float64 // the last one accepted, degrees Celsius
	mono      int64   // of it, CLOCK_MONOTONIC_RAW in ns; 0 = never
	suspect   bool    // a reading was refused, and not enough agree since
	agreeing  int     // refused readings in a row that agree with each other
	agreeingC float64 // the last of them
}

const (
	minTempC, maxTempC = -60, 150 // degrees Celsius: no board works beyond
	// A reading may differ from the last one by jumpC K plus jumpRate K/s. After
	// one that differs by more, or is out of range, confirmReadings in a row have
	// to agree.
	jumpC, jumpRate, confirmReadings = 2, 0.5, 5
)

// read takes a reading at mono, given that of the estimate's edge. It reports
// whether the reading is accepted; r is why not, or None for one that goes back
// in time.
func (o *oscillator) read(celsius float64, mono, edge int64) (ok bool, r Reason) {
	s := &o.sensor
	dt := float64(mono-s.mono) * 1e-9
	blind, first := o.comp.Unobserved(seconds(mono)), s.mono == 0
	if math.IsNaN(celsius) || celsius < minTempC || celsius > maxTempC {
		s.suspect, s.agreeing = !first, 0
		return false, SensorRange
	}
	if !first && dt < 0 {
		return false, None
	}
	jumps := !first && math.Abs(celsius-s.reading) > jumpC+jumpRate*math.Max(dt, blind)
	if jumps || s.suspect {
		if !s.confirm(celsius) {
			return false, SensorJump
		}
		if jumps {
			// The sensor reads differently from now on; the crystal did not change.
			o.comp.ShiftSensor(celsius - s.reading)
			o.crystalC += celsius - s.reading
			s.reading = celsius
		}
	}
	was := s.reading
	s.suspect, s.agreeing, s.reading, s.mono = false, 0, celsius, mono
	o.comp.Temperature(seconds(mono), celsius)
	if first {
		o.crystalC = o.comp.CrystalTemp()
	}
	// How the temperature went while it was not observed is not known. A sensor
	// with a coarse resolution that reaches its next value was only constant.
	if blind = unobserved(mono, edge, blind); blind > 0 && o.comp.Unobserved(seconds(mono)) == 0 && math.Abs(celsius-was) > 1.5*o.comp.Resolution() {
		o.sigma += math.Abs(o.comp.Export().Temp.Value*(celsius-was))*blind/2 + o.comp.TempWalk(blind, 0)/2
	}
	return true, None
}

// confirm counts a suspect reading and reports whether enough agree.
func (s *sensorCheck) confirm(celsius float64) bool {
	if s.agreeing++; s.agreeing == 1 || math.Abs(celsius-s.agreeingC) > jumpC {
		s.agreeing = 1
	}
	s.suspect, s.agreeingC = true, celsius
	return s.agreeing >= confirmReadings
}

// unobserved returns the part of an unobserved time that matters: what was
// before the edge is in the estimate, s.
func unobserved(mono, edge int64, blind float64) float64 {
	return math.Max(0, math.Min(blind, seconds(mono-edge)))
}

func seconds(mono int64) float64 { return float64(mono) * 1e-9 }

// advance carries the prediction on to mono. measured: there is an estimate to
// be compensated.
func (o *oscillator) advance(mono int64, measured bool) {
	if !measured {
		o.comp.Advance(seconds(mono))
		return
	}
	dt := float64(mono-o.mono) * 1e-9
	if dt < 0 {
		return
	}
	d := o.comp.Advance(seconds(mono))
	o.phase += (o.freq + d/2) * dt
	o.freq += d
	o.sigma += o.comp.FreqSigma(o.comp.CrystalTemp()-o.crystalC) * dt
	o.mono = mono
	o.stuck = o.comp.Stuck(seconds(mono))
}

// movedAt returns by how much the predicted change moved the clock from the
// estimate's edge to mono, ns.
func (o *oscillator) movedAt(mono int64) float64 {
	return o.phase + o.freq*float64(mono-o.mono)*1e-9
}

// settle ends the prediction at a new edge at mono, dt s after the last, where
// it has moved the clock by ns. It returns the change of the frequency, which the
// estimator takes over.
func (o *oscillator) settle(mono int64, dt, ns float64) (ppb float64) {
	o.phaseTotal += o.freqTotal*dt + ns
	o.freqTotal += o.freq
	ppb = o.freq
	o.restart(mono)
	return ppb
}

// restart begins a prediction at an edge.
func (o *oscillator) restart(mono int64) {
	o.freq, o.phase, o.sigma, o.mono, o.crystalC = 0, 0, 0, mono, o.comp.CrystalTemp()
}

// ahead predicts what temperature and ageing still do to the phase until t
// seconds after mono: the mean and its standard deviation, ns. unread is for how
// much of that time nobody reads the sensor, s.
func (o *oscillator) ahead(mono, edge int64, t, unread float64) (ns, sigma float64) {
	age := o.comp.Ageing()
	if o.comp.Export().Temp.Value == 0 && age.Sigma == 0 {
		return 0, 0
	}
	thermal := o.sigma + o.comp.FreqSigma(o.comp.CrystalTemp()-o.crystalC)*t
	blind := unobserved(mono, edge, o.comp.Unobserved(seconds(mono)))
	if blind > 0 {
		unread = t // it is not read now
	}
	walk := o.comp.TempWalk(blind, unread)
	at := seconds(mono-edge) + t
	drift := age.Sigma * at * at / 2
	return age.Value * t * t / 2, math.Sqrt(thermal*thermal + walk*walk + drift*drift)
}

// advanceOscillator carries the prediction of the oscillator on to mono.
func (c *machine) advanceOscillator(mono int64) {
	c.est.osc.advance(mono, c.est.imm.Count() > 0)
	if stuck := c.est.osc.stuck; stuck != c.st.SensorStuck {
		c.st.SensorStuck = stuck
		if stuck {
			c.st.Counts[SensorStuck]++
		}
	}
}
