package refclock

import (
	"time"

	"noonmark/phc"
)

// keptWithin is the kernel's bound of a system clock that may contradict
// others.
const keptWithin = 50 * time.Millisecond

// RealKept tells by the kernel's word whether somebody disciplines
// CLOCK_REALTIME to better than 50 ms. The kernel lets the bound that it was
// told grow, so one that nobody keeps any more loses its word within minutes.
func RealKept(k Kernel) func() bool {
	return func() bool {
		t, err := k.Load()
		return err == nil && t.Status&phc.StaUnsync == 0 && t.MaxError < keptWithin
	}
}
