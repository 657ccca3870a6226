package pps

import (
	"errors"

	"noonmark/phc"
)

// Card is external timestamps with a descriptor of the clock of their own: who reads the clock
// meanwhile does not wait for a stamp.
type Card struct {
	*ExtTS
	clock *phc.Device
}

// OpenCard opens a clock, an interface or /dev/ptpN, and enables its external timestamps.
func OpenCard(clock string, opt ExtTSOptions) (*Card, error) {
	d, err := phc.Open(clock)
	if err != nil {
		return nil, err
	}
	x, err := NewExtTS(d, opt)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &Card{x, d}, nil
}

// Cross reads the clock that makes the stamps.
func (c *Card) Cross() (phc.Cross, error) { return c.clock.Cross() }

// Close ends the stamping, then closes the clock.
func (c *Card) Close() error { return errors.Join(c.ExtTS.Close(), c.clock.Close()) }
