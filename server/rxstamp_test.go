package server

import (
	"testing"
	"time"

	"noonmark/phc/tai"
)

func TestRealtimeToMono(t *testing.T) {
	t.Parallel()
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
		if got, ok := realtimeToMono(c.stamp, real, mono); ok != c.ok || ok && got != c.want {
			t.Errorf("%d: %d, %v", c.stamp, got, ok)
		}
	}
}

func TestImplausibleHardStampIsRefused(t *testing.T) {
	t.Parallel()
	now := tai.Time(2e18)
	for _, c := range []struct {
		stamp tai.Time
		ok    bool
	}{{0, false}, {now + 2e6, false}, {now - 1e9, false}, {now - 5000, true}, {now + 100, true}} {
		if _, ok := plausibleHardStamp(int64(c.stamp), now, time.Second); ok != c.ok {
			t.Errorf("%d: %v", c.stamp, ok)
		}
	}
}
