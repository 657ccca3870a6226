package refclock

import (
	"math"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// SoftClock is a clock that exists only as arithmetic over
// CLOCK_MONOTONIC_RAW: with it a receiver and its pulses can be watched without
// touching a clock of the machine. It is for one goroutine.
type SoftClock struct {
	read func() (phc.Cross, error) // of which Real, Mono and Width are used
	mono int64
	at   tai.Time
	frac float64
	ppb  float64
}

// NewSoftClock returns a clock that starts as the system clock shows.
func NewSoftClock(read func() (phc.Cross, error)) *SoftClock { return &SoftClock{read: read} }

// Cross reads the clocks.
func (c *SoftClock) Cross() (phc.Cross, error) {
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
func (c *SoftClock) Step(delta time.Duration) error {
	c.at = c.at.Add(delta)
	return nil
}

// AdjFreq sets the correction in ppb, + = faster.
func (c *SoftClock) AdjFreq(ppb float64) error {
	if _, err := c.Cross(); err != nil {
		return err
	}
	c.ppb = ppb
	return nil
}

// FreqPPB returns the correction in force.
func (c *SoftClock) FreqPPB() (float64, error) { return c.ppb, nil }

// MaxFreq returns 500 000 ppb, as much as any crystal needs.
func (c *SoftClock) MaxFreq() float64 { return 500e3 }
