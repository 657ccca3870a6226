package integrity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// rampRig makes pulses and two clocks with crystals of their own. All in ns
// and ppb.
type rampRig struct {
	young               bool
	white, walk, jitter float64 // of each crystal, of the pulses
	warm                func(t float64) float64
	move                func(t float64) float64 // of the pulses, + = late
	clock               func(t float64) float64 // rate of the clock alone
}

// play runs n seconds and returns the first second of an alarm and the last, -1
// if there was none.
func (g rampRig) play(seed uint64, n int) (first, last int) {
	r := rand.New(rand.NewPCG(seed, 9))
	var d ramp
	first, last = -1, -1
	var fy, fr, y, x float64
	for k := range n {
		t := float64(k)
		w, c, p := 0.0, 0.0, g.jitter*r.NormFloat64()
		if g.warm != nil {
			w = g.warm(t)
		}
		if g.clock != nil {
			c = g.clock(t)
		}
		if g.move != nil {
			p += g.move(t)
		}
		fy += g.walk * r.NormFloat64()
		fr += g.walk * r.NormFloat64()
		y += 1500 + fy + w + c + g.white*r.NormFloat64()
		x += -9000 + fr + w + g.white*r.NormFloat64()
		free := y + p
		free -= 1e9 * math.Round(free*1e-9)
		if d.pulse(int64(k)*1e9+int64(math.Round(x+p)), free, g.young); d.alarm.raised {
			if last = k; first < 0 {
				first = k
			}
		}
	}
	return first, last
}

// Pulses that drift away raise the alarm within seconds, and their end ends it.
// What crystals, temperature, spikes and jumps do raises none.
func TestRamp(t *testing.T) {
	const day = 86400 / 4
	at := func(from, to, slope float64) func(float64) float64 {
		return func(t float64) float64 { return slope * max(0, min(t, to)-from) }
	}
	for _, c := range []struct {
		name        string
		rig         rampRig
		n           int
		first, last int // at the latest; -1: never
	}{
		{"quiet crystals, six hours", rampRig{white: 2.5, walk: 0.02, jitter: 3}, day, -1, -1},
		{"wandering crystals, six hours", rampRig{white: 5, walk: 2.9, jitter: 5}, day, -1, -1},
		{"kernel stamps, six hours", rampRig{white: 10, walk: 3, jitter: 500}, day, -1, -1},
		{"a room warmed twice an hour", rampRig{white: 2.5, walk: 0.1, jitter: 3, warm: func(t float64) float64 { return 200 * math.Sin(2*math.Pi*t/1800) }}, day, -1, -1},
		{"a fan that starts: 1 ppb/s for a minute, of both", rampRig{white: 2.5, walk: 0.1, jitter: 3, warm: func(t float64) float64 { return at(300, 360, -1)(t) }}, 1800, -1, -1},
		{"the clock's crystal jumps by 200 ppb", rampRig{white: 2.5, walk: 0.1, jitter: 3, clock: func(t float64) float64 {
			if t > 300 {
				return 200
			}
			return 0
		}}, 1800, -1, -1},
		{"pulses jump by 300 us", rampRig{white: 2.5, walk: 0.1, jitter: 3, move: func(t float64) float64 {
			if t > 300 {
				return 300e3
			}
			return 0
		}}, 1800, -1, -1},
		{"spikes", rampRig{white: 2.5, walk: 0.1, jitter: 3, move: func(t float64) float64 {
			if int(t)%7 == 3 {
				return 40e3
			}
			return 0
		}}, day, -1, -1},
		{"100 ns/s for five minutes", rampRig{white: 2.5, walk: 0.1, jitter: 3, move: at(600, 900, 100)}, 1800, 606, 925},
		{"-30 ns/s for five minutes", rampRig{white: 2.5, walk: 0.02, jitter: 3, move: at(600, 900, -30)}, 1800, 615, 925},
		{"100 ns/s, kernel stamps", rampRig{white: 10, walk: 1, jitter: 500, move: at(600, 900, 100)}, 1800, 640, 1100},
		{"-200 ns/s, kernel stamps", rampRig{white: 10, walk: 3, jitter: 500, move: at(600, 900, -200)}, 1800, 632, 1798}, // crystals that wander so much hide its end for long
		{"a fan that starts, kernel stamps", rampRig{white: 10, walk: 1, jitter: 500, warm: func(t float64) float64 { return at(300, 360, -1)(t) }}, 1800, -1, -1},
		{"5 ns/s for 20 s and then the truth", rampRig{white: 2.5, walk: 0.02, jitter: 3, move: func(t float64) float64 {
			if t > 620 {
				return 0
			}
			return at(600, 620, 5)(t)
		}}, 1800, 640, 700},
		{"10 us/s, kernel stamps", rampRig{white: 10, walk: 3, jitter: 500, move: at(600, 900, 10e3)}, 1800, 610, 930},
		{"pulses jump while the first line is made", rampRig{white: 2.5, walk: 0.1, jitter: 3, move: func(t float64) float64 {
			if t < 18 {
				return -51e3
			}
			return 0
		}}, 1800, -1, -1},
		{"pulses jump for 50 s", rampRig{white: 2.5, walk: 0.1, jitter: 20, move: func(t float64) float64 {
			if t > 600 && t < 650 {
				return -51e3
			}
			return 0
		}}, 1800, -1, -1},
		{"100 ns/s without end, after a young lock", rampRig{white: 2.5, walk: 0.1, jitter: 3, young: true, move: at(600, 1e9, 100)}, 2400, 606, 1160},
		{"100 ns/s without end", rampRig{white: 2.5, walk: 0.1, jitter: 3, move: at(600, 1e9, 100)}, 2400, 606, 2399},
	} {
		for seed := uint64(1); seed <= 3; seed++ {
			first, last := c.rig.play(seed, c.n)
			if c.first < 0 && first >= 0 || c.first >= 0 && (first < 600 || first > c.first || last > c.last) || c.last == c.n-1 && last != c.last {
				t.Errorf("%s (seed %d): alarm from %d to %d s, want at the latest from %d to %d", c.name, seed, first, last, c.first, c.last)
			}
		}
	}
}
