package steer

import (
	"math"
	"testing"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// TestForeignStepIsNoticed: a step by another program is noticed at the first
// reading where the bracket of the reading excludes anything else, and
// otherwise by the discipline, which compares readings over time. Without the
// second detector, no step would be noticed on a card that is read over a slow
// bus (ARCHITECTURE.md, "Why two detectors").
func TestForeignStepIsNoticed(t *testing.T) {
	t.Parallel()
	const seed = 1
	const byDiscipline, byClock = 0, 1
	for _, c := range []struct {
		name    string
		bracket time.Duration
		step    time.Duration
		by      int
	}{
		{"slow bus, 80 us", 222 * time.Microsecond, 80 * time.Microsecond, byDiscipline},
		{"slow bus, more than a bracket", 222 * time.Microsecond, 300 * time.Microsecond, byDiscipline},
		{"slow bus, backwards", 111 * time.Microsecond, -150 * time.Microsecond, byDiscipline},
		{"within some brackets", 20 * time.Microsecond, 50 * time.Microsecond, byDiscipline},
		{"many brackets", 20 * time.Microsecond, 150 * time.Microsecond, byClock},
		{"PCIe card", 2 * time.Microsecond, 20 * time.Microsecond, byClock},
		{"exact readings", 0, 5 * time.Microsecond, byClock},
	} {
		now := int64(1e12)
		const truth = tai.Time(1_790_000_000) * tai.Second
		dev := phctest.New(func() int64 { return now }, phctest.Config{Seed: seed, Truth: truth, Mono0: now, Width: c.bracket,
			Noise: phctest.Noise{OffsetPPB: 1000, WhitePPB: 2.8, WalkPPB: 0.8}})
		l := New(clock.Config{Mono: func() int64 { return now }, Open: func() (clock.Device, error) { return dev, nil }},
			discipline.Config{GivenSecond: true}, discipline.Learned{})
		moved := 0
		count := func(events []clock.Event) {
			for _, e := range events {
				if e.Kind == clock.Moved {
					moved++
				}
			}
		}
		tick := func() {
			_, ok := l.Clock.Read()
			count(l.Events())
			if ok {
				now = max(now, l.Clock.Anchor())
				count(l.Act(l.Control.Tick(now, l.Clock.At(now))))
			}
		}
		l.Clock.Maintain(now)
		count(l.Events())
		for k := 1; k < 180; k++ {
			second := dev.MonoAt(truth + tai.Time(k)*tai.Second)
			now = second + 1000
			count(l.Act(l.Control.Pulse(discipline.Pulse{Clock: dev.At(second), Mono: second, Now: now})))
			for i := range int64(5) {
				now = second + 100e6 + i*200e6
				if k == 100 && i == 2 {
					if s := l.Control.Status(); s.State != status.Locked || s.Counts[discipline.ClockStepped] != 0 {
						t.Fatalf("%s, seed %d: %v (%s) before the step", c.name, seed, s.State, s.Text())
					}
					dev.Disturb(c.step)
				}
				tick()
			}
		}
		s := l.Control.Status()
		if moved != c.by || s.Counts[discipline.ClockStepped] == 0 {
			t.Errorf("%s, seed %d: noticed %d times by the reading, %d times in all", c.name, seed, moved, s.Counts[discipline.ClockStepped])
		}
		if e := math.Abs(dev.Error(now)); s.State != status.Locked || e > 100 {
			t.Errorf("%s, seed %d: %v (%s), %.0f ns off at the end", c.name, seed, s.State, s.Text(), e)
		}
	}
}
