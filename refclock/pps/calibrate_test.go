package pps

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Simulated pairs of a known bias, on a clock of another rate than the system's,
// with faults.
func TestCalibrationFindsTheBias(t *testing.T) {
	t.Parallel()
	const us = time.Microsecond
	for _, c := range []struct {
		name   string
		n      int
		late   func(k int, r *rand.Rand) time.Duration // of the kernel's stamp
		skip   func(k int) (kernel, card bool)
		width  time.Duration
		step   int // CLOCK_REALTIME is stepped by 3 s before this pulse
		want   time.Duration
		within time.Duration
		err    error
	}{
		{name: "too few", n: 12, late: func(int, *rand.Rand) time.Duration { return 12 * us }, err: ErrFewPairs},
		{name: "the card stamps nothing", n: 60, late: func(int, *rand.Rand) time.Duration { return 12 * us }, skip: func(int) (bool, bool) { return false, true }, err: ErrFewPairs},
		{name: "the other edge", n: 60, late: func(int, *rand.Rand) time.Duration { return 100 * time.Millisecond }, err: ErrUncertain},
		{name: "random stamps", n: 60, late: func(_ int, r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(90 * us))) }, err: ErrUncertain},
		{name: "a change half-way", n: 60, late: func(k int, _ *rand.Rand) time.Duration { return 6*us + time.Duration(k/30)*6*us }, err: ErrUncertain},
		{name: "a card behind a slow bus", n: 60, late: func(int, *rand.Rand) time.Duration { return 12 * us }, width: 110 * us, err: ErrUncertain},
		{name: "a Pi 5", n: 120, late: func(_ int, r *rand.Rand) time.Duration {
			return 11700 + time.Duration(r.NormFloat64()*500) + time.Duration(max(0, r.NormFloat64()-2)*8000)
		}, width: 600, want: 11700, within: 150},
		{name: "early stamps", n: 60, late: func(_ int, r *rand.Rand) time.Duration { return -800 + time.Duration(r.NormFloat64()*50) }, want: -800, within: 30},
		{name: "some missing on either side", n: 90, late: func(_ int, r *rand.Rand) time.Duration { return 5000 + time.Duration(r.NormFloat64()*200) },
			skip: func(k int) (bool, bool) { return k%3 == 1, k%5 == 2 }, want: 5000, within: 120},
		{name: "the system clock is stepped", n: 90, late: func(_ int, r *rand.Rand) time.Duration { return 5000 + time.Duration(r.NormFloat64()*200) }, step: 40, want: 5000, within: 120},
	} {
		const seed = 7
		r := rand.New(rand.NewPCG(seed, 1))
		var cal Calibration
		clock := func(ns int64) tai.Time { return tai.Time(ns + 37e9 + 12345 + ns/20000) } // 50 ppm fast
		shift := int64(0)
		for k := range c.n {
			if c.step != 0 && k == c.step {
				shift = 3e9
			}
			at := int64(k+1) * 1e9
			for j := range int64(4) {
				m := at - 400e6 + j*250e6
				off := int64(0)
				if c.width > 0 {
					off = r.Int64N(int64(c.width)) - int64(c.width)/2
				}
				cal.Cross(phc.Cross{Clock: clock(m + off), Real: m + shift, Mono: m, Width: c.width})
			}
			noKernel, noCard := false, false
			if c.skip != nil {
				noKernel, noCard = c.skip(k)
			}
			if !noKernel {
				cal.Kernel(at + shift + int64(c.late(k, r)))
			}
			if !noCard {
				cal.Card(clock(at))
			}
		}
		b, err := cal.Bias()
		if !errors.Is(err, c.err) {
			t.Errorf("%s (seed %d): %v, want %v; %+v", c.name, seed, err, c.err, b)
		}
		if c.err != nil {
			continue
		}
		if d := b.Median - c.want; d.Abs() > c.within || b.Low > c.want+c.within/2 || b.High < c.want-c.within/2 || b.Low > b.Median || b.High < b.Median {
			t.Errorf("%s (seed %d): %+v, want %v", c.name, seed, b, c.want)
		}
	}
}

// Of many calibrations, the 95 % interval of about 95 in 100 contains the
// truth, for jitter with a long tail as for the normal one.
func TestCalibrationIntervalIsHonest(t *testing.T) {
	t.Parallel()
	const runs, pulses, bias = 400, 60, 11700
	for _, c := range []struct {
		name string
		late func(r *rand.Rand) float64 // ns, its median is 0
	}{
		{"normal", func(r *rand.Rand) float64 { return 500 * r.NormFloat64() }},
		{"long tail", func(r *rand.Rand) float64 { return 300 * r.NormFloat64() / max(r.Float64(), 0.02) }},
	} {
		held, good := 0, 0
		for seed := range uint64(runs) {
			r := rand.New(rand.NewPCG(seed, 5))
			var cal Calibration
			for k := range int64(pulses) {
				at := (k + 1) * 1e9
				for j := range int64(3) {
					m := at - 400e6 + j*400e6
					cal.Cross(phc.Cross{Clock: tai.Time(m + 37e9), Real: m, Mono: m, Width: 100})
				}
				cal.Kernel(at + bias + int64(c.late(r)))
				cal.Card(tai.Time(at + 37e9))
			}
			b, err := cal.Bias()
			if b.Low <= bias && bias <= b.High {
				held++
			}
			if err == nil {
				good++
			}
		}
		if part := float64(held) / runs; part < 0.93 || good < runs*9/10 {
			t.Errorf("%s: the interval contains the truth in %.1f %% of %d calibrations, %d are good", c.name, 100*part, runs, good)
		}
	}
}
