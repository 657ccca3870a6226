package server

import (
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/transport/sockets"
)

// TestBusy wants the worker to let requests gather only while they come fast and
// do not fill a batch anyway.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration
		n     int
		want  bool
	}{
		{"one a second", time.Second, 1, false},
		{"4000 a second", 250 * time.Microsecond, 1, false},
		{"10,000 a second", 100 * time.Microsecond, 1, true},
		{"10,000 a second, gathered", 450 * time.Microsecond, 4, true},
		{"50,000 a second, gathered", 450 * time.Microsecond, 22, true},
		{"a flood", 100 * time.Microsecond, sockets.BatchLen, false},
	} {
		w := &worker{pace: 8 * lingerPace}
		got := w.busy(1)
		if got {
			t.Errorf("%s: busy before anything came", c.name)
		}
		for range 50 {
			w.active += int64(c.every)
			got = w.busy(c.n)
		}
		if got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		w.active += int64(time.Second)
		for range 2 {
			got = w.busy(1)
			w.active += int64(time.Second)
		}
		if got {
			t.Errorf("%s: busy after a pause", c.name)
		}
	}
}

// TestSlack wants clients told what timestamps may be late.
func TestSlack(t *testing.T) {
	var v View
	told := func() ntp.Short {
		v.Set(locked(t2026), 1795392000e9, rxMono, -24)
		return v.header(t2026).RootDisp
	}
	without := told()
	v.Slack = 100 * time.Microsecond
	if with := told(); with < without+ntp.ShortFrom(90*time.Microsecond) || with > without+ntp.ShortFrom(110*time.Microsecond) {
		t.Errorf("root dispersion %d without, %d with 100 us of slack", without, with)
	}
}
