package servo

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A jump among pulses is found, with its place and size, whatever the slope of
// the line that they are compared with. Noise, spikes, drifts and an oscillator that
// changes are none.
func TestJump(t *testing.T) {
	const sigma, read = 20, 300
	for _, c := range []struct {
		name string
		n    int                     // pulses
		ns   func(s float64) float64 // where they are at second s
		at   int                     // the jump, 0: there is none
		by   float64
	}{
		{"nothing", 40, func(float64) float64 { return 0 }, 0, 0},
		{"a slope", 40, func(s float64) float64 { return 700 * s }, 0, 0},
		{"too many", 65, func(s float64) float64 { return stepAt(s, 17, 1200) }, 0, 0},
		{"too few", 3, func(s float64) float64 { return 5000 * math.Floor(s/2) }, 0, 0},
		{"a jump", 30, func(s float64) float64 { return stepAt(s, 17, 1200) }, 17, 1200},
		{"a jump of pulses on a slope", 30, func(s float64) float64 { return 300*s + stepAt(s, 17, -1200) }, 17, -1200},
		{"a jump, two pulses ago", 19, func(s float64) float64 { return stepAt(s, 17, 1200) }, 17, 1200},
		{"a jump, a pulse ago", 18, func(s float64) float64 { return stepAt(s, 17, 1200) }, 0, 0},
		{"a jump after four pulses", 30, func(s float64) float64 { return stepAt(s, 4, 1200) }, 4, 1200},
		{"a jump of less than pulses are read to", 30, func(s float64) float64 { return stepAt(s, 17, 250) }, 0, 0},
		{"the larger one of two", 60, func(s float64) float64 { return stepAt(s, 15, 1200) + stepAt(s, 40, -3000) }, 40, -3000},
		{"a jump and a spike", 40, func(s float64) float64 { return stepAt(s, 17, 1200) + spiked(s, 20) }, 17, 1200},
		{"a spike", 40, func(s float64) float64 { return spiked(s, 20) }, 0, 0},
		{"the first one is a spike", 40, func(s float64) float64 { return spiked(s, 0) }, 0, 0},
		{"a drift", 40, func(s float64) float64 { return 400 * max(0, s-17) }, 0, 0},
		{"a drift of one second in five", 40, func(s float64) float64 { return 40 * max(0, s-17) }, 0, 0},
		{"an oscillator that warms up", 60, func(s float64) float64 { return s * s }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(50) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				p := make([]Point, c.n)
				for i := range p {
					p[i] = Point{float64(i), c.ns(float64(i)) + sigma*rnd.NormFloat64()}
				}
				at, by, unsure := Jump(p, sigma, read, 6)
				if at != c.at || math.Abs(by-c.by) > unsure {
					t.Errorf("seed %d: %.0f to %.0f ns after %d, want %.0f after %d", seed, by, unsure, at, c.by, c.at)
				}
			}
		})
	}
}

func stepAt(s, at, by float64) float64 {
	if s >= at {
		return by
	}
	return 0
}

func spiked(s, at float64) float64 { return stepAt(s, at, 5000) - stepAt(s, at+1, 5000) }
