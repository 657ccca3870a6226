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

// A gate that grows lets in pulses that jumped. An oscillator that changed is no jump,
// however late the gate lets its pulses in.
func TestPulsesThatTheGateLetsIn(t *testing.T) {
	t.Parallel()
	noise := func(k int) float64 { return 40 * float64(k%3-1) }
	for _, c := range []struct {
		name string
		n    int // refused, before the one that is let in
		dev  func(k int) float64
		want bool
	}{
		{"nothing was refused", 0, func(int) float64 { return 1e3 }, false},
		{"a jump after one", 1, func(int) float64 { return 1e3 }, true},
		{"a jump after nine", 9, func(k int) float64 { return 1200 + noise(k) }, true},
		{"a jump within the noise", 9, func(k int) float64 { return 100 + noise(k) }, false},
		{"a jump, and back", 9, func(k int) float64 { return 1200 * float64(1-k/10) }, false},
		{"spikes", 6, func(k int) float64 { return float64(k*k%7) * 1e3 }, false},
		{"an oscillator that changed, after one", 1, func(k int) float64 { return 600 * float64(k) }, false},
		{"after nine", 9, func(k int) float64 { return -150*float64(k) + noise(k) }, false},
		{"after fourteen", 14, func(k int) float64 { return 150 * float64(k) }, false},
	} {
		var r rejectRun
		for k := 1; k <= c.n; k++ {
			r.add(float64(k), c.dev(k), 20)
		}
		if got := r.stepped(float64(c.n+1), c.dev(c.n+1), 20); got != c.want {
			t.Errorf("%s: a jump %v", c.name, got)
		}
	}
}

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
