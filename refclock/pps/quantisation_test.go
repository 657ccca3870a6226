package pps

import (
	"math/rand/v2"
	"testing"
)

func TestQuantisationBelongsToTheNextPulse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		given []announcement
		pulse int64
		want  float64
		ok    bool
	}{
		{"none", nil, 5 * second, 0, false},
		{"after the pulse", []announcement{{6 * second, 7}}, 5 * second, 0, false},
		{"too long before it", []announcement{{5*second - AnnounceMax, 7}}, 5 * second, 0, false},
		{"before it", []announcement{{5*second - 900e6, 7}}, 5 * second, 7, true},
		{"the latest of several", []announcement{{5*second - 900e6, 7}, {5*second - 800e6, 8}, {6 * second, 9}}, 5 * second, 8, true},
	} {
		var q Quantisation
		for _, a := range c.given {
			q.Announce(a.mono, a.ns)
		}
		got, ok := q.Take(c.pulse)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, ok, c.want, c.ok)
		}
		if ok {
			if again, ok := q.Take(c.pulse); ok && again == got {
				t.Errorf("%s: %v is used twice", c.name, got)
			}
		}
	}
}

// The sign is learned from the pulses, and changed only for good evidence.
func TestQuantisationLearnsItsSign(t *testing.T) {
	t.Parallel()
	const seed = 31
	t.Logf("seed %d", seed)
	for _, c := range []struct {
		name   string
		sign   float64 // true pulse error = -sign * announced
		jitter float64
		gap    int // every so many pulses one has no announcement; 0 never
		pulses int
		want   float64
	}{
		{"too few pulses", -1, 0.2, 0, signVotes, 1},
		{"never three in a row", -1, 0.2, 2, 200, 1},
		{"documented", 1, 0.2, 0, 200, 1},
		{"inverted", -1, 0.2, 0, 200, -1},
		{"inverted, with gaps", -1, 0.2, 10, 200, -1},
		{"of another pulse output", 0, 0.2, 0, 200, 0},
	} {
		r := rand.New(rand.NewPCG(seed, 0))
		var q Quantisation
		for k := range c.pulses {
			if c.gap != 0 && k%c.gap == 0 {
				q.Gap()
				continue
			}
			announced := 20 * (2*r.Float64() - 1)
			// The clock is off by 500 ns and drifts by 3 ns a second.
			x := 500 + 3*float64(k) - c.sign*announced + c.jitter*r.NormFloat64()
			q.Learn(int64(k+1)*second, x, announced)
		}
		if got := q.Sign(); got != c.want {
			t.Errorf("%s: sign %v, want %v", c.name, got, c.want)
		}
	}
}
