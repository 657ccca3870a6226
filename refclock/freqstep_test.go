package refclock_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/phctest"
	"noonmark/refclock/clock"
	"noonmark/refclock/status"
)

// watched is a card whose corrections are noted.
type watched struct {
	*card
	n         int
	low, high float64
}

func (c *watched) AdjFreq(ppb float64) error {
	err := c.card.AdjFreq(ppb)
	f, _ := c.card.FreqPPB()
	if c.n == 0 {
		c.low, c.high = f, f
	}
	c.n++
	c.low, c.high = min(c.low, f), max(c.high, f)
	return err
}

// mute is a card with coarse steps that says what was asked for, as the kernel
// does, and whose driver cuts off or rounds.
type mute struct {
	*card
	step  float64
	cuts  bool
	asked float64
}

func (c *mute) AdjFreq(ppb float64) error {
	c.asked = ppb
	k := math.Round(ppb / c.step)
	if c.cuts {
		k = math.Trunc(ppb / c.step)
	}
	return c.card.AdjFreq(k * c.step)
}

func (c *mute) FreqPPB() (float64, error) { return c.asked, nil }

// A card that hides its steps, which are configured: the clock deviates by what one
// step adds up to until the next tick, and no more, also in holdover. The error of
// the estimate remains, about 0.1 ppb after six minutes.
func TestCoarseHidden(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("long, and the same goroutines as in the tests of survival")
	}
	for _, c := range []struct {
		step, free float64 // ppb
		cuts       bool
		limit      float64 // ns, locked and over ten minutes of holdover
	}{
		{61.035, 2300.4, true, 200}, // unnamed: 11 us more
		{61.035, -2300.4, true, 200},
		{61.035, 0.2, true, 200},
		{488.28, 5000.1, true, 400},
		{2.98, -1234.5, false, 150}, // 900 ns at most
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlant(t, -77*time.Second, func(p *plant) {
				m := &mute{step: c.step, cuts: c.cuts, card: p.plug(0, phctest.Config{Start: -77 * time.Second, Width: 200, MaxPPB: 600e3, Noise: phctest.Noise{OffsetPPB: c.free, WhitePPB: 0.05}, Seed: 8})}
				p.open = clock.WithFreqStep(func() (clock.Device, error) { return m, nil }, c.step)
			})
			defer p.end()
			p.locks(time.Minute)
			time.Sleep(time.Minute)
			worst := 0.0
			for range 300 {
				time.Sleep(1030 * time.Millisecond)
				worst = max(worst, math.Abs(p.now().Error(p.mono())))
			}
			p.mu.Lock()
			p.held = true
			p.mu.Unlock()
			time.Sleep(10 * time.Second)
			start := p.now().Error(p.mono())
			time.Sleep(10 * time.Minute)
			e := p.now().Error(p.mono()) - start
			t.Logf("hidden steps of %v ppb: at most %.1f ns while locked, %.1f ns more after ten minutes of holdover", c.step, worst, e)
			if s := p.latest(); worst > c.limit || math.Abs(e) > c.limit || s.State != status.Holdover {
				t.Errorf("hidden steps of %v ppb (seed 8): %v, limit %.0f ns", c.step, s.State, c.limit)
			}
		})
	}
}

// The limit of the device is respected also with the quarter of a step more.
func TestCoarseLimit(t *testing.T) {
	for _, ppb := range []float64{-1e9, -1000, -999, 999, 1000, 1e9, math.Inf(1)} {
		c := phctest.New(func() int64 { return 0 }, phctest.Config{MaxPPB: 1000})
		x, err := clock.WithFreqStep(func() (clock.Device, error) { return c, nil }, 61.035)()
		if err != nil {
			t.Fatal(err)
		}
		if err := x.AdjFreq(ppb); err != nil {
			t.Errorf("%v: %v", ppb, err)
		}
		if f, _ := c.FreqPPB(); math.Abs(f) < 900 || f*ppb < 0 {
			t.Errorf("%v ppb became %v", ppb, f)
		}
	}
}

// A card with coarse frequency steps: the rounding error is dithered, so the mean
// is the requested frequency, also in holdover, where no pulse shows the
// difference. No correction is farther from its neighbours than one step, and the
// device's limit is respected.
func TestCoarseSteps(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("long, and the same goroutines as in the tests of survival")
	}
	for _, c := range []struct {
		step, free float64 // ppb
		limit      float64 // ns, after ten minutes of holdover
	}{
		{0, 1000.37, 60}, // the kernel's own
		{0.0153, -4400.2, 60},
		{1, 1000.37, 100}, // rounding alone: 0.37 ppb, 222 ns in ten minutes
		{1, -2000.5, 100}, // 300 ns
		{3, 7000.4, 150},  // 1.4 ppb, 840 ns
	} {
		synctest.Test(t, func(t *testing.T) {
			var w *watched
			p := newPlant(t, -77*time.Second, func(p *plant) {
				w = &watched{card: p.plug(0, phctest.Config{Start: -77 * time.Second, Width: 200, MaxPPB: 10_000, StepPPB: c.step, Noise: phctest.Noise{OffsetPPB: c.free, WhitePPB: 0.05}, Seed: 7})}
				p.open = func() (clock.Device, error) { return w, nil }
			})
			defer p.end()
			p.locks(time.Minute)
			var sum, worst float64
			for range 600 {
				time.Sleep(time.Second)
				e := p.now().Error(p.mono())
				sum += e * e
				worst = max(worst, math.Abs(e))
			}
			if rms := math.Sqrt(sum / 600); rms > 3+c.step || worst > 20+3*c.step {
				t.Errorf("steps of %v ppb (seed 7): rms %.2f ns, at most %.1f while locked", c.step, rms, worst)
			}
			p.mu.Lock()
			p.held = true
			p.mu.Unlock()
			time.Sleep(10 * time.Second)
			start := p.now().Error(p.mono())
			w.n = 0
			time.Sleep(10 * time.Minute)
			e := p.now().Error(p.mono()) - start
			if s := p.latest(); s.State != status.Holdover || math.Abs(e) > c.limit {
				t.Errorf("steps of %v ppb (seed 7): %v, off by %.1f ns more after ten minutes", c.step, s.State, e)
			}
			if d := w.high - w.low; d > max(c.step, 1)*1.01 {
				t.Errorf("steps of %v ppb: corrections between %.3f and %.3f ppb in holdover", c.step, w.low, w.high)
			}
			t.Logf("steps of %v ppb: holdover lost %.1f ns, %d corrections between %.4f and %.4f ppb", c.step, e, w.n, w.low, w.high)
		})
	}
}
