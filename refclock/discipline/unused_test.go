package discipline

import "testing"

// A jump of unused pulses is found where they are still where it took them. A jump that
// took them back, a slow drift and interference are none.
func TestJumpsOfUnusedPulses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dev  func(k int) float64 // ns from the prediction, of 60 seconds
		last float64             // that of the first pulse that is used again
		want float64
	}{
		{"none", func(k int) float64 { return 20 * float64(k%3-1) }, 15, 0},
		{"the oscillator drifts", func(k int) float64 { return 150 * float64(k) }, 9000, 0},
		{"a jump", func(k int) float64 { return 12000 * float64(k/30) }, 12010, 12000},
		{"a jump and an oscillator that drifts against it", func(k int) float64 { return -12000*float64(k/30) + 100*float64(k) }, -6000, -11900},
		{"a jump at the first pulse", func(int) float64 { return 3000 }, 3010, 3000},
		{"a jump and back", func(k int) float64 { return 12000 * float64(k/20%2) }, 10, 0},
		{"a drift of the pulses and a jump back", func(k int) float64 { return max(0, 100*float64(k)-max(0, float64(k-40))*1e6) }, 60, 0},
		{"the other edge, at last", func(k int) float64 { return 1e8 * float64(k%2) }, 5, 0},
	} {
		u := unusedPulses{on: true}
		for k := range 60 {
			u.watch(int64(k+1)*1e9, c.dev(k), 20, false)
		}
		if got := u.displaced(c.last, 20); got != c.want {
			t.Errorf("%s: %.0f ns, want %.0f", c.name, got, c.want)
		}
	}
}

// Pulses return if they come back by about as much as they went.
func TestReturningPulses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		jump, left, dev float64 // ns
		want            bool
	}{
		{0, 0, 5000, false}, {5000, 0, -5000, true}, {5000, 0, 5000, false}, {0, -1400, 2200, true}, {0, 20, -4.5e6, false}, {0, 20, -900, true},
	} {
		b := errorBound{jump: jump{ns: c.jump}, left: c.left}
		if got := b.returning(c.dev, 20); got != c.want {
			t.Errorf("followed %.0f ns, left the line by %.0f ns, %+.0f ns from the prediction: %v", c.jump, c.left, c.dev, got)
		}
	}
}
