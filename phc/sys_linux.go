package phc

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/phc/tai"
)

// timespec64 is struct __kernel_timespec, which has the same layout on all
// machines.
type timespec64 struct{ sec, nsec int64 }

// timex64 is struct __kernel_timex (uapi/linux/timex.h), which has the same layout
// on all machines; unix.Timex has 32-bit seconds on arm.
type timex64 struct {
	modes     uint32
	_         int32
	offset    int64
	freq      int64
	maxerror  int64
	esterror  int64
	status    int32
	_         int32
	constant  int64
	precision int64
	tolerance int64
	sec       int64
	nsec      int64 // tv_usec, nanoseconds with ADJ_NANO
	tick      int64
	ppsfreq   int64
	jitter    int64
	shift     int32
	_         int32
	stabil    int64
	jitcnt    int64
	calcnt    int64
	errcnt    int64
	stbcnt    int64
	tai       int32
	_         [11]int32
}

// MonoRaw returns CLOCK_MONOTONIC_RAW in ns since boot: the machine's oscillator,
// not steered. It does not allocate.
func MonoRaw() int64 { return now(unix.CLOCK_MONOTONIC_RAW) }

// Slept returns the time for which this machine has slept since boot:
// CLOCK_BOOTTIME - CLOCK_MONOTONIC, which stands still during sleep. Without
// sleep it is constant to some hundred ns; if the readings are interrupted, to half of
// that. It does not allocate.
func Slept() time.Duration {
	var d, width int64
	for i := range 3 {
		a := now(unix.CLOCK_MONOTONIC)
		b := now(unix.CLOCK_BOOTTIME)
		w := now(unix.CLOCK_MONOTONIC) - a
		if i == 0 || w < width {
			d, width = b-a-w/2, w
		}
		if width < 10_000 {
			break
		}
	}
	return max(time.Duration(d), 0) // it never was less; a reading that was interrupted may show that
}

// now reads one of the kernel's fixed clocks, ns; clock_gettime(2) cannot fail for
// them.
func now(id int32) int64 {
	var ts timespec64
	unix.RawSyscall(sysClockGettime, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0)
	return ts.sec*1e9 + ts.nsec
}

// readPair reads CLOCK_REALTIME and CLOCK_MONOTONIC_RAW: the narrowest of four
// brackets.
func readPair() pair {
	var p pair
	m := MonoRaw()
	for i := range 4 {
		r := now(unix.CLOCK_REALTIME)
		n := MonoRaw()
		if w := n - m; i == 0 || w < p.width {
			p = pair{mono: m + w/2, real: r, width: w}
		}
		m = n
	}
	return p
}

func clockAdjtime(id int32, tx *timex64) error {
	if _, _, e := unix.Syscall(sysClockAdjtime, uintptr(id), uintptr(unsafe.Pointer(tx)), 0); e != 0 {
		return e
	}
	return nil
}

func ioctl(fd uintptr, req uint, p unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(req), uintptr(p))
		switch e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

func ptpTime(t unix.PtpClockTime) tai.Time {
	v, _ := clockTime(t.Sec, t.Nsec)
	return v
}

func ptpNS(t unix.PtpClockTime) int64 { return int64(ptpTime(t)) }
