package phc

import (
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKernelLoad: reading the kernel's state needs no privilege and returns what
// the C library's structure holds.
func TestKernelLoad(t *testing.T) {
	t.Parallel()
	k, err := Kernel{}.Load()
	if err != nil {
		t.Skip("kernel's clock state cannot be read: ", err)
	}
	var tx unix.Timex
	if _, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		t.Fatal(err)
	}
	if k.Tick != int64(tx.Tick) || k.TAI != int(tx.Tai) || k.Status != tx.Status || math.Abs(k.FreqPPB) > maxSystemPPB || k.MaxError < 0 {
		t.Errorf("read %+v where the C structure has %+v", k, tx)
	}
}

// TestKernelRequest: errors are set only while the clock is synchronised, the TAI
// offset only if it differs.
func TestKernelRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		q    Quality
		now  timex64
		want timex64
	}{
		{"not synchronised", Quality{MaxError: 1, EstError: 1}, timex64{status: StaPLL}, timex64{modes: unix.ADJ_STATUS, status: StaUnsync}},
		{"offset known already", Quality{TAI: 37}, timex64{tai: 37}, timex64{modes: unix.ADJ_STATUS, status: StaUnsync}},
		{"TAI offset", Quality{TAI: 37}, timex64{}, timex64{modes: unix.ADJ_STATUS | unix.ADJ_TAI, status: StaUnsync, constant: 37}},
		{"locked before a leap", Quality{Synced: true, Leap: 1, MaxError: 1500, EstError: 20, TAI: 37}, timex64{status: StaUnsync, tai: 37},
			timex64{modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR, status: StaIns, maxerror: 2, esterror: 1}},
		{"bound beyond the kernel's", Quality{Synced: true, MaxError: time.Hour}, timex64{},
			timex64{modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR, maxerror: 16e6}},
	} {
		if got := c.q.request(&c.now); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
