//go:build !linux

package phc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// start is the origin of MonoRaw.
var start = time.Now()

// MonoRaw returns ns of the process's monotonic clock, in place of
// CLOCK_MONOTONIC_RAW.
func MonoRaw() int64 { return int64(time.Since(start)) }

// Slept returns 0: it is only known on Linux.
func Slept() time.Duration { return 0 }

// Device is a PTP hardware clock; it exists on Linux only.
type Device struct{}

// SystemClock is the system clock with the methods of a PTP hardware clock; it
// exists on Linux only.
type SystemClock struct{}

func unsupported(what string) error {
	return fmt.Errorf("%s: %w: PTP hardware clocks and clock_adjtime exist on Linux only", what, errors.ErrUnsupported)
}

// Open returns errors.ErrUnsupported.
func Open(name string) (*Device, error) { return nil, unsupported("open PTP clock " + name) }

// OpenSystem returns errors.ErrUnsupported.
func OpenSystem(func(int64) int) (*SystemClock, error) {
	return nil, unsupported("steer the system clock")
}

// The methods are for callers to compile; no Device can be opened.

func (d *Device) Name() string                          { return "" }
func (d *Device) Path() string                          { return "" }
func (d *Device) String() string                        { return "" }
func (d *Device) Index() int                            { return -1 }
func (d *Device) Caps() Caps                            { return Caps{} }
func (d *Device) MaxFreq() float64                      { return 0 }
func (d *Device) Close() error                          { return nil }
func (d *Device) Cross() (Cross, error)                 { return Cross{}, unsupported("read clock") }
func (d *Device) CrossMethod() string                   { return "" }
func (d *Device) Step(time.Duration) error              { return unsupported("step clock") }
func (d *Device) AdjFreq(float64) error                 { return unsupported("set frequency") }
func (d *Device) FreqPPB() (float64, error)             { return 0, unsupported("read frequency") }
func (d *Device) Pins() ([]Pin, error)                  { return nil, unsupported("read pins") }
func (d *Device) SetPin(int, PinFunc, int) error        { return unsupported("set pin") }
func (d *Device) EnableExtTS(ExtTS) (ExtTSGrant, error) { return ExtTSGrant{}, unsupported("enable") }
func (d *Device) DisableExtTS(int) error                { return unsupported("disable") }
func (d *Device) ReadExtTS(context.Context, []ExtTSEvent) (int, error) {
	return 0, unsupported("read external timestamps")
}

func (s *SystemClock) Name() string              { return "system" }
func (s *SystemClock) String() string            { return "system clock" }
func (s *SystemClock) Index() int                { return -1 }
func (s *SystemClock) Caps() Caps                { return Caps{} }
func (s *SystemClock) MaxFreq() float64          { return 0 }
func (s *SystemClock) Close() error              { return nil }
func (s *SystemClock) Cross() (Cross, error)     { return Cross{}, unsupported("read clock") }
func (s *SystemClock) Step(time.Duration) error  { return unsupported("step clock") }
func (s *SystemClock) AdjFreq(float64) error     { return unsupported("set frequency") }
func (s *SystemClock) FreqPPB() (float64, error) { return 0, unsupported("read frequency") }
