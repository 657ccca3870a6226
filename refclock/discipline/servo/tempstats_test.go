package servo

import (
	"math"
	"testing"
)

// swing returns a Compensation of 10 ppb per K after four hours of readings, once
// a second, that swing by +-3 K around 40 degrees each hour.
func swing() (c *Compensation, end float64) {
	c = new(Compensation)
	c.Import(CompensationState{Temp: Coefficient{10, 0.1}, LagS: 70})
	const s = 4 * 3600
	for k := range s + 1 {
		t := float64(k)
		c.Temperature(t, 40+3*math.Sin(2*math.Pi*t/3600))
		c.Advance(t)
	}
	return c, s
}

// TestSilentSensor: without readings, the time without is reported, the crystal is
// assumed to reach the last temperature, and that to return to its mean.
func TestSilentSensor(t *testing.T) {
	t.Parallel()
	c, end := swing()
	for k := range 900 { // a quarter more: at its warmest
		x := end + float64(k)
		c.Temperature(x, 40+3*math.Sin(2*math.Pi*x/3600))
		c.Advance(x)
	}
	end += 899
	warm, ppb := c.CrystalTemp(), 0.0
	if b := c.Unobserved(end + sensorGap); b != 0 {
		t.Errorf("not observed for %v s after %d s of silence", b, sensorGap)
	}
	for k := 1.0; k <= 6*3600; k++ {
		ppb += c.Advance(end + k)
		if k == 200 && math.Abs(c.CrystalTemp()-warm) > 1 {
			t.Errorf("after 200 s of silence the crystal is at %.2f, was at %.2f", c.CrystalTemp(), warm)
		}
		if b := c.Unobserved(end + k); k > sensorGap && b != k {
			t.Fatalf("not observed for %v s after %v s of silence", b, k)
		}
	}
	if math.Abs(c.CrystalTemp()-40) > 0.5 || math.Abs(ppb-10*(c.CrystalTemp()-warm)) > 0.01 {
		t.Errorf("after six hours of silence at %.2f and turned by %.2f ppb; the mean is 40, it was at %.2f", c.CrystalTemp(), ppb, warm)
	}
}

// TestTempWalk: the allowance for a temperature that is not observed is at least
// what it did before, and at least some K.
func TestTempWalk(t *testing.T) {
	t.Parallel()
	var none Compensation
	if w := none.TempWalk(3600, 0); w != 0 {
		t.Errorf("%v ns without a coefficient", w)
	}
	c, _ := swing()
	// 3 K up and down each hour change by 3 K, rms, in half of one.
	for _, s := range []float64{300, 600, 1800, 3600, 86400} {
		w := c.TempWalk(0, s) / 10 / s * math.Sqrt(3) // K
		d := 2 * 3 * math.Abs(math.Sin(math.Pi*math.Min(s, 1800)/3600)) / math.Sqrt2
		if w < d || c.TempWalk(s, 0) <= c.TempWalk(0, s) {
			t.Errorf("in %v s it wanders by %.2f K, rms %.2f K", s, w, d)
		}
	}
	var still Compensation
	still.Import(CompensationState{Temp: Coefficient{10, 0.1}, LagS: 70})
	for k := range 4 * 3600 {
		still.Temperature(float64(k), 40+0.01*float64(k%2))
	}
	if w := still.TempWalk(600, 0); w < 4000 {
		t.Errorf("%.0f ns in ten minutes for a temperature that was constant", w)
	}
	w := c.stats.walk()
	c.ShiftSensor(-30)
	for k := range 3600 {
		x := 4*3600 + float64(k+1)
		c.Temperature(x, 10+3*math.Sin(2*math.Pi*x/3600))
	}
	if v := c.stats.walk(); math.Abs(v-w) > 0.1*w || math.Abs(c.stats.mean-10) > 0.5 {
		t.Errorf("after a shift a walk of %v, was %v; the mean %v", v, w, c.stats.mean)
	}
}

// TestConstantReading: a constant reading counts as no observation soon if the
// sensor's reading always changed, later if its resolution is coarse, and not at
// all while it changes as usual.
func TestConstantReading(t *testing.T) {
	t.Parallel()
	var fine, coarse Compensation
	const end = 6 * 3600
	state := CompensationState{Temp: Coefficient{10, 0.1}, LagS: 70}
	fine.Import(state)
	coarse.Import(state)
	for k := range end {
		v := 40 + 3*math.Sin(2*math.Pi*float64(k)/3600)
		fine.Temperature(float64(k), v)
		coarse.Temperature(float64(k), math.Round(v))
		if coarse.Stuck(float64(k)) || fine.Unobserved(float64(k)) > 0 {
			t.Fatalf("after %d s: stuck %v, blind %v s", k, coarse.Stuck(float64(k)), fine.Unobserved(float64(k)))
		}
	}
	silent := coarse
	if b := silent.Unobserved(end + 600); b < 601 || b > 720 {
		t.Errorf("with a coarse resolution, constant and then silent: not observed for %v s after 601", b)
	}
	for k := range 7200 {
		x := float64(end + k)
		fine.Temperature(x, 40.2)
		coarse.Temperature(x, 40)
		switch k {
		case 60:
			if fine.Unobserved(x) < 45 || coarse.Unobserved(x) > 90 || fine.Stuck(x) {
				t.Errorf("after %d s a fine sensor is blind for %v s, a coarse one for %v; stuck %v", k, fine.Unobserved(x), coarse.Unobserved(x), fine.Stuck(x))
			}
		case 7199:
			if coarse.Unobserved(x) < 7100 || !coarse.Stuck(x) || !fine.Stuck(x) {
				t.Errorf("a coarse one blind for %v s after %d; stuck %v", coarse.Unobserved(x), k, coarse.Stuck(x))
			}
		}
	}
}
