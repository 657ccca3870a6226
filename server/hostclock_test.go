package server

import (
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

func TestSoftMono(t *testing.T) {
	const real, mono = int64(1795392000e9), int64(50e9)
	for _, c := range []struct {
		stamp int64
		want  int64
		ok    bool
	}{
		{0, 0, false},
		{real + 2e6, 0, false},
		{real - 2e9, 0, false},
		{real, mono, true},
		{real - 12345, mono - 12345, true},
		{real + 500, mono + 500, true}, // the two clocks are read one after the other
	} {
		if got, ok := softMono(c.stamp, real, mono); ok != c.ok || ok && got != c.want {
			t.Errorf("%d: %d, %v", c.stamp, got, ok)
		}
	}
}

func TestHardTime(t *testing.T) {
	now := tai.Time(2e18)
	for _, c := range []struct {
		stamp tai.Time
		ok    bool
	}{{0, false}, {now + 2e6, false}, {now - 1e9, false}, {now - 5000, true}, {now + 100, true}} {
		if _, ok := hardTime(int64(c.stamp), now, time.Second); ok != c.ok {
			t.Errorf("%d: %v", c.stamp, ok)
		}
	}
}

// TestLatency wants the estimate at once, never above all but a few of the
// samples, and without memory of another regime.
func TestLatency(t *testing.T) {
	l := latency{floor: 1500}
	if got := l.of(0, sendLen, 3); got != 1500 {
		t.Errorf("nothing learned: %d ns, want the floor", got)
	}
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 0))
	settle := func(what string, kind, count, place int, wire, spread int64, samples int) {
		t.Helper()
		over := 0
		for i := range samples {
			at := wire + rnd.Int64N(spread)
			if i%10 == 9 {
				at += 1e6 // a jam
			}
			if i > 2*latencyWindow && l.of(kind, count, place) > at {
				over++
			}
			l.learn(kind, count, place, at)
		}
		if got := l.of(kind, count, place); got < wire || got > wire+spread/4 {
			t.Errorf("seed %d, %s: told %d ns of %d to %d", seed, what, got, wire, wire+spread)
		}
		if over > samples/20 {
			t.Errorf("seed %d, %s: %d of %d timestamps were later than the departure", seed, what, over, samples)
		}
	}
	l.learn(0, 1, 0, 9000)
	if got := l.of(0, 1, 0); got != 9000 {
		t.Errorf("told %d ns after one sample of 9000", got)
	}
	settle("alone", 0, 1, 0, 8000, 2000, 2000)
	if got := l.of(0, sendLen, 3); got != l.of(0, 1, 0) {
		t.Errorf("what is not known is taken for %d ns", got)
	}
	for i := range latencyWindow { // the least of a handful is not believed
		if got := l.of(0, 5, 3); got > l.of(0, 1, 0) {
			t.Fatalf("told %d ns after %d samples of 30000", got, i)
		}
		if !l.young(0, 5, 3) {
			t.Fatalf("%d samples are enough", i)
		}
		l.learn(0, 5, 3, 30000)
	}
	if got := l.of(0, 5, 3); got != 30000 || l.young(0, 5, 3) {
		t.Errorf("told %d ns after %d samples of 30000", got, latencyWindow)
	}
	settle("first of many", 0, sendLen, 0, 12000, 500, 2000)
	settle("last of many, sealed", secureKind, sendLen, sendLen-1, 30000, 500, 2000)
	settle("slower machine", 0, 1, 0, 20000, 2000, 2*latencyWindow)
	settle("faster machine", 0, 1, 0, 4000, 2000, latencyWindow)
	for range 2 * latencyWindow {
		l.learn(0, 1, 0, 1e9)
	}
	if l.of(0, 1, 0) != latencyMax {
		t.Errorf("learned %d ns of a jam", l.of(0, 1, 0))
	}
	l.learn(0, 1, 0, -1e9)
	if l.of(0, 1, 0) != 0 {
		t.Errorf("learned %d ns", l.of(0, 1, 0))
	}
}

// TestOvershoot wants the worst of late told at once, and forgotten in time.
func TestOvershoot(t *testing.T) {
	var o overshoot
	for _, late := range []int64{-5000, 300, 2000, -100, 50} {
		o.learn(late)
	}
	if o < 1950 || o > 2000 {
		t.Errorf("%d ns, want nearly 2000", o)
	}
	for range 5000 {
		o.learn(-1000)
	}
	if o != 0 {
		t.Errorf("%d ns are not forgotten", o)
	}
}

// TestHostClock wants the clock's readings between two of the kernel's own, give
// or take what the pairing may be off and the clocks drift apart.
func TestHostClock(t *testing.T) {
	c := newHostClock()
	for range 100 {
		a := phc.MonoRaw()
		real, mono := c.now()
		again := c.mono()
		b := phc.MonoRaw()
		if slack := int64(c.width + pairSpan/1000); mono < a-slack || again > b+slack || again < mono {
			t.Errorf("%d and %d are not within %d to %d", mono, again, a, b)
		}
		if d := time.Since(time.Unix(0, real)); d < 0 || d > time.Minute {
			t.Errorf("CLOCK_REALTIME is off by %v", d)
		}
	}
	if p := ClockPrecision(); p < -32 || p > -5 {
		t.Errorf("precision %d", p)
	}
}
