package printable

import (
	"fmt"
	"time"
)

// Duration writes a duration with three or four digits in a suitable unit, the same
// way in all programs: "472 ns", "12.3 µs", "45.6 ms", "99.9 s", "3h0m0s".
func Duration(d time.Duration) string {
	switch a := d.Abs(); {
	case a < 10*time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case a < 10*time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case a < 10*time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case a < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
