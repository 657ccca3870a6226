package refclock

import "math"

// Coarse makes an opener of clocks whose frequency has steps of so many ppb,
// though they do not say so: the kernel answers with what was asked for, not
// with what the driver made of it. Knowing the steps, the engine makes up for
// them. 0 changes nothing.
//
// A driver's step is 1e9 over the increment it writes to its card: e1000e's is
// 125<<14, 125<<17, 40<<18 or 26<<19 at 24, 96, 25 and 38.4 MHz (488.281, 61.035,
// 95.367 and 73.359 ppb; drivers/net/ethernet/intel/e1000e/e1000.h), macb's is its
// period in ns << 24 (2.98 ppb at 50 MHz; drivers/net/ethernet/cadence/macb_ptp.c).
func Coarse(open func() (Clock, error), stepPPB float64) func() (Clock, error) {
	if stepPPB <= 0 {
		return open
	}
	return func() (Clock, error) {
		c, err := open()
		if err != nil {
			return nil, err
		}
		return &coarse{Clock: c, step: stepPPB}, nil
	}
}

type coarse struct {
	Clock
	step float64
}

// AdjFreq asks for the nearest step. A quarter of one more lets drivers that
// round and those that cut off arrive at the same.
func (c *coarse) AdjFreq(ppb float64) error {
	k := math.Round(math.Max(-c.MaxFreq(), math.Min(c.MaxFreq(), ppb)) / c.step)
	if math.Abs(k+0.25)*c.step > c.MaxFreq() {
		k -= math.Copysign(1, k)
	}
	if k != 0 {
		k += math.Copysign(0.25, k)
	}
	return c.Clock.AdjFreq(k * c.step)
}

// FreqPPB returns what the driver made of what was asked.
func (c *coarse) FreqPPB() (float64, error) {
	f, err := c.Clock.FreqPPB()
	return math.Trunc(f/c.step) * c.step, err
}

// Index returns N of /dev/ptpN, or -1.
func (c *coarse) Index() int {
	if i, ok := c.Clock.(interface{ Index() int }); ok {
		return i.Index()
	}
	return -1
}

// Close closes the clock.
func (c *coarse) Close() error {
	closeClock(c.Clock)
	return nil
}
