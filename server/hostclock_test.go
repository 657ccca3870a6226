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

// tornClock has readings of two clocks that were 1000 apart.
type tornClock struct {
	late []int64 // of the second clock, by reading
	n    int
}

func (c *tornClock) read() (real, mono int64) {
	late := c.late[min(c.n, len(c.late)-1)]
	c.n++
	at := int64(1e6 * c.n)
	return at + 1000, at + late
}

// A pair between whose readings the processor was taken away is read again.
func TestPairsThatAreTornAreReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late         []int64
		reads, apart int64
	}{
		"torn once":              {[]int64{40_000, 0}, 2, 1000},
		"torn twice":             {[]int64{40_000, 9_000, 10}, 3, 990},
		"torn each time":         {[]int64{40_000, 9_000, 50_000, 70_000}, tornReads, -8000},
		"set back by a second":   {[]int64{1e9}, tornReads, 1000 - 1e9},
		"set forward":            {[]int64{-1e9}, 1, 1000 + 1e9},
		"slewed":                 {[]int64{tornSlack}, 1, 1000 - tornSlack},
		"nothing has intervened": {[]int64{0}, 1, 1000},
	} {
		x := &tornClock{late: c.late}
		real, mono := untorn(x, 1000)
		if int64(x.n) != c.reads || real-mono != c.apart {
			t.Errorf("%s: %d readings, %d apart; want %d, %d", name, x.n, real-mono, c.reads, c.apart)
		}
	}
}
