package clock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Soft is a clock that is computed from CLOCK_MONOTONIC_RAW. With it a receiver
// and its pulses can be watched without touching a clock of the machine. It is
// for one goroutine.
type Soft struct {
	read func() (phc.Cross, error) // of which Real, Mono and Width are used
	mono int64
	at   tai.Time
	frac float64
	ppb  float64
}

// NewSoft returns a clock that starts at the system clock's reading.
func NewSoft(read func() (phc.Cross, error)) *Soft { return &Soft{read: read} }

// Cross reads the clocks.
func (c *Soft) Cross() (phc.Cross, error) {
	x, err := c.read()
	if err != nil {
		return x, err
	}
	if c.mono == 0 {
		c.mono, c.at = x.Mono, x.Clock
	}
	d := x.Mono - c.mono
	f := c.frac + float64(d)*c.ppb*1e-9
	w := math.Floor(f)
	c.mono, c.at, c.frac = x.Mono, c.at+tai.Time(d)+tai.Time(w), f-w
	x.Clock = c.at
	return x, nil
}

// Step adds delta to the clock.
func (c *Soft) Step(delta time.Duration) error {
	c.at = c.at.Add(delta)
	return nil
}

// AdjFreq sets the correction in ppb, + = faster.
func (c *Soft) AdjFreq(ppb float64) error {
	if _, err := c.Cross(); err != nil {
		return err
	}
	c.ppb = ppb
	return nil
}

// FreqPPB returns the correction in force.
func (c *Soft) FreqPPB() (float64, error) { return c.ppb, nil }

// MaxFreq returns 500 000 ppb, as much as any crystal needs.
func (c *Soft) MaxFreq() float64 { return 500e3 }
