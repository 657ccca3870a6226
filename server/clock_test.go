package server

import (
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
		if _, ok := hardTime(int64(c.stamp), now); ok != c.ok {
			t.Errorf("%d: %v", c.stamp, ok)
		}
	}
}

// TestLatency lets the estimate settle on a latency with rare delays, and stay
// within its limits whatever comes.
func TestLatency(t *testing.T) {
	var l latency
	settle := func(count, place int, wire int64) {
		t.Helper()
		for i := range 2000 {
			at := wire // ns after the bare timestamp
			if i%10 == 9 {
				at += 1e6
			}
			l.learn(count, place, at-l.of(count, place))
		}
		if got := l.of(count, place); got < wire-1000 || got > wire+2500 {
			t.Errorf("place %d of %d: learned %d ns of %d", place, count, got, wire)
		}
	}
	settle(1, 0, 8000)
	if got := l.of(sendLen, 3); got != l.of(1, 0) {
		t.Errorf("what is not known is taken for %d ns", got)
	}
	settle(sendLen, 0, 12000)
	settle(sendLen, sendLen-1, 30000)
	settle(1, 0, 6000)
	for range 10000 {
		l.learn(1, 0, 1e9)
	}
	if l.of(1, 0) != latencyMax {
		t.Errorf("learned %d ns of a jam", l.of(1, 0))
	}
	for range 10000 {
		l.learn(1, 0, -1e9)
	}
	if l.of(1, 0) != 0 {
		t.Errorf("learned %d ns", l.of(1, 0))
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
