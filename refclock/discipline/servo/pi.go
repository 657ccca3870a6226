package servo

import (
	"math"

	fb "github.com/facebook/time/servo"
)

// PI is the proportional-integral servo of facebook/time, as the baseline. It has
// no model of noise; gate, second and steps are up to its owner.
type PI struct {
	s    *fb.PiServo
	freq float64
	max  float64
}

// NewPI returns a PI servo that starts from a correction of freq ppb and keeps
// within +-max ppb.
func NewPI(freq, max float64) *PI {
	p := &PI{max: max}
	p.Reset(freq)
	return p
}

// Reset starts again from a correction of freq ppb.
func (p *PI) Reset(freq float64) {
	c := fb.DefaultServoConfig()
	c.FirstStepThreshold = 0 // it makes no steps
	p.s = fb.NewPiServo(c, fb.DefaultPiServoCfg(), -freq)
	p.s.SetMaxFreq(p.max)
	p.s.SyncInterval(1)
	p.freq = freq
}

// Sample takes an offset in ns at t ns of any monotonic clock and returns the new
// correction in ppb. Values out of range change nothing.
func (p *PI) Sample(offset float64, t int64) float64 {
	if math.IsNaN(offset) || math.Abs(offset) > 1e15 || t < 0 {
		return p.freq
	}
	f, _ := p.s.Sample(int64(math.Round(offset)), uint64(t))
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		p.freq = -f // PiServo returns the clock's error, not its correction
	}
	return p.freq
}

// Freq returns the correction in force, ppb.
func (p *PI) Freq() float64 { return p.freq }
