package phc

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		is         error
	}{
		{"/dev/ptp-none", "no such file", fs.ErrNotExist},
		{"ptp65535", "no such file", fs.ErrNotExist},
		{"/dev/null", "is not a PTP clock", unix.ENOTTY},
		{"nosuchif0", "no network interface", unix.ENODEV},
		{"a name too long for an interface", "no network interface", unix.ENODEV},
		{"", "no network interface", unix.ENODEV},
	} {
		_, err := Open(c.name)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("Open(%q): %v; want %v and %q", c.name, err, c.is, c.says)
		}
	}
	if _, err := Open("lo"); !errors.Is(err, ErrNoClock) {
		t.Errorf("Open(lo): %v; want ErrNoClock", err)
	}
}

func TestMonoRaw(t *testing.T) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &ts); err != nil {
		t.Fatal(err)
	}
	a := MonoRaw()
	if b := MonoRaw(); a < ts.Nano() || b < a || a-ts.Nano() > 10e9 {
		t.Errorf("clock_gettime %d, then MonoRaw %d and %d", ts.Nano(), a, b)
	}
	if n := testing.AllocsPerRun(100, func() { MonoRaw() }); n != 0 {
		t.Errorf("MonoRaw allocates %v times", n)
	}
}

// TestSlept: while the machine is awake, the time it has slept does not
// change.
func TestSlept(t *testing.T) {
	var boot, mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		t.Skip("CLOCK_BOOTTIME cannot be read: ", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		t.Fatal(err)
	}
	want := boot.Nano() - mono.Nano()
	for range 1000 {
		if d := int64(Slept()) - want; abs(d) > 100e6 { // this test itself may be held up between the two
			t.Fatalf("slept %v, was %d ns", Slept(), want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Slept() }); n != 0 {
		t.Errorf("Slept allocates %v times", n)
	}
}

func TestTimexLayout(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(timex64{}); n != 208 {
		t.Errorf("struct __kernel_timex has %d octets, want 208", n)
	}
	if n := unsafe.Sizeof(unix.PtpExttsEvent{}); n != extTSSize {
		t.Errorf("struct ptp_extts_event has %d octets, want %d", n, extTSSize)
	}
}

// TestSystemClock: reading the system clock needs no privilege. No test
// outside the lab changes it.
func TestSystemClock(t *testing.T) {
	t.Parallel()
	s, err := OpenSystem(func(int64) int { return 37 })
	if err != nil {
		t.Fatal(err)
	}
	lo := now(unix.CLOCK_REALTIME)
	c, err := s.Cross()
	if err != nil {
		t.Fatal(err)
	}
	if c.Width < 0 || int64(c.Clock)-c.Real != 37e9 || c.Mono > MonoRaw() || abs(c.Real-lo) > 1e9*3600 {
		t.Errorf("Cross = %+v at %d", c, lo)
	}
	if f, err := s.FreqPPB(); err != nil || f > s.MaxFreq() || f < -s.MaxFreq() {
		t.Errorf("FreqPPB = %v, %v", f, err)
	}
}
