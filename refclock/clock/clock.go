// Package clock owns one clock that is steered: it opens the device and opens it
// again after a failure, carries instants between the clock and
// CLOCK_MONOTONIC_RAW, applies corrections and steps, and notices when somebody
// else moves the clock. It reports what happens as events and logs nothing.
package clock

import (
	"errors"
	"io"
	"time"

	"noonmark/phc"
)

// Device is a clock that can be steered: *phc.Device, *phc.SystemClock or a
// simulated one. If it is an io.Closer, Steered closes it.
type Device interface {
	Cross() (phc.Cross, error)
	Step(delta time.Duration) error // + = forward
	AdjFreq(ppb float64) error      // absolute, + = faster
	FreqPPB() (float64, error)      // correction in force
	MaxFreq() float64               // ppb, largest correction
}

// Opener opens a clock.
type Opener func() (Device, error)

// Errors that Steered distinguishes.
var (
	// ErrContested is wrapped where a clock is left alone because another program
	// steers it.
	ErrContested = errors.New("another program steers this clock")
	// ErrTimeout is wrapped by what a clock of WithTimeout returns while its
	// driver does not answer.
	ErrTimeout = errors.New("the clock's driver does not answer")
	// ErrNotYet is returned by an Opener that has to wait before it may open the
	// clock, without anything being wrong.
	ErrNotYet = errors.New("the clock is not to be opened yet")
)

// Gone reports whether an error means that the clock may not be used any more.
func Gone(err error) bool { return errors.Is(err, phc.ErrGone) || errors.Is(err, ErrContested) }

// Index returns N of /dev/ptpN, or -1 for a clock that is no PTP device.
func Index(d Device) int {
	if i, ok := d.(interface{ Index() int }); ok {
		return i.Index()
	}
	return -1
}

// Close closes a clock if it can be closed.
func Close(d Device) error {
	if c, ok := d.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
