package refclock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// LinuxKernel is the running kernel. Only its quality is told here; frequency
// and steps are phc.SystemClock's.
type LinuxKernel struct{}

// Load reads the state; it needs no privilege.
func (LinuxKernel) Load() (Timex, error) {
	var tx unix.Timex
	if _, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return Timex{}, fmt.Errorf("read state of the system clock: %w", err)
	}
	return Timex{
		FreqPPB: float64(tx.Freq) * 1000 / 65536, Status: tx.Status, Offset: int64(tx.Offset), Tick: int64(tx.Tick),
		MaxError: time.Duration(tx.Maxerror) * time.Microsecond, EstError: time.Duration(tx.Esterror) * time.Microsecond, TAI: int(tx.Tai),
	}, nil
}

// Tell sets errors, leap flags and TAI offset; it needs CAP_SYS_TIME.
func (LinuxKernel) Tell(q Quality) error {
	var tx unix.Timex
	if _, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return fmt.Errorf("read state of the system clock: %w", err)
	}
	set := unix.Timex{Modes: unix.ADJ_STATUS, Status: q.status(tx.Status)}
	if q.Synced { // else it goes on growing
		set.Modes |= unix.ADJ_MAXERROR | unix.ADJ_ESTERROR
		put(&set.Maxerror, micros(q.MaxError))
		put(&set.Esterror, micros(q.EstError))
	}
	if q.TAI != 0 && int(tx.Tai) != q.TAI {
		set.Modes |= unix.ADJ_TAI
		put(&set.Constant, int64(q.TAI)) // ADJ_TAI takes it from there
	}
	if _, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &set); err != nil {
		return fmt.Errorf("tell quality of the system clock: %w; it needs CAP_SYS_TIME", err)
	}
	return nil
}

// micros rounds up: a bound is never told smaller than it is.
func micros(d time.Duration) int64 {
	return int64((min(max(d, 0), maxError) + time.Microsecond - 1) / time.Microsecond)
}

// put stores into a C long, whatever its size.
func put[T int32 | int64](p *T, v int64) { *p = T(v) }
