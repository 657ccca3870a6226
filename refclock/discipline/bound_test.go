package discipline

import (
	"math"
	"testing"
)

// A jump that was followed stays in the bound until the pulses jump back or
// evidence confirms the clock, whatever time passes and whatever is forgotten.
func TestUnexplainedJump(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*errorBound)
		want float64 // ns
	}{
		{"a jump", func(b *errorBound) { b.jump.follow(-13700, 0) }, 13700},
		{"phase is acquired anew", func(b *errorBound) { b.jump.follow(-13700, 0); b.forget() }, 13700},
		{"back again", func(b *errorBound) { b.jump.follow(-13700, 0); b.jump.follow(13650, 0) }, 0},
		{"half way back", func(b *errorBound) { b.jump.follow(-13700, 0); b.jump.follow(7000, 0) }, 6700},
		{"further", func(b *errorBound) { b.jump.follow(-13700, 0); b.jump.follow(-1000, 0) }, 14700},
		{"confirmed", func(b *errorBound) { b.jump.follow(-13700, 0); b.confirm(500) }, 500},
		{"confirmed less exactly", func(b *errorBound) { b.jump.follow(-13700, 0); b.confirm(1e6) }, 13700},
		{"confirmed, then back", func(b *errorBound) { b.jump.follow(-13700, 0); b.confirm(500); b.jump.follow(13700, 0) }, 13200},
		{"its measurement is not exact", func(b *errorBound) { b.jump.follow(-13700, 400) }, 14100},
		{"back again, whatever it was measured to", func(b *errorBound) { b.jump.follow(-13700, 400); b.jump.follow(13650, 300) }, 0},
		{"confirmed, inexact", func(b *errorBound) { b.jump.follow(-13700, 400); b.confirm(13900) }, 13900},
		{"nothing to confirm", func(b *errorBound) { b.confirm(500) }, 0},
	} {
		var b errorBound
		c.do(&b)
		if got := b.unexplained(); math.Abs(got-c.want) > 100 {
			t.Errorf("%s: the bound covers %.0f ns, want %.0f", c.name, got, c.want)
		}
	}
}

func TestRevertingJump(t *testing.T) {
	t.Parallel()
	b := errorBound{jump: jump{ns: -13700}}
	for _, c := range []struct {
		ns   float64
		want bool
	}{{13700, true}, {13000, true}, {-13700, false}, {6000, false}, {100, false}} {
		if got := b.reverts(c.ns, 20); got != c.want {
			t.Errorf("a jump by %v ns takes the pulses back: %v, want %v", c.ns, got, c.want)
		}
	}
	if (&errorBound{}).reverts(13700, 20) {
		t.Error("without an earlier jump none takes the pulses back")
	}
}
