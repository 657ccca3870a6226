package servo

import (
	"math"
	"math/rand/v2"
	"testing"
)

// plant is a clock under dead-beat control on the estimate.
type plant struct {
	r              *rand.Rand
	b              *IMM
	x, y, u, total float64
	white, wfm, rw float64
	sum, n         float64
}

func newPlant(seed uint64, k Noise) *plant {
	p := &plant{r: rand.New(rand.NewPCG(seed, 1)), b: NewIMM(), white: k.MeasNS, wfm: k.WhiteFM, rw: k.WalkFM, y: 10e3}
	p.b.Reset(0, 200e3)
	return p
}

func (p *plant) second() {
	z := p.x + p.white*p.r.NormFloat64()
	p.b.Update(z)
	if p.b.Count() > 1 {
		e := p.b.Estimate()
		p.u = -e.Freq - e.Phase
	}
	p.sum += p.x * p.x
	p.n++
	p.b.Advance(1, p.u)
	p.total += p.u
	p.x += p.y + p.u + p.wfm*p.r.NormFloat64()
	p.y += p.rw * p.r.NormFloat64()
}

// limit returns the steady-state error of the Kalman filter that knows the noise.
func limit(k Noise) float64 {
	r, q1, q2 := k.MeasNS*k.MeasNS, k.WhiteFM*k.WhiteFM, k.WalkFM*k.WalkFM
	p11, p12, p22 := 1e6, 0.0, 1e6
	for range 20000 {
		s := p11 + r
		k1, k2 := p11/s, p12/s
		a11, a12, a22 := p11-k1*p11, p12-k1*p12, p22-k2*p12
		p11, p12, p22 = a11+2*a12+a22+q1, a12+a22, a22+q2
	}
	return math.Sqrt(p11)
}

// TestIMMReachesTheLimit: without knowing the noise, the error is within 10 % of
// that of the filter that knows it, for oscillators and pulses of all kinds.
func TestIMMReachesTheLimit(t *testing.T) {
	t.Parallel()
	for _, k := range []Noise{
		{5, 1, 1}, {50, 1, 1}, {5, 0.03, 0.01}, {0.2, 2.5, 0.02}, {4.5, 2.5, 0.02}, {0.2, 2.8, 0.8}, {500, 10, 3}, {20, 30, 0.1},
	} {
		p := newPlant(1, k)
		for range 1500 {
			p.second()
		}
		p.sum, p.n = 0, 0
		for range 2500 {
			p.second()
		}
		if got, want := math.Sqrt(p.sum/p.n), limit(k); got > 1.1*want {
			t.Errorf("%+v: rms %.3f ns, limit %.3f", k, got, want)
		}
	}
}

// TestIMMLearnsNoise: measurement noise is learned to 10 %, the random walk to
// half a decade, and the estimate's variance matches its error.
func TestIMMLearnsNoise(t *testing.T) {
	t.Parallel()
	for _, k := range []Noise{{5, 0.03, 0.1}, {50, 1, 1}, {500, 1, 1}, {20, 0.1, 0.05}} {
		p := newPlant(7, k)
		var q, n float64
		for i := range 4000 {
			p.second()
			if e := p.b.Estimate(); i > 1500 {
				q += (p.x - e.Phase) * (p.x - e.Phase) / e.P11
				n++
			}
		}
		got := p.b.Noise()
		if math.Abs(got.MeasNS/k.MeasNS-1) > 0.1 {
			t.Errorf("%+v: noise %.2f ns", k, got.MeasNS)
		}
		if d := math.Abs(math.Log10(got.WalkFM / k.WalkFM)); d > 0.5 {
			t.Errorf("%+v: walk %.4f, %.1f decades off", k, got.WalkFM, d)
		}
		if q/n > 2 || q/n < 0.5 {
			t.Errorf("%+v: squared error is %.2f times the estimated variance", k, q/n)
		}
	}
}

// TestIMMFollowsAChange: after a step of the frequency the phase returns within
// seconds, and the noise within minutes.
func TestIMMFollowsAChange(t *testing.T) {
	t.Parallel()
	p := newPlant(3, Noise{20, 0.03, 0.01})
	for range 3000 {
		p.second()
	}
	p.y += 10 // half a standard deviation a second: too little for a gate
	worst := 0.0
	for range 60 {
		p.second()
		worst = math.Max(worst, math.Abs(p.x))
	}
	if worst > 120 {
		t.Errorf("%.0f ns off after a frequency step of 10 ppb", worst)
	}
	for range 240 {
		p.second()
	}
	p.sum, p.n = 0, 0
	for range 600 {
		p.second()
	}
	if r := math.Sqrt(p.sum / p.n); r > 8 {
		t.Errorf("rms %.1f ns five minutes after it", r)
	}
}

// TestIMMPrior: a right prior does no harm, and a wrong one is overcome.
func TestIMMPrior(t *testing.T) {
	t.Parallel()
	k := Noise{50, 1, 0.3}
	for _, prior := range []Noise{k, {1, 0.01, 10}, {5000, 30, 0.001}} {
		p := newPlant(5, k)
		p.b.SetPrior(prior)
		p.b.Reset(0, 200e3)
		for range 3000 {
			p.second()
		}
		p.sum, p.n = 0, 0
		for range 2000 {
			p.second()
		}
		if got, want := math.Sqrt(p.sum/p.n), limit(k); got > 1.15*want {
			t.Errorf("prior %+v: rms %.1f ns, limit %.1f", prior, got, want)
		}
	}
}

// TestPredictionErrorWidens: the factor stays near 1 if predictions are as good
// as the model expects, and rises if the oscillator changes more.
func TestPredictionErrorWidens(t *testing.T) {
	t.Parallel()
	run := func(swing float64) *PredictionError {
		p := newPlant(11, Noise{5, 0.03, 0.01})
		f := &PredictionError{}
		for i := range 9000 {
			d := swing * math.Sin(2*math.Pi*float64(i)/4000) // temperature
			p.y += d
			z := p.x + p.white*p.r.NormFloat64()
			p.b.Update(z)
			if p.b.Count() > 1 {
				e := p.b.Estimate()
				p.u = -e.Freq - e.Phase
			}
			f.Observe(float64(i), p.b.Estimate(), p.total)
			p.b.Advance(1, p.u)
			p.total += p.u
			p.x += p.y + p.u + p.wfm*p.r.NormFloat64()
			p.y += p.rw*p.r.NormFloat64() - d
		}
		return f
	}
	a, b := run(0).Factor(1000), run(2).Factor(1000)
	if a > 2.5 {
		t.Errorf("factor %.2f at 1000 s for an oscillator like the model", a)
	}
	if b < 2*a {
		t.Errorf("factor %.2f with temperature swings, %.2f without", b, a)
	}
	var empty PredictionError
	if v := empty.Factor(1e5); v != 1 {
		t.Errorf("factor %v before any prediction", v)
	}
}

// TestPredictionErrorTightens: the factor falls for a model that is too careful,
// but not at horizons without predictions, and stays near 1 for a right one.
func TestPredictionErrorTightens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claim    float64 // the model's standard deviation over the true one
		at       float64 // s
		min, max float64
	}{
		{3, 2, 0.5, 1},
		{3, 256, 0.28, 0.75},
		{3, 1024, 0.28, 0.75},
		{3, 65536, 0.8, 1},
		{1, 256, 0.7, 1.5},
		{0.3, 256, 1.8, 5},
	} {
		for seed := uint64(1); seed <= 2; seed++ {
			r := rand.New(rand.NewPCG(seed, 3))
			var f PredictionError
			x := 0.0
			for k := range 7200 {
				f.Observe(float64(k), Estimate{Phase: x, Q1: c.claim * c.claim}, 0)
				x += r.NormFloat64()
			}
			if got := f.Factor(c.at); got < c.min || got > c.max {
				t.Errorf("seed %d: claimed %g times the truth, factor over %g s is %.2f, want %.2f to %.2f", seed, c.claim, c.at, got, c.min, c.max)
			}
		}
	}
}

// TestIMMRestore: a saved state is restored completely, and nothing that happens
// in between changes it.
func TestIMMRestore(t *testing.T) {
	p := newPlant(1, Noise{MeasNS: 20, WhiteFM: 1, WalkFM: 0.1})
	for range 300 {
		p.second()
	}
	var s IMM
	p.b.Save(&s)
	want := p.b.Estimate()
	for range 2 {
		for range 50 {
			p.second()
		}
		p.b.Update(1e6)
		p.b.Restore(&s)
		if got := p.b.Estimate(); got != want || p.b.Count() != s.Count() {
			t.Errorf("restored %+v, saved %+v", got, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { p.b.Save(&s); p.b.Restore(&s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPI(t *testing.T) {
	t.Parallel()
	p := NewPI(-100, 500e3)
	x, y := 20e3, 7000.0
	for i := range 200 {
		x += p.Sample(x, int64(i)*1e9) + y
	}
	if math.Abs(x) > 1 || math.Abs(p.Freq()+y) > 1 {
		t.Errorf("offset %.1f ns, correction %.1f ppb after 200 s", x, p.Freq())
	}
	f := p.Freq()
	for _, bad := range []float64{math.NaN(), math.Inf(1), -1e300} {
		if p.Sample(bad, 1e12) != f {
			t.Errorf("an offset of %v was used", bad)
		}
	}
}

func BenchmarkIMM(b *testing.B) {
	p := newPlant(1, Noise{50, 1, 1})
	for b.Loop() {
		p.second()
	}
}

// TestIMMAllocatesNothing: a second costs no allocation.
func TestIMMAllocatesNothing(t *testing.T) {
	p := newPlant(1, Noise{50, 1, 1})
	f := &PredictionError{}
	if n := testing.AllocsPerRun(100, func() { p.second(); f.Observe(p.n, p.b.Estimate(), p.total); f.Factor(100) }); n != 0 {
		t.Errorf("%v allocations a second", n)
	}
}
