// Package export passes the disciplined clock to other programs on the same
// machine: chronyd over its SOCK reference clock, ntpd and others over the NTP
// shared memory segment, ptp4l over its management socket. While the published
// snapshot is not usable, no samples are exported, and ptp4l announces a clock
// that is not synchronised.
package export

import (
	"fmt"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// Sample is one comparison of the system clock with the disciplined clock.
type Sample struct {
	Real   int64         // CLOCK_REALTIME, ns since the POSIX epoch
	True   int64         // the disciplined clock at the same instant, UTC, ns since the POSIX epoch
	Bound  time.Duration // bound of the disciplined clock's error
	Leap   uint8         // NTP leap indicator, 0 to 2
	Offset int           // TAI - UTC in seconds
}

// Take compares the system clock, read as real at the instant mono of
// CLOCK_MONOTONIC_RAW, with the snapshot's clock. It is not ok while the snapshot
// is not usable.
func Take(s *status.Snapshot, mono, real int64) (sm Sample, ok bool) {
	if !s.Usable(mono) {
		return Sample{}, false
	}
	t := s.ClockAt(mono)
	off := s.OffsetAt(t)
	sec, nsec := t.Unix(off)
	return Sample{
		Real:   real,
		True:   sec*int64(tai.Second) + nsec,
		Bound:  s.BoundAt(mono),
		Leap:   s.LeapIndicator(t),
		Offset: off,
	}, true
}

// Exporter passes samples to one program.
type Exporter interface {
	Export(Sample) error
	Close() error
	String() string // kind and address, for logs
}

// samples exports samples.
type samples struct {
	open func() (Exporter, error) // called until it succeeds
	out  Exporter
}

func (x *samples) export(src *Source, _ int) outcome {
	c, err := src.Cross()
	if err != nil {
		return outcome{tried: true, err: err}
	}
	sm, ok := Take(src.Snapshot(), c.Mono, c.Real)
	if !ok {
		return outcome{unusable: true} // without samples, the program does not use the clock
	}
	if x.out == nil {
		out, err := x.open()
		if err != nil {
			return outcome{tried: true, err: err}
		}
		x.out = out
	}
	return outcome{tried: true, err: x.out.Export(sm)}
}

func (x *samples) end(*Source) (outcome, error) {
	if x.out == nil {
		return outcome{}, nil
	}
	return outcome{}, x.out.Close()
}

// wrap names the exporter in an error and adds what to check.
func wrap(what, addr, hint string, err error) error {
	return fmt.Errorf("%s %s: %w (%s)", what, addr, err, hint)
}

// precision is log2 of the bound in seconds, rounded up and clamped to -30..0.
func precision(sm Sample) int32 {
	p := int32(-30)
	for p < 0 && float64(sm.Bound) > float64(int64(1)<<(30+p))*1e9/(1<<30) {
		p++
	}
	return p
}
