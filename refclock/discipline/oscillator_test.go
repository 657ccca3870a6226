package discipline

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// oven is a clock whose crystal follows the temperature of the board, disciplined
// once a second.
type oven struct {
	c      *Controller
	r      *rand.Rand
	k      int     // s since the start
	x, y   float64 // ns; ppb without temperature
	walk   float64 // ppb per sqrt(s)
	wfm    float64 // ppb at 1 s
	white  float64 // ns
	perK   float64 // ppb
	lag    float64 // s, of the crystal behind the board
	age    float64 // ppb per day
	inside float64 // C, of the crystal
	board  func(k int) float64
	sensor func(k int, board float64) (float64, bool)
	out    func(k int) bool

	sq, n, worst float64
	outside      int
}

func newOven(seed uint64) *oven {
	o := &oven{c: New(Config{GivenSecond: true}), r: rand.New(rand.NewPCG(seed, 0x68656174)), x: 3000, y: 2300,
		walk: 0.005, wfm: 0.3, white: 20, perK: 12, lag: 100, inside: 40}
	o.board = func(int) float64 { return 40 }
	o.sensor = func(_ int, b float64) (float64, bool) { return math.Round(b*4)/4 + 0.02*o.r.NormFloat64(), true }
	o.out = func(int) bool { return false }
	return o
}

// run continues to second to and returns the rms error; it and the other figures
// are of this part.
func (o *oven) run(to int) (rms float64) {
	o.sq, o.n, o.worst, o.outside = 0, 0, 0, 0
	for ; o.k < to; o.k++ {
		mono := int64(1e12) + int64(o.k)*1e9
		nominal := tai.Time(1_790_000_000+int64(o.k)) * tai.Second
		board := o.board(o.k)
		o.inside += (board - o.inside) / o.lag
		if t, ok := o.sensor(o.k, board); ok {
			o.c.Temperature(t, mono)
		}
		if s := o.c.Status(); s.State == status.Locked || s.State == status.Holdover {
			o.n++
			o.sq += o.x * o.x
			o.worst = math.Max(o.worst, math.Abs(o.x))
			if math.Abs(o.x) > s.Bound+s.BoundRate {
				o.outside++
			}
		}
		var a Action
		if o.out(o.k) {
			a = o.c.Tick(mono, nominal+tai.Time(math.Round(o.x)))
		} else {
			a = o.c.Pulse(Pulse{Clock: nominal + tai.Time(math.Round(o.x+o.white*o.r.NormFloat64())), Mono: mono})
			if a.Step != 0 {
				o.x += float64(a.Step)
				o.c.Stepped(mono, a.Step)
				a.FreqPPB = o.c.Status().FreqPPB
			}
		}
		y := o.y + o.perK*(o.inside-40) + o.age*float64(o.k)/86400
		o.x += y + a.FreqPPB + o.wfm*o.r.NormFloat64()
		o.y += o.walk * o.r.NormFloat64()
	}
	return math.Sqrt(o.sq / o.n)
}

// A day of these tests has an hour. They learn for an hour and a half, and after
// two hours there are no pulses for twenty minutes.
const (
	learned = 5400
	alone   = 7200
	ended   = 8400
)

// days is a daily cycle of +-3 K.
func days(k int) float64 { return 40 + 3*math.Sin(2*math.Pi*float64(k)/3600) }

// cooling is days with a fall of 5 K within five minutes, without pulses.
func cooling(k int) float64 {
	return days(k) - 5*math.Max(0, math.Min(1, float64(k-alone-300)/300))
}

// TestTemperature: with a sensor the error is smaller while tracking, and much
// smaller in holdover, with the same crystal, noise and outage. A sensor of
// something else does no harm.
func TestTemperature(t *testing.T) {
	t.Parallel()
	type figures struct {
		track, hold float64
		outside     int
		ppb         float64
	}
	play := func(seed uint64, sensor func(o *oven) func(int, float64) (float64, bool)) figures {
		o := newOven(seed)
		o.board = cooling
		o.white = 300 // noisy pulses: the estimate depends on the crystal for long
		o.out = func(k int) bool { return k >= alone }
		if sensor != nil {
			o.sensor = sensor(o)
		}
		o.run(learned)
		f := figures{track: o.run(alone), outside: o.outside}
		f.ppb = o.c.Status().TempPPB
		o.run(ended)
		f.hold, f.outside = o.worst, f.outside+o.outside
		return f
	}
	none := func(*oven) func(int, float64) (float64, bool) {
		return func(int, float64) (float64, bool) { return 0, false }
	}
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	for seed := uint64(1); seed <= 2; seed++ {
		blind := play(seed, none)
		f := play(seed, nil)
		t.Logf("seed %d: without: rms %.1f ns, %.0f ns after twenty minutes without pulses; with: %.1f ns, %.0f ns, %.2f ppb/K", seed, blind.track, blind.hold, f.track, f.hold, f.ppb)
		if f.track > 0.8*blind.track || f.hold > 0.4*blind.hold {
			t.Errorf("seed %d: with a sensor rms %.1f ns and %.0f ns after the outage; without %.1f and %.0f", seed, f.track, f.hold, blind.track, blind.hold)
		}
		if math.Abs(f.ppb-12) > 1 {
			t.Errorf("seed %d: learned %.2f ppb/K, is 12", seed, f.ppb)
		}
		if f.outside > 10 {
			t.Errorf("seed %d: %d s outside the bound", seed, f.outside)
		}
		if seed > 1 {
			continue
		}
		walk := 40.0
		for _, c := range []struct {
			name   string
			sensor func(o *oven) func(int, float64) (float64, bool)
		}{
			{"constant", func(*oven) func(int, float64) (float64, bool) {
				return func(int, float64) (float64, bool) { return 41, true }
			}},
			{"noise", func(o *oven) func(int, float64) (float64, bool) {
				r := rand.New(rand.NewPCG(seed, 5))
				return func(int, float64) (float64, bool) { return 40 + 0.4*r.NormFloat64(), true }
			}},
			{"another place", func(o *oven) func(int, float64) (float64, bool) {
				r := rand.New(rand.NewPCG(seed, 6))
				return func(int, float64) (float64, bool) { walk += 0.02 * r.NormFloat64(); return walk, true }
			}},
			{"out of range", func(o *oven) func(int, float64) (float64, bool) {
				r := rand.New(rand.NewPCG(seed, 7))
				return func(int, float64) (float64, bool) {
					return []float64{math.NaN(), math.Inf(1), -300, 1e9, 200 * r.Float64()}[r.IntN(5)], true
				}
			}},
		} {
			f := play(seed, c.sensor)
			t.Logf("seed %d, %s: rms %.1f ns, %.0f ns, %.2f ppb/K", seed, c.name, f.track, f.hold, f.ppb)
			if f.track > 1.05*blind.track || f.hold > 1.1*blind.hold {
				t.Errorf("seed %d, %s: rms %.1f ns and %.0f ns after the outage; without %.1f and %.0f", seed, c.name, f.track, f.hold, blind.track, blind.hold)
			}
		}
	}
}

// TestTemperatureLags: compensation works whether the crystal follows the sensor
// at once or half an hour later.
func TestTemperatureLags(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	for _, lag := range []float64{1, 300, 1500} {
		run := func(read bool) float64 {
			o := newOven(3)
			o.board, o.lag = cooling, lag
			o.out = func(k int) bool { return k >= alone }
			if !read {
				o.sensor = func(int, float64) (float64, bool) { return 0, false }
			}
			o.run(ended)
			return o.worst
		}
		blind, f := run(false), run(true)
		t.Logf("lag %.0f s: %.0f ns without, %.0f ns with a sensor", lag, blind, f)
		if f > 0.35*blind {
			t.Errorf("lag %.0f s: %.0f ns after the outage, %.0f without a sensor", lag, f, blind)
		}
	}
}

// TestSensorFails: a sensor in use fails, five minutes into an hour without pulses
// and just before the temperature falls by 5 K. The bound contains the error.
func TestSensorFails(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	calm := func(k int) float64 { return 40 + 1.5*math.Sin(2*math.Pi*float64(k)/7200) + cooling(k) - days(k) }
	const seeds = 1 // ten were run
	for _, c := range []struct {
		name  string
		board func(k int) float64
		fails func(r *rand.Rand, k int, v float64) (float64, bool)
		want  Reason // counted; None = nothing
	}{
		{"missing", cooling, func(*rand.Rand, int, float64) (float64, bool) { return 0, false }, None},
		{"missing, temperature was steady before", calm, func(*rand.Rand, int, float64) (float64, bool) { return 0, false }, None},
		{"missing for forty minutes", cooling, func(_ *rand.Rand, k int, v float64) (float64, bool) { return v, k > alone+2500 }, None},
		{"stuck", cooling, func(*rand.Rand, int, float64) (float64, bool) { return 41.25, true }, SensorStuck},
		{"stuck, temperature was steady before", calm, func(*rand.Rand, int, float64) (float64, bool) { return 40.25, true }, SensorStuck},
		{"stuck for forty minutes", cooling, func(_ *rand.Rand, k int, v float64) (float64, bool) {
			if k > alone+2500 {
				return v, true
			}
			return 41.25, true
		}, SensorStuck},
		{"out of range", cooling, func(*rand.Rand, int, float64) (float64, bool) { return -273, true }, SensorRange},
		{"random", cooling, func(r *rand.Rand, _ int, _ float64) (float64, bool) { return 80 * r.Float64(), true }, SensorJump},
		{"random half of the time", cooling, func(r *rand.Rand, _ int, v float64) (float64, bool) {
			if r.IntN(2) == 0 {
				return 80 * r.Float64(), true
			}
			return v, true
		}, SensorJump},
		{"jumps", cooling, func(_ *rand.Rand, k int, v float64) (float64, bool) { return v + 30*float64(k/300%2), true }, SensorJump},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= seeds; seed++ {
				o := newOven(seed)
				o.board = c.board
				good, r := o.sensor, rand.New(rand.NewPCG(seed, 8))
				o.sensor = func(k int, b float64) (float64, bool) {
					v, ok := good(k, b)
					if k < alone+290 {
						return v, ok
					}
					return c.fails(r, k, v)
				}
				o.out = func(k int) bool { return k >= alone }
				o.run(alone)
				if o.c.Status().TempPPB == 0 {
					t.Fatalf("seed %d: the sensor was not used", seed)
				}
				o.run(alone + 3600)
				s := o.c.Status()
				t.Logf("seed %d: at worst %.0f ns, in the end %.0f ns within %.0f; %d s outside", seed, o.worst, o.x, s.Bound, o.outside)
				if o.outside > 3 {
					t.Errorf("seed %d: %d of 3600 s outside the bound", seed, o.outside)
				}
				if c.want != None && s.Counts[c.want] == 0 {
					t.Errorf("seed %d: %v was not counted", seed, c.want)
				}
			}
		})
	}
}

// TestLearnedCompensation: a run uses what an earlier one learned of temperature,
// ageing and prediction errors, and ignores values out of range.
func TestLearnedCompensation(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	o := newOven(5)
	o.board = days
	o.run(alone)
	l := o.c.Export()
	if math.Abs(l.TempPPB-12) > 1 || l.TempSigma <= 0 || l.Predictions[2].N == 0 {
		t.Fatalf("learned %+v", l)
	}
	hold := func(l Learned) float64 {
		o := newOven(6)
		o.board = func(k int) float64 { return days(k + 900) }
		o.out = func(k int) bool { return k >= 300 }
		o.c.Import(l)
		o.run(1500)
		return o.worst
	}
	with, without := hold(l), hold(Learned{})
	t.Logf("twenty minutes of holdover five minutes after the start: %.0f ns, %.0f with what was learned", without, with)
	if with > 0.4*without {
		t.Errorf("%.0f ns with what was learned, %.0f without", with, without)
	}
	for _, bad := range []func(*Learned){
		func(l *Learned) { l.TempPPB = math.NaN() },
		func(l *Learned) { l.TempPPB = 1e12 },
		func(l *Learned) { l.AgeingPPB, l.AgeingSigma = -1e9, 1 },
		func(l *Learned) { l.TempSigma = -1 },
		func(l *Learned) { l.Predictions[0].Ratio = math.Inf(1); l.Predictions[0].N = 5 },
	} {
		x := l
		bad(&x)
		c := New(Config{})
		c.Import(x)
		if n := c.est.osc.comp.Export(); math.Abs(n.Temp.Value) > 1e6 || math.Abs(n.Age.Value) > 1e6 || n.Temp.Value != 0 && !(n.Temp.Sigma > 0) || math.IsInf(c.est.prediction.Factor(4), 0) {
			t.Errorf("imported %+v", n)
		}
	}
}

// TestLearnedAgeing: in six hours of holdover, the ageing that an earlier run
// learned makes the error smaller.
func TestLearnedAgeing(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	hold := func(l Learned) (float64, int) {
		o := newOven(7)
		o.walk, o.wfm, o.age, o.white = 0.0005, 0.05, 16, 5
		o.sensor = func(int, float64) (float64, bool) { return 0, false }
		o.c = New(Config{GivenSecond: true, Limit: time.Millisecond})
		o.c.Import(l)
		o.out = func(k int) bool { return k >= 1800 }
		o.run(1800 + 21600)
		return o.worst, o.outside
	}
	l := Learned{OK: true, FreqPPB: -2300, SigmaPPB: 1, NoiseNS: 5, WhiteFM: 0.05, WalkFM: 0.0005}
	without, _ := hold(l)
	l.AgeingPPB, l.AgeingSigma = 16.8, 1.6
	with, outside := hold(l)
	t.Logf("six hours of holdover at 16 ppb/day: %.0f ns without, %.0f ns with the ageing known to 5 %%", without, with)
	if with > 0.4*without || outside > 0 {
		t.Errorf("%.0f ns with the ageing known, %.0f without; %d s outside the bound", with, without, outside)
	}
}
