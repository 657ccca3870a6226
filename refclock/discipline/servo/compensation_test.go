package servo

import (
	"math"
	"math/rand/v2"
	"testing"
)

// weeks simulates days of a free oscillator, every 16 s, with a sensor that does
// not predict it unless perK is set.
type weeks struct {
	walk, swing, age, perK float64 // ppb per sqrt(s); ppb by day; ppb per day; ppb per K
	sensor                 bool
}

func (w weeks) play(seed uint64, days float64) *Compensation {
	const dt = 16
	var c Compensation
	r := rand.New(rand.NewPCG(seed, 0x616765))
	y, free, celsius := 0.0, 0.0, 40.0
	for t := 0.0; t < days*86400; t += dt {
		day := math.Sin(2 * math.Pi * t / 86400)
		if w.sensor {
			celsius += 0.03 * r.NormFloat64()
			c.Temperature(t, celsius+3*day)
		}
		c.Observe(t, free+3*r.NormFloat64())
		c.Advance(t)
		y += w.walk * math.Sqrt(dt) * r.NormFloat64()
		free += dt * (y + w.swing*day + w.age*t/86400 + w.perK*(celsius+3*day-40))
	}
	return &c
}

// TestCompensationAgeing: ageing is learned over days; daily temperature cycles
// and a random walk are not taken for it.
func TestCompensationAgeing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		w        weeks
		days     float64
		min, max float64 // ppb per day
	}{
		{"one day", weeks{walk: 0.0005, age: 1}, 1, 0, 0},
		{"random walk only", weeks{walk: 0.02}, 6, 0, 0},
		{"daily cycles only", weeks{walk: 0.0005, swing: 20}, 3.25, 0, 0},
		{"daily cycles only, not whole days", weeks{walk: 0.0005, swing: 20}, 2.5, 0, 0},
		{"old oven", weeks{walk: 0.0005, age: 1}, 4, 0.7, 1.3},
		{"new oven", weeks{walk: 0.001, age: -10}, 3, -11, -9},
		{"old oven with daily cycles and a sensor", weeks{walk: 0.0005, age: 1, perK: 2, sensor: true}, 6, 0.6, 1.4},
	} {
		for seed := uint64(1); seed <= 5; seed++ {
			n := c.w.play(seed, c.days).Export()
			if v := n.Age.Value; v < c.min || v > c.max {
				t.Errorf("%s, seed %d: %.2f +- %.2f ppb per day, want %v to %v", c.name, seed, v, n.Age.Sigma, c.min, c.max)
			}
		}
	}
}

// TestCompensationTrust: of sensors of something else hardly one is used, and
// sensors of the oscillator are, with a coefficient that is right to within its
// standard deviation.
func TestCompensationTrust(t *testing.T) {
	t.Parallel()
	used := 0
	const seeds = 40
	for seed := uint64(1); seed <= seeds; seed++ {
		if v := (weeks{walk: 0.02, sensor: true}).play(seed, 0.75).Export().Temp; v.Value != 0 {
			used++
			t.Logf("seed %d: a sensor of something else is used with %.3f +- %.3f ppb/K", seed, v.Value, v.Sigma)
		}
		v := (weeks{walk: 0.02, perK: 5, sensor: true}).play(seed, 0.75).Export().Temp
		if off := math.Abs(v.Value - 5); v.Sigma == 0 || off > 5*v.Sigma || off > 1 {
			t.Errorf("seed %d: %.2f +- %.2f ppb/K, is 5", seed, v.Value, v.Sigma)
		}
	}
	if used > 1 {
		t.Errorf("%d of %d sensors of something else are used", used, seeds)
	}
}

// TestCompensationImport: an imported coefficient is used at once, until the
// observations contradict it.
func TestCompensationImport(t *testing.T) {
	t.Parallel()
	var c Compensation
	c.Import(CompensationState{Temp: Coefficient{Value: 7}, Age: Coefficient{Value: 3}})
	if n := c.Export(); n.Temp.Value != 0 || n.Age.Value != 0 {
		t.Errorf("imported %+v without a sigma", n)
	}
	state := CompensationState{Temp: Coefficient{5, 0.1}, LagS: 100, Age: Coefficient{2, 0.2}}
	c.Import(state)
	n := c.Export()
	if math.Abs(n.Temp.Value-5) > 1e-9 || n.LagS != 120 || math.Abs(n.Age.Value-2) > 1e-9 {
		t.Errorf("imported %+v, used %+v", state, n)
	}
	c.Advance(0)
	if got, want := c.Advance(86400), 2.0; math.Abs(got-want) > 1e-6 {
		t.Errorf("a day turns it by %v ppb, want %v", got, want)
	}
	// Another oscillator: -5 ppb/K, no ageing.
	r := rand.New(rand.NewPCG(1, 1))
	free, celsius := 0.0, 40.0
	for k := range 5 * 86400 / 16 {
		x := float64(86400 + 16*k)
		celsius += 0.03 * r.NormFloat64()
		c.Temperature(x, celsius)
		c.Observe(x, free)
		c.Advance(x)
		free += 16 * -5 * (celsius - 40)
	}
	if n := c.Export(); math.Abs(n.Temp.Value+5) > 0.5 || math.Abs(n.Age.Value) > 0.5 {
		t.Errorf("after five days of another oscillator: %+v", n)
	}
}

// TestCompensationStuckSensor: a sensor whose reading used to change and does not
// any more is stuck; one whose reading always changed rarely is not.
func TestCompensationStuckSensor(t *testing.T) {
	t.Parallel()
	var a, b Compensation
	for k := range 6 * 3600 {
		x := float64(k)
		v := 40 + 3*math.Sin(2*math.Pi*x/7200)
		a.Temperature(x, math.Round(v*4)/4)
		b.Temperature(x, math.Round(40+0.6*math.Sin(2*math.Pi*x/86400)))
	}
	const end = 6 * 3600
	for k := range 7200 {
		x := float64(end + k)
		a.Temperature(x, 41)
		b.Temperature(x, 41)
	}
	if !a.Stuck(end+7200) || b.Stuck(end+7200) {
		t.Errorf("stuck: %v, want true; %v, want false", a.Stuck(end+7200), b.Stuck(end+7200))
	}
	if a.Temperature(end+7200, 43); a.Stuck(end + 7200) {
		t.Error("still stuck after it moved")
	}
}
