package sim

import (
	"math"
	"math/rand/v2"

	"noonmark/phc/phctest"
)

// Sensor is a virtual temperature sensor. The oscillator's swing and ramps
// (phctest.Noise) are taken for the work of temperature, PPBPerK for each degree
// and LagS behind the sensor.
type Sensor struct {
	Seed    uint64
	PPBPerK float64
	LagS    float64 // s, by which the oscillator follows
	NoiseC  float64 // standard deviation of a reading
	StepC   float64 // of a reading, 0 = none
	BaseC   float64
}

type sensor struct {
	Sensor
	noise phctest.Noise
	rng   *rand.Rand
}

func newSensor(s *Sensor, clock *phctest.Config) *sensor {
	return &sensor{Sensor: *s, noise: clock.Noise, rng: rand.New(rand.NewPCG(s.Seed, 0x74656d70))}
}

// at returns the reading ns after the start, degrees Celsius: the crystal's
// temperature and, as that follows by a low pass, its slope times the lag.
func (s *sensor) at(ns int64) float64 {
	t, n := float64(ns)*1e-9, &s.noise
	var y, slope float64 // ppb, ppb per s
	if n.SwingS > 0 {
		w := 2 * math.Pi / n.SwingS
		y, slope = n.SwingPPB*math.Sin(w*t), n.SwingPPB*w*math.Cos(w*t)
	}
	for _, r := range n.Ramps {
		switch {
		case t >= r.At+r.Over:
			y += r.PPB
		case t > r.At:
			y += r.PPB * (t - r.At) / r.Over
			slope += r.PPB / r.Over
		}
	}
	c := s.BaseC + (y+slope*s.LagS)/s.PPBPerK + s.NoiseC*s.rng.NormFloat64()
	if s.StepC > 0 {
		c = s.StepC * math.Round(c/s.StepC)
	}
	return c
}
