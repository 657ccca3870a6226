package servo

import (
	"math"

	fb "github.com/facebook/time/servo"
)

// PI is the proportional-integral servo of facebook/time, the baseline. It
// knows nothing of noise; gate, second and steps are its owner's.
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
	c.FirstStepThreshold = 0 // steps are not its business
	p.s = fb.NewPiServo(c, fb.DefaultPiServoCfg(), -freq)
	p.s.SetMaxFreq(p.max)
	p.s.SyncInterval(1)
	p.freq = freq
}

// Sample takes an offset at t ns of any steady clock and returns the new
// correction in ppb.
func (p *PI) Sample(offset float64, t int64) float64 {
	if math.IsNaN(offset) || math.Abs(offset) > 1e15 || t < 0 {
		return p.freq
	}
	f, _ := p.s.Sample(int64(math.Round(offset)), uint64(t))
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		p.freq = -f // theirs is the clock's error, ours its correction
	}
	return p.freq
}

// Freq returns the correction in force, ppb.
func (p *PI) Freq() float64 { return p.freq }
