package clock

import (
	"time"

	"noonmark/phc"
)

// Kernel is the kernel's view of the system clock: phc.Kernel, or a simulated
// one.
type Kernel interface {
	Load() (phc.Timex, error)
	SetQuality(phc.Quality) error
}

// synchronisedWithin is the kernel's error bound up to which a system clock
// counts as disciplined.
const synchronisedWithin = 50 * time.Millisecond

// Synchronised returns a function that reports whether the kernel holds the
// system clock for synchronised to better than 50 ms. The kernel lets the bound
// grow that a daemon set, so a clock that nobody disciplines any more loses the
// status within minutes.
func Synchronised(k Kernel) func() bool {
	return func() bool {
		t, err := k.Load()
		return err == nil && t.Status&phc.StaUnsync == 0 && t.MaxError < synchronisedWithin
	}
}
