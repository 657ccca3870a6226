package discipline

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A jump among the latest pulses is found, with its place and size, whatever the slope of
// the line that they are compared with. Noise, spikes, drifts and an oscillator that
// changes are none.
func TestJumpsAmongRecentPulses(t *testing.T) {
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
		{"too few", 3, func(s float64) float64 { return 5000 * math.Floor(s/2) }, 0, 0},
		{"a jump", 30, func(s float64) float64 { return stepAt(s, 17, 1200) }, 17, 1200},
		{"a jump of pulses on a slope", 30, func(s float64) float64 { return 300*s + stepAt(s, 17, -1200) }, 17, -1200},
		{"a jump, two pulses ago", 19, func(s float64) float64 { return stepAt(s, 17, 1200) }, 17, 1200},
		{"a jump, a pulse ago", 18, func(s float64) float64 { return stepAt(s, 17, 1200) }, 0, 0},
		{"a jump after four pulses", 30, func(s float64) float64 { return stepAt(s, 4, 1200) }, 4, 1200},
		{"a jump across half a second", 30, func(s float64) float64 { return 0.5e9 - 600 + stepAt(s, 17, 1200) }, 17, 1200},
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
				var r recentPulses
				for i := range c.n {
					r.add(int64(float64(i+100)*1e9 - c.ns(float64(i)) - sigma*rnd.NormFloat64()))
				}
				at, j := r.jumped(func(mono int64) float64 {
					ns := float64(mono)
					return 1e9*math.Round(ns*1e-9) - ns
				}, sigma, read)
				if at != c.at || math.Abs(j.ns-c.by) > j.unsure {
					t.Errorf("seed %d: %+v after %d, want %.0f after %d", seed, j, at, c.by, c.at)
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

// The next run begins with the latest pulses of this one, and a jump between the two is
// one among them.
func TestRecentPulsesContinue(t *testing.T) {
	var r, next recentPulses
	for i := range int64(recentKept + 10) {
		r.add((i + 1) * 1e9)
		r.add((i + 1) * 1e9) // once
	}
	if r.n != recentKept || r.mono[0] != 11e9 {
		t.Fatalf("%d pulses from %d on", r.n, r.mono[0])
	}
	l := r.last()
	next.continueFrom(&l)
	if next.n != len(l) || next.mono[0] != int64(recentKept+10-len(l)+1)*1e9 || next.mono[next.n-1] != (recentKept+10)*1e9 {
		t.Errorf("%d pulses, %v", next.n, next.mono[:next.n])
	}
	if next.add(5e9); next.n != 1 || next.mono[0] != 5e9 {
		t.Errorf("after pulses of the future: %d pulses, %v", next.n, next.mono[:next.n])
	}
	few := LastPulses{len(l) - 1: 7}
	if next.continueFrom(&few); next.n != 1 || next.mono[0] != 7 {
		t.Errorf("%d pulses, %v", next.n, next.mono[:next.n])
	}
}
