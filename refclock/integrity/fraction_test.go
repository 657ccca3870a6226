package integrity

import (
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reading"
)

// Labels with a fraction are used as long as they go on as the pulses do.
func TestFractionsThatContradictThemselves(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		within func(k int) time.Duration // of the label in second k
		after  func(k int) time.Duration // its pulse, the message comes
		want   bool                      // used in the last second
	}{
		{"a fraction that varies, and messages that do not", func(k int) time.Duration { return time.Duration(k*370%1000) * ms }, func(int) time.Duration { return 500 * ms }, false},
		{"at .30", func(int) time.Duration { return 300 * ms }, func(int) time.Duration { return 400 * ms }, true},
		{"at .30, past the next pulse", func(int) time.Duration { return 300 * ms }, func(int) time.Duration { return 1100 * ms }, true},
		{"at .30, whenever the messages come within a second", func(int) time.Duration { return 300 * ms }, func(k int) time.Duration { return time.Duration(310+k*617%980) * ms }, true},
		{"a fraction that varies, and messages with it", func(k int) time.Duration { return time.Duration(k*370%1000) * ms }, func(k int) time.Duration { return time.Duration(k*370%1000+120) * ms }, true},
		{"whole seconds, whenever they come", func(int) time.Duration { return 0 }, func(k int) time.Duration { return time.Duration(k*617%990) * ms }, true},
		{"one label damaged", func(k int) time.Duration {
			if k == 20 {
				return -5 * time.Second
			}
			return 300 * ms
		}, func(int) time.Duration { return 400 * ms }, true},
	} {
		var f fractions
		got := true
		for k := range 40 {
			mono := mono0 + int64(k)*1e9 + int64(c.after(k))
			in := &reading.Clocks{Mono: mono, Pulse: mono - (mono-mono0)%1e9}
			got = f.usable(truth0+tai.Time(k)*tai.Second+tai.Time(c.within(k)), in)
		}
		if got != c.want {
			t.Errorf("%s: used %v", c.name, got)
		}
	}
}
