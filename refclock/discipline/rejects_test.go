package discipline

import "testing"

// Refused pulses agree where they stand still, and on a line: a frequency that was
// learned from drifting pulses is wrong. Spikes do not agree.
func TestRefusedPulsesThatAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dev  func(k int) float64 // ns from the prediction
		want int                 // how many of the last agree, of 20
	}{
		{"spikes", func(k int) float64 { return float64(k*k%7) * 1e4 }, 1},
		{"a line that bends ever more", func(k int) float64 { return float64(k*k) * 300 }, 1},
		{"the last one is elsewhere", func(k int) float64 { return float64(k/19) * 1e5 }, 1},
		{"a jump", func(int) float64 { return 5e4 }, 20},
		{"a jump, and 150 ppb", func(k int) float64 { return 5e4 + 150*float64(k) }, 20},
		{"a jump, and 3 ppm", func(k int) float64 { return 5e4 - 3000*float64(k) }, 19},
		{"3 ppm with the noise of pulses", func(k int) float64 { return 3000*float64(k) + 20*float64(k%3-1) }, 19},
	} {
		var r rejectRun
		for k := range 20 {
			r.add(float64(k+1), c.dev(k), 20)
		}
		if r.agreeing != c.want {
			t.Errorf("%s: %d agree, want %d", c.name, r.agreeing, c.want)
		}
	}
}

// A ramp is recognised when it leaves the gate. Pulses that stand elsewhere for long
// are none, whatever slope their noise has.
func TestRampOfRefusedPulses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		n    int
		dev  func(k int) float64
		want bool
	}{
		{"a jump for long, with a slope of its noise", 48, func(k int) float64 { return 1221 + 25*float64(k-48) }, false},
		{"a jump", 4, func(k int) float64 { return 1221 + 2*float64(k) }, false},
		{"an oscillator that changed by 200 ppb", 4, func(k int) float64 { return 200 * float64(k) }, true},
		{"the same, by -60 ppb", 6, func(k int) float64 { return -60 * float64(k) }, true},
	} {
		var r rejectRun
		for k := 1; k <= c.n; k++ {
			r.add(float64(k), c.dev(k), 20)
		}
		if _, ok := r.ramp(1e5); ok != c.want {
			t.Errorf("%s: a ramp %v", c.name, ok)
		}
	}
}
