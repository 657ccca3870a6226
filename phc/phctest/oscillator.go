// Package phctest simulates an oscillator and the PTP hardware clock it drives.
// Everything is a function of a seed and of true time, so a run can be repeated
// exactly, whenever the clock is read.
package phctest

import (
	"math"
	"math/rand/v2"
)

// Ramp is a change of the free frequency by PPB that begins at At and takes Over
// seconds (0 = at once): the effect of a temperature change or a jump of the
// crystal.
type Ramp struct {
	At, Over float64 // s
	PPB      float64
}

// Noise describes a free oscillator. All frequencies are ppb, + = runs fast.
type Noise struct {
	OffsetPPB  float64 // frequency error at the start
	WhitePPB   float64 // white FM: Allan deviation at 1 s
	FlickerPPB float64 // flicker FM: floor of the Allan deviation
	WalkPPB    float64 // random-walk FM, ppb per root second
	AgeingPPB  float64 // drift, ppb per day
	SwingPPB   float64 // amplitude of a sine with period SwingS: day and night
	SwingS     float64 // its period, s
	Ramps      []Ramp
}

// grid is the step of the oscillator's noise in seconds; in between, the phase
// is interpolated. It is finer than the second in which a servo acts.
const grid = 0.25

// history is the number of steps for which the phase is kept: 1024 s. A stamp
// arrives at most a second after its edge.
const history = 4096

// flickerPoles is the number of first-order processes, spread over seven decades,
// whose sum has a 1/f spectrum within 1 dB from 2 s to a year.
const flickerPoles = 9

// Oscillator is a seeded free-running oscillator. It is for one goroutine.
type Oscillator struct {
	noise Noise
	rng   *rand.Rand
	step  float64 // s
	next  func(k int) float64
	phase [history]float64 // ns at k*step, k modulo history
	k     int              // newest index in phase
	walk  float64
	poles [flickerPoles]float64
}

// NewOscillator returns an oscillator with the given noise. The same seed gives
// the same oscillator.
func NewOscillator(seed uint64, n Noise) *Oscillator {
	o := &Oscillator{noise: n, rng: rand.New(rand.NewPCG(seed, 0x6f7363)), step: grid}
	for i := range o.poles { // start in the steady state
		o.poles[i] = o.rng.NormFloat64()
	}
	o.next = o.noisy
	return o
}

// Series returns an oscillator that replays a recorded one: ppb[k] is its mean
// frequency error from second k to second k+1. After the end it keeps the last
// value.
func Series(ppb []float64) *Oscillator {
	o := &Oscillator{step: 1}
	o.next = func(k int) float64 {
		if len(ppb) == 0 {
			return 0
		}
		return ppb[min(k, len(ppb)-1)]
	}
	return o
}

// Phase returns the error of the free oscillator t seconds after its start, in ns,
// + = fast. It is 0 at the start and before. It is not a number for a t of more than
// 1000 s before the latest one.
func (o *Oscillator) Phase(t float64) float64 {
	if !(t > 0) {
		return 0
	}
	x := t / o.step
	k := int(x)
	for o.k < k+1 {
		y := o.next(o.k)
		o.phase[(o.k+1)%history] = o.phase[o.k%history] + y*o.step
		o.k++
	}
	if k <= o.k-history {
		return math.NaN() // not kept any more
	}
	a, b := o.phase[k%history], o.phase[(k+1)%history]
	return a + (b-a)*(x-float64(k))
}

// FreqPPB returns the free frequency error around t, averaged over the grid.
func (o *Oscillator) FreqPPB(t float64) float64 {
	return (o.Phase(t+o.step) - o.Phase(t)) / o.step
}

// noisy draws the mean frequency of step k.
func (o *Oscillator) noisy(k int) float64 {
	n := &o.noise
	t := (float64(k) + 0.5) * o.step
	y := n.OffsetPPB + n.AgeingPPB*t/86400
	if n.SwingS > 0 {
		y += n.SwingPPB * math.Sin(2*math.Pi*t/n.SwingS)
	}
	for _, r := range n.Ramps {
		switch {
		case t >= r.At+r.Over:
			y += r.PPB
		case t > r.At:
			y += r.PPB * (t - r.At) / r.Over
		}
	}
	// All numbers are drawn even if they are not needed, so that two oscillators with
	// the same seed differ only in the scale of their noise.
	y += n.WhitePPB / math.Sqrt(o.step) * o.rng.NormFloat64()
	o.walk += n.WalkPPB * math.Sqrt(o.step) * o.rng.NormFloat64()
	y += o.walk
	var f float64
	tau := 2.0
	for i := range o.poles {
		a := math.Exp(-o.step / tau)
		o.poles[i] = a*o.poles[i] + math.Sqrt(1-a*a)*o.rng.NormFloat64()
		f += o.poles[i]
		tau *= 6
	}
	// With poles a factor of 6 apart the Allan deviation of the sum lies
	// between 0.83 and 0.85 of one pole's sigma over the covered range.
	return y + n.FlickerPPB/0.84*f
}
