package phc

import (
	"testing"
	"time"
)

// TestStatusFrom: "unsynchronised" unless the clock is synchronised, a leap flag
// only then, and never with the kernel's own control loops on.
func TestStatusFrom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		q         Quality
		now, want int32
	}{
		{Quality{Leap: 1}, StaPLL | StaIns, StaUnsync},
		{Quality{}, StaFLL | StaPPSFreq | StaPPSTime | StaFreqHold, StaUnsync},
		{Quality{Synced: true, Leap: 3}, StaUnsync, 0},
		{Quality{Synced: true}, StaUnsync | StaIns | StaDel, 0},
		{Quality{Synced: true, Leap: 1}, StaDel, StaIns},
		{Quality{Synced: true, Leap: 2}, StaIns, StaDel},
		{Quality{Synced: true}, 0x2000 | 0x1000, 0x2000 | 0x1000}, // STA_NANO and others are the kernel's
	} {
		if got := c.q.StatusFrom(c.now); got != c.want {
			t.Errorf("%+v from %#x: %#x, want %#x", c.q, c.now, got, c.want)
		}
	}
}

func TestMicros(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{-1: 0, 0: 0, 1: 1, time.Microsecond: 1, 1001: 2, time.Hour: 16e6} {
		if got := micros(d); got != want {
			t.Errorf("micros(%v) = %d, want %d", d, got, want)
		}
	}
}
