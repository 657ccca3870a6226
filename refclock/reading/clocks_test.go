package reading

import (
	"testing"
	"time"

	"noonmark/phc/tai"
)

// A message comes less than a second after the instant that it names; that tells
// which second a pulse began, whatever fraction the label has.
func TestSecondOfALabel(t *testing.T) {
	t.Parallel()
	const s, ms = tai.Second, tai.Second / 1000
	for _, c := range []struct {
		name  string
		label tai.Time      // of second 100
		after time.Duration // the pulse of second 100, at which the message comes
		pulse time.Duration // the latest pulse, after that of second 100
		want  tai.Time
		ok    bool
	}{
		{"no pulse for long", 100 * s, 4100 * time.Millisecond, 0, 0, false},
		{"a pulse that comes later", 100 * s, 100 * time.Millisecond, 200 * time.Millisecond, 0, false},
		{"a whole second", 100 * s, 100 * time.Millisecond, 0, 100 * s, true},
		{"at the pulse", 100 * s, 0, 0, 100 * s, true},
		{"past the next pulse", 100*s + 300*ms, 1100 * time.Millisecond, time.Second, 101 * s, true},
		{"at .30", 100*s + 300*ms, 400 * time.Millisecond, 0, 100 * s, true},
		{"at .99, after the next pulse", 100*s + 990*ms, 1400 * time.Millisecond, time.Second, 101 * s, true},
		{"the pulse's stamp is read late", 101 * s, 1120 * time.Millisecond, 0, 101 * s, true},
	} {
		x := Clocks{Mono: 1e12 + int64(c.after), Pulse: 1e12 + int64(c.pulse)}
		got, _, ok := x.Second(c.label)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
	if _, _, ok := new(Clocks).Second(100 * s); ok {
		t.Error("a second without any pulse")
	}
}
