package server

import (
	"testing"
	"time"

	"noonmark/phc"
)

// Readings lie between two of the kernel's own, within the error of the pairing
// and the drift of the two clocks.
func TestHostClockAgreesWithTheKernel(t *testing.T) {
	t.Parallel()
	c := newHostClock()
	for range 100 {
		a := phc.MonoRaw()
		real, mono := c.now()
		again := c.mono()
		b := phc.MonoRaw()
		if slack := int64(c.width + pairSpan/1000); mono < a-slack || again > b+slack || again < mono {
			t.Errorf("readings %d and %d are not within %d to %d", mono, again, a, b)
		}
		if d := time.Since(time.Unix(0, real)); d < 0 || d > time.Minute {
			t.Errorf("CLOCK_REALTIME is off by %v", d)
		}
	}
	if p := ClockPrecision(); p < -32 || p > -5 {
		t.Errorf("precision %d", p)
	}
}

func TestSteadySinceDetectsASetClock(t *testing.T) {
	t.Parallel()
	const second = int64(1e9)
	before := newRealtimeOffset(1795392000e9, 50e9)
	for _, c := range []struct {
		name       string
		set, after int64 // change of CLOCK_REALTIME, and time between the comparisons, ns
		steady     bool
	}{
		{"set back by a second", -second, second, false},
		{"set by 1 ms", 1e6, second, false},
		{"set by 60 us at once", 60e3, 0, false},
		{"slewed by 500 ppm", 500e3, second, true},
		{"error of the comparison", -50e3, 0, true},
		{"nothing", 0, second, true},
	} {
		now := newRealtimeOffset(1795392000e9+c.after+c.set, 50e9+c.after)
		if got := now.steadySince(before); got != c.steady {
			t.Errorf("%s: steady %v", c.name, got)
		}
	}
}
