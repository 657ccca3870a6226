package phctest

import (
	"errors"
	"math"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// adev returns the overlapping Allan deviation in ppb of an oscillator's phase
// sampled every 1 s, at tau seconds.
func adev(x []float64, tau int) float64 {
	var sum float64
	n := 0
	for i := 0; i+2*tau < len(x); i++ {
		d := x[i+2*tau] - 2*x[i+tau] + x[i]
		sum += d * d
		n++
	}
	return math.Sqrt(sum/(2*float64(n))) / float64(tau)
}

func sample(n Noise, seconds int) []float64 {
	o := NewOscillator(7, n)
	x := make([]float64, seconds)
	for i := range x {
		x[i] = o.Phase(float64(i))
	}
	return x
}

func TestNoiseHasItsAllanDeviation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		n    Noise
		tau  int
		want float64
		tol  float64
	}{
		{"white 1 s", Noise{WhitePPB: 2.5}, 1, 2.5, 0.05},
		{"white 100 s", Noise{WhitePPB: 2.5}, 100, 0.25, 0.15},
		{"flicker 10 s", Noise{FlickerPPB: 1.3}, 10, 1.3, 0.1},
		{"flicker 100 s", Noise{FlickerPPB: 1.3}, 100, 1.3, 0.15},
		{"flicker 1000 s", Noise{FlickerPPB: 1.3}, 1000, 1.3, 0.35},
		{"walk 10 s", Noise{WalkPPB: 0.8}, 10, 0.8 * math.Sqrt(10.0/3), 0.1},
		{"walk 100 s", Noise{WalkPPB: 0.8}, 100, 0.8 * math.Sqrt(100.0/3), 0.2},
	} {
		got := adev(sample(c.n, 40000), c.tau)
		if math.Abs(got/c.want-1) > c.tol {
			t.Errorf("%s (seed 7): Allan deviation %.3f ppb, want %.3f within %.0f %%", c.name, got, c.want, 100*c.tol)
		}
	}
}

func TestOscillatorDoesNotCareWhenItIsAsked(t *testing.T) {
	t.Parallel()
	n := Noise{OffsetPPB: 1000, WhitePPB: 3, FlickerPPB: 1, WalkPPB: 0.5, AgeingPPB: 10, Ramps: []Ramp{{At: 30, Over: 10, PPB: 50}}}
	a, b := NewOscillator(3, n), NewOscillator(3, n)
	for _, s := range []float64{0.1, 0.25, 7.33, 7.2, 50, 49.9, 200.01} {
		b.Phase(s / 2)
		if x, y := a.Phase(s), b.Phase(s); x != y {
			t.Errorf("at %v s: %v and %v", s, x, y)
		}
	}
	if x, y := NewOscillator(4, n).Phase(10), a.Phase(10); x == y {
		t.Error("another seed gives the same oscillator")
	}
	if got := NewOscillator(1, Noise{Ramps: []Ramp{{At: 10, PPB: 100}}}).Phase(20); math.Abs(got-1000) > 1e-6 {
		t.Errorf("10 s at +100 ppb gain %v ns, want 1000", got)
	}
	if got := Series([]float64{5, -3}).Phase(3.5); math.Abs(got-(5-3-3-1.5)) > 1e-9 {
		t.Errorf("series: %v", got)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	var now int64 = 1000
	c := New(func() int64 { return now }, Config{Truth: 5e18, Mono0: 1000, Start: time.Second, Noise: Noise{OffsetPPB: 10000}, StepPPB: 0.5})
	at := func(want float64) {
		t.Helper()
		if got := c.Error(now); math.Abs(got-want) > 1e-3 {
			t.Errorf("at %d: error %.3f ns, want %.3f", now, got, want)
		}
	}
	at(1e9)
	now += 1e9
	at(1e9 + 10000)
	if err := c.AdjFreq(-10000); err != nil {
		t.Fatal(err)
	}
	now += 1e9
	at(1e9 + 10000)
	if err := c.Step(-time.Second - 10*time.Microsecond); err != nil {
		t.Fatal(err)
	}
	at(0)
	if got := c.Error(now - 5e8); math.Abs(got-(1e9+10000)) > 1e-3 {
		t.Errorf("half a second before the step: %v", got)
	}
	x, err := c.Cross()
	if err != nil || x.Clock != c.True(now) || x.Mono != now || x.Real != int64(c.True(now))-37e9 {
		t.Errorf("Cross = %+v, %v; truth %d", x, err, c.True(now))
	}
	if c.MonoAt(c.True(now)) != now || c.True(now) != tai.Time(5e18)+2e9 {
		t.Error("truth")
	}
	if err := c.AdjFreq(0.7); err != nil {
		t.Fatal(err)
	}
	if f, _ := c.FreqPPB(); f != 0.5 {
		t.Errorf("correction is %v, want it rounded to 0.5", f)
	}
	err = c.AdjFreq(-100001)
	if f, _ := c.FreqPPB(); !errors.Is(err, phc.ErrFreqRange) || f != -100000 {
		t.Errorf("a correction beyond the largest: %v, in force %v", err, f)
	}
	if err := c.AdjFreq(math.NaN()); err == nil {
		t.Error("NaN was taken")
	}
}

func TestClockFaults(t *testing.T) {
	t.Parallel()
	var now int64
	c := New(func() int64 { return now }, Config{Width: time.Microsecond})
	c.SetGone(true)
	if _, err := c.Cross(); !errors.Is(err, ErrGone) {
		t.Errorf("gone: %v", err)
	}
	c.SetGone(false)
	boom := errors.New("boom")
	c.FailNext(1, boom)
	if err := c.Step(1); !errors.Is(err, boom) {
		t.Errorf("fail: %v", err)
	}
	if _, err := c.Cross(); err != nil {
		t.Errorf("after: %v", err)
	}
	c.Disturb(time.Millisecond)
	if got := c.Error(now); got != 1e6 {
		t.Errorf("disturbed: %v", got)
	}
	for i := 0; i < 1000; i++ {
		now += 1e9
		x, _ := c.Cross()
		if d := x.Clock.Sub(c.At(now)); d.Abs() > x.Width/2+1 {
			t.Fatalf("read %v outside the bracket %v", d, x.Width)
		}
	}
}

// TestClockSuspend: while the machine sleeps, the mono source stands still, true time
// does not, and the clock does or does not.
func TestClockSuspend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		runs bool
		want float64 // error after it, ns
	}{{true, 0}, {false, -3600e9}} {
		now := int64(1e9)
		x := New(func() int64 { return now }, Config{Truth: 5e18, Mono0: 1e9})
		now += 10e9
		before := x.True(now - 1)
		x.Suspend(time.Hour, c.runs)
		if got := x.Error(now); got != c.want || x.True(now)-before != 3600e9+1 || x.Slept() != time.Hour {
			t.Errorf("runs on %v: error %.0f ns, true time went on by %d ns, slept %v", c.runs, got, x.True(now)-before, x.Slept())
		}
		if got := x.Error(now - 1); got != 0 || x.True(now-1) != before {
			t.Errorf("runs on %v: the past has changed: error %.0f", c.runs, got)
		}
		now += 5e9
		for _, back := range []tai.Time{0, 4e9} {
			if got := x.MonoAt(x.True(now) - back); got != now-int64(back) {
				t.Errorf("runs on %v: MonoAt %d s ago is %d ns off", c.runs, back/1e9, got-now+int64(back))
			}
		}
		if got := x.MonoAt(x.True(now) - 60*tai.Second); got != 11e9 {
			t.Errorf("runs on %v: an instant of the sleep is at %d", c.runs, got)
		}
	}
}

func TestClockHangs(t *testing.T) {
	t.Parallel()
	x := New(func() int64 { return 0 }, Config{})
	release := x.Hang()
	done := make(chan error)
	go func() { _, err := x.Cross(); done <- err }()
	select {
	case <-done:
		t.Error("a hanging clock answered")
	default:
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.AdjFreq(50)
	x.Reset(time.Second)
	if f, _ := x.FreqPPB(); f != 0 || x.Error(0) != 1e9 {
		t.Errorf("after a reset: correction %v, error %v", f, x.Error(0))
	}
}
