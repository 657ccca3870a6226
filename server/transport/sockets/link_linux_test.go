package sockets

import "testing"

func TestLinkKeepsLastKnownSpeed(t *testing.T) {
	t.Parallel()
	l := newLink("no such interface")
	if got := l.speed.Load(); got != usualSpeed {
		t.Errorf("unknown: %d Mb/s, want %d", got, usualSpeed)
	}
	l.speed.Store(100)
	for _, name := range []string{"no such interface", "lo"} { // lo has no driver that reports a speed
		if l.refresh(name); l.speed.Load() != 100 {
			t.Errorf("%s: %d Mb/s, want 100", name, l.speed.Load())
		}
	}
}
