package clock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Before is the model of the clock as an earlier run of the program knew it. The zero
// value knows nothing.
type Before struct {
	Mono       int64         // CLOCK_MONOTONIC_RAW (ns) at which it holds
	Clock      tai.Time      // at Mono
	RatePPB    float64       // against CLOCK_MONOTONIC_RAW
	FreqPPB    float64       // correction in force
	Err        time.Duration // bound of Clock's error
	Generation uint32
}

// beforeFreq is by how much a correction that was requested may differ from the one
// that the device returns, ppb: a step of its frequency.
const beforeFreq = 100.0

// beforeRate is what the rate of a clock may have changed while no program ran, ppb:
// the oscillators on both sides wander with temperature.
const beforeRate = 200.0

// resume continues from what an earlier run knew, with the first reading x and the
// correction f in force, at an instant of CLOCK_MONOTONIC_RAW. If another program moved
// the clock meanwhile, it begins a new generation and returns by how much; else 0.
func (s *scales) resume(b *Before, x phc.Cross, f float64, now int64) (moved time.Duration) {
	dt := float64(x.Mono-b.Mono) * 1e-9
	if b.Mono == 0 || dt < 0 {
		return 0
	}
	s.generation = b.Generation
	v := float64(x.Clock.Sub(b.Clock)) - float64(x.Mono-b.Mono)*(1+b.RatePPB*1e-9)
	unsure := float64(b.Err) + float64(x.Width)/2 + 100
	if math.Abs(v) > unsure+beforeRate*dt {
		s.breakAt(now)
		return time.Duration(v)
	}
	if math.Abs(f-b.FreqPPB) > beforeFreq {
		return 0 // another program changed it, and with it the rate
	}
	s.model.resume(v, float64(b.Err)+beforeRate*dt, b.RatePPB-f, (math.Abs(v)+unsure)/dt+beforeRate)
	return 0
}
