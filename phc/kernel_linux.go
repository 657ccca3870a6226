package phc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// staNano: the time is in ns, not in µs (uapi/linux/timex.h).
const staNano = 0x2000

// Kernel is the kernel's state of the system clock. It sets the quality only;
// SystemClock sets frequency and time.
type Kernel struct{}

// Load reads the state; it needs no privilege.
func (Kernel) Load() (Timex, error) {
	var tx timex64
	if err := clockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return Timex{}, fmt.Errorf("read state of the system clock: %w", err)
	}
	frac := tx.nsec
	if tx.status&staNano == 0 {
		frac *= 1000
	}
	return Timex{
		Real:    tx.sec*1e9 + frac,
		FreqPPB: fromScaledPPM(tx.freq), Status: tx.status, Offset: tx.offset, Tick: tx.tick,
		MaxError: time.Duration(tx.maxerror) * time.Microsecond, EstError: time.Duration(tx.esterror) * time.Microsecond, TAI: int(tx.tai),
	}, nil
}

// SetQuality sets errors, leap flags and TAI offset; it needs CAP_SYS_TIME.
func (Kernel) SetQuality(q Quality) error {
	var now timex64
	if err := clockAdjtime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("read state of the system clock: %w", err)
	}
	set := q.request(&now)
	if err := clockAdjtime(unix.CLOCK_REALTIME, &set); err != nil {
		return fmt.Errorf("set quality of the system clock: %w%s", err, systemHint(err))
	}
	return nil
}

// request returns the call that sets the quality, given the state in force.
func (q Quality) request(now *timex64) timex64 {
	set := timex64{modes: unix.ADJ_STATUS, status: q.StatusFrom(now.status)}
	if q.Synced { // otherwise the kernel's bound continues to grow
		set.modes |= unix.ADJ_MAXERROR | unix.ADJ_ESTERROR
		set.maxerror, set.esterror = micros(q.MaxError), micros(q.EstError)
	}
	if q.TAI != 0 && int(now.tai) != q.TAI {
		set.modes |= unix.ADJ_TAI
		set.constant = int64(q.TAI) // ADJ_TAI reads it from here
	}
	return set
}
