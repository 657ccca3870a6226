package clock

import "math"

// WithFreqStep wraps an opener of clocks whose frequency has steps of stepPPB
// that the driver does not report: the kernel answers with the correction that
// was requested, not with the one the driver set. Steered dithers the
// difference once it is known. 0 changes nothing.
//
// A driver's step is 1e9 over the increment it writes to its card: e1000e's is
// 125<<14, 125<<17, 40<<18 or 26<<19 at 24, 96, 25 and 38.4 MHz (488.281, 61.035,
// 95.367 and 73.359 ppb; drivers/net/ethernet/intel/e1000e/e1000.h), macb's is its
// period in ns << 24 (2.98 ppb at 50 MHz; drivers/net/ethernet/cadence/macb_ptp.c).
func WithFreqStep(open Opener, stepPPB float64) Opener {
	if stepPPB <= 0 {
		return open
	}
	return func() (Device, error) {
		d, err := open()
		if err != nil {
			return nil, err
		}
		return &stepped{Device: d, step: stepPPB}, nil
	}
}

// stepped is a clock whose frequency has steps of a known size, ppb.
type stepped struct {
	Device
	step float64
}

// AdjFreq requests the nearest step. A quarter of a step more makes drivers that
// round and drivers that truncate set the same value.
func (s *stepped) AdjFreq(ppb float64) error {
	k := math.Round(math.Max(-s.MaxFreq(), math.Min(s.MaxFreq(), ppb)) / s.step)
	if math.Abs(k+0.25)*s.step > s.MaxFreq() {
		k -= math.Copysign(1, k)
	}
	if k != 0 {
		k += math.Copysign(0.25, k)
	}
	return s.Device.AdjFreq(k * s.step)
}

// FreqPPB returns the correction that the driver made of the request.
func (s *stepped) FreqPPB() (float64, error) {
	f, err := s.Device.FreqPPB()
	return math.Trunc(f/s.step) * s.step, err
}

// Index returns N of /dev/ptpN, or -1.
func (s *stepped) Index() int { return Index(s.Device) }

// Close closes the clock.
func (s *stepped) Close() error { return Close(s.Device) }
