package printable

import (
	"testing"
	"time"
)

func TestDurationHasOneUnit(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-100*time.Hour - 600*time.Millisecond: "-100h0m1s", -1: "-1 ns", 0: "0 ns", 9999: "9999 ns", 10000: "10.0 µs", 123456: "123.5 µs", 9999999: "10000.0 µs",
		10 * time.Millisecond: "10.0 ms", -1500 * time.Millisecond: "-1500.0 ms", 10 * time.Second: "10.0 s", 99940 * time.Millisecond: "99.9 s",
		100 * time.Second: "1m40s", 3*time.Hour + 400*time.Millisecond: "3h0m0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d ns: %q, want %q", int64(d), got, want)
		}
	}
}
