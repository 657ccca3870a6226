package simulate

import (
	"fmt"
	"math"
	"sort"
)

// benchScenario is one closed-loop test of a servo: an oscillator, pulses once a
// second, a change of frequency, and two outages. Units: ns, ppb, s.
//
//	x[k+1] = x[k] + y[k] + freq + step      y[k] = w[k] + white FM
//	w[k+1] = w[k] + random walk             measured[k] = x[k] + noise
type benchScenario struct {
	name                string
	y0, wfm, walk       float64 // ppb, ppb at 1 s, ppb per sqrt(s)
	white               float64 // ns, of a measurement
	spikeP, spikeMean   float64 // late spikes, exponential,
	spikeMax            float64 // and their cut
	falseP, falseNS     float64 // a false edge in place of the true one, anywhere within +-
	dropP               float64
	rampPPB             float64 // from benchRamp on, over benchOver
	start               float64 // ns, the clock's offset at the start
	at, over, dur       int     // ramp and duration, s
	steadyFrom, steadyT int
	outages             [2][2]int // start and length
}

// benchScenarios returns two oscillators with three kinds of pulses each, and one
// scenario with false edges.
func benchScenarios() []benchScenario {
	tcxo := benchScenario{y0: 10000, wfm: 1, walk: 1, rampPPB: 100, start: 250e3, at: 10800, over: 60, dur: 25200,
		steadyFrom: 3600, steadyT: 10800, outages: [2][2]int{{14400, 600}, {18000, 3600}}}
	ocxo := tcxo
	ocxo.y0, ocxo.wfm, ocxo.walk, ocxo.rampPPB = 100, 0.03, 0.01, 2
	var out []benchScenario
	for i, osc := range [...]benchScenario{tcxo, ocxo} {
		name := [...]string{"tcxo", "ocxo"}[i]
		for _, white := range [...]float64{5, 50, 500} {
			s := osc
			s.name, s.white = fmt.Sprintf("%s-%.0f", name, white), white
			if white == 500 {
				s.name += "s"
				s.spikeP, s.spikeMean, s.spikeMax = 0.01, 10e3, 20e3
			}
			out = append(out, s)
		}
	}
	s := tcxo
	s.name, s.white, s.falseP, s.falseNS, s.dropP = "tcxo-50emi", 50, 0.0017, 50e6, 0.01
	return append(out, s)
}

// benchRand is splitmix64 with the Box-Muller transform: the same numbers on every
// machine and with every release of Go, so that old figures stay comparable.
type benchRand struct {
	s     uint64
	spare float64
	have  bool
}

func mix64(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// newBenchRand mixes the seed first: states that differ by a multiple of the
// increment give the same sequence, shifted.
func newBenchRand(seed, stream uint64) *benchRand {
	return &benchRand{s: mix64(mix64(seed+0x632BE59BD9B4E019) ^ stream*0xD1B54A32D192ED03)}
}

// uniform is within 0 and 1, both excluded.
func (r *benchRand) uniform() float64 {
	r.s += 0x9E3779B97F4A7C15
	return (float64(mix64(r.s)>>11) + 0.5) / (1 << 53)
}

func (r *benchRand) normal() float64 {
	if r.have {
		r.have = false
		return r.spare
	}
	a, b := r.uniform(), r.uniform()
	m := math.Sqrt(-2 * math.Log(a))
	r.spare, r.have = m*math.Sin(2*math.Pi*b), true
	return m * math.Cos(2*math.Pi*b)
}

// benchSeries is the noise of a scenario for one seed.
type benchSeries struct {
	y, noise  []float64 // ppb in the second after k; ns at k
	ok, spike []bool
}

func (s *benchScenario) series(seed uint64) benchSeries {
	v := benchSeries{make([]float64, s.dur), make([]float64, s.dur), make([]bool, s.dur), make([]bool, s.dur)}
	osc, meas, spikes, edges := newBenchRand(seed, 1), newBenchRand(seed, 2), newBenchRand(seed, 3), newBenchRand(seed, 4)
	w := s.y0
	for k := range s.dur {
		if k >= s.at && k < s.at+s.over {
			w += s.rampPPB / float64(s.over)
		}
		v.y[k] = w + s.wfm*osc.normal()
		w += s.walk * osc.normal()
		v.noise[k] = s.white * meas.normal()
		// Drawn whether needed or not, so that the scenarios of one seed have the
		// same noise.
		u, e := spikes.uniform(), -math.Log(spikes.uniform())
		if u < s.spikeP {
			v.spike[k] = true
			v.noise[k] += math.Min(s.spikeMean*e, s.spikeMax)
		}
		f, at, d := edges.uniform(), 2*edges.uniform()-1, edges.uniform()
		if k > 60 && f < s.falseP {
			v.spike[k], v.noise[k] = true, s.falseNS*at
		}
		v.ok[k] = d >= s.dropP
	}
	for _, o := range s.outages {
		for k := o[0]; k < o[0]+o[1]; k++ {
			v.ok[k] = false
		}
	}
	return v
}

// benchServo is given one second (offset in ns, NaN without an edge) and returns
// the correction until the next.
type benchServo interface {
	next(t, offset float64) (freqPPB, stepNS float64)
}

// play closes the loop and returns the true offset at each second, before its
// correction. observe, if set, is called with each after the correction.
func (s *benchScenario) play(v benchSeries, servo benchServo, observe func(x float64)) []float64 {
	xs := make([]float64, s.dur)
	x := s.start
	for k := range xs {
		xs[k] = x
		// As through the lock-step interface, which has three decimals.
		z := math.Round((x+v.noise[k])*1e3) / 1e3
		if !v.ok[k] {
			z = math.NaN()
		}
		freq, step := servo.next(float64(k), z)
		x += freq + step + v.y[k]
		if observe != nil {
			observe(xs[k])
		}
	}
	return xs
}

// optimal is the limit of theory: a Kalman filter with minimum-variance phase
// control that knows the noise, which pulses are spikes, and when the ramp is.
type optimal struct {
	s             *benchScenario
	v             *benchSeries
	x, y          float64 // phase in ns, frequency in ppb
	p11, p12, p22 float64 // their covariance
}

func newOptimal(s *benchScenario, v *benchSeries) *optimal {
	return &optimal{s: s, v: v, p11: 1e14, p22: 1e10}
}

func (f *optimal) next(t, z float64) (freq, step float64) {
	s, k := f.s, int(t)
	if !math.IsNaN(z) && !f.v.spike[k] {
		v := f.p11 + s.white*s.white
		k1, k2, e := f.p11/v, f.p12/v, z-f.x
		f.x += k1 * e
		f.y += k2 * e
		f.p11, f.p12, f.p22 = f.p11-k1*f.p11, f.p12-k1*f.p12, f.p22-k2*f.p12
	}
	freq = -f.y - f.x
	if math.Abs(f.x) > 20000 {
		step, freq = -f.x, -f.y
	}
	f.x += step + freq + f.y
	q := s.walk * s.walk
	if k+1 >= s.at && k < s.at+s.over {
		d := s.rampPPB / float64(s.over)
		q += 9 * d * d
	}
	f.p11, f.p12, f.p22 = f.p11+2*f.p12+f.p22+s.wfm*s.wfm, f.p12+f.p22, f.p22+q
	return freq, step
}

// benchColumns name the measures, in the order of the table.
var benchColumns = [...]string{"rms", "p99", "max", "jit1s", "start_1us", "start_100ns", "fstep_peak", "fstep_1us", "fstep_100ns", "hold600", "hold3600", "rec_1us", "rec_100ns"}

type benchMeasures [len(benchColumns)]float64

// measure makes the figures of one run: rms, 99th percentile, maximum and rms of
// the differences from second to second (ns) in the steady part; seconds from
// the start, the end of the ramp and the end of the long outage until the offset
// stays within 1 us or 100 ns for a minute; the largest offset within half an
// hour of the ramp; the offset after 600 and 3600 s without pulses.
func (s *benchScenario) measure(xs []float64) benchMeasures {
	var sq, dq float64
	abs := make([]float64, 0, s.steadyT-s.steadyFrom)
	for k := s.steadyFrom; k < s.steadyT; k++ {
		d := xs[k] - xs[k-1]
		sq, dq = sq+xs[k]*xs[k], dq+d*d
		abs = append(abs, math.Abs(xs[k]))
	}
	n := float64(len(abs))
	sort.Float64s(abs)
	peak := 0.0
	for k := s.at; k < s.at+1800; k++ {
		peak = math.Max(peak, math.Abs(xs[k]))
	}
	settle := func(from, to int, within float64) float64 {
		run := 0
		for k := from; k < to; k++ {
			if run++; math.Abs(xs[k]) > within {
				run = 0
			}
			if run == 60 {
				return float64(k - 59 - from)
			}
		}
		return math.Inf(1)
	}
	ramped := s.at + s.over
	short, long := s.outages[0], s.outages[1]
	back := long[0] + long[1]
	return benchMeasures{
		math.Sqrt(sq / n), abs[int(0.99*n)], abs[len(abs)-1], math.Sqrt(dq / n),
		settle(0, s.steadyFrom, 1000), settle(0, s.steadyFrom, 100),
		peak, settle(ramped, s.at+3600, 1000), settle(ramped, s.at+3600, 100),
		math.Abs(xs[short[0]+600]), math.Abs(xs[long[0]+3600]),
		settle(back, back+3000, 1000), settle(back, back+3000, 100),
	}
}
