package phc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/phc/tai"
)

// maxSystemPPB is the largest correction of adjtimex: 500 ppm (MAXFREQ,
// linux/timex.h).
const maxSystemPPB = 500000

// SystemClock is CLOCK_REALTIME, shown as TAI, with the methods of a PTP hardware
// clock.
type SystemClock struct {
	offset   func(real int64) int
	loopsOff bool
}

// OpenSystem returns the system clock. offset returns TAI - UTC in seconds for a
// reading of CLOCK_REALTIME in ns (tai.Table.OffsetUTC of its seconds).
func OpenSystem(offset func(real int64) int) (*SystemClock, error) {
	s := &SystemClock{offset: offset}
	if _, err := s.FreqPPB(); err != nil {
		return nil, err
	}
	return s, nil
}

// Name returns "system".
func (s *SystemClock) Name() string { return "system" }

// String returns the clock's name for logs.
func (s *SystemClock) String() string { return "system clock" }

// Index returns -1: the system clock is not a PTP device.
func (s *SystemClock) Index() int { return -1 }

// Caps returns the clock's range; it has no pins and no external timestamps.
func (s *SystemClock) Caps() Caps { return Caps{MaxFreqPPB: maxSystemPPB} }

// MaxFreq returns the largest frequency correction either way, ppb.
func (s *SystemClock) MaxFreq() float64 { return maxSystemPPB }

// Close does nothing; the clock continues at its last frequency.
func (s *SystemClock) Close() error { return nil }

// Cross reads CLOCK_REALTIME between two readings of CLOCK_MONOTONIC_RAW.
func (s *SystemClock) Cross() (Cross, error) {
	p := readPair()
	return Cross{
		Clock: tai.Time(p.real + int64(s.offset(p.real))*1e9),
		Real:  p.real, Mono: p.mono, Width: time.Duration(p.width),
	}, nil
}

// Step adds delta to the system clock, + = forward.
func (s *SystemClock) Step(delta time.Duration) error {
	sec, nsec := splitStep(delta)
	tx := timex64{modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, sec: sec, nsec: nsec}
	if err := clockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return fmt.Errorf("step system clock by %v: %w%s", delta, err, systemHint(err))
	}
	return nil
}

// AdjFreq sets the frequency correction in force, ppb, + = faster. Beyond MaxFreq
// it sets the limit and returns ErrFreqRange. The first call switches off the
// kernel's own control loops, which would steer against it.
func (s *SystemClock) AdjFreq(ppb float64) error {
	v, rangeErr := clampFreq(ppb, maxSystemPPB)
	tx := timex64{modes: unix.ADJ_FREQUENCY, freq: scaledPPM(v)}
	if !s.loopsOff {
		var now timex64
		if err := clockAdjtime(unix.CLOCK_REALTIME, &now); err != nil {
			return fmt.Errorf("read state of the system clock: %w", err)
		}
		const loops = unix.STA_PLL | unix.STA_FLL | unix.STA_PPSFREQ | unix.STA_PPSTIME
		if now.status&loops != 0 {
			tx.modes |= unix.ADJ_STATUS
			tx.status = now.status &^ loops
		}
	}
	if err := clockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return fmt.Errorf("set frequency of the system clock to %.3f ppb: %w%s", v, err, systemHint(err))
	}
	s.loopsOff = true
	if rangeErr != nil {
		return fmt.Errorf("set frequency of the system clock: %w", rangeErr)
	}
	return nil
}

// FreqPPB returns the frequency correction in force, ppb, + = faster.
func (s *SystemClock) FreqPPB() (float64, error) {
	var tx timex64
	if err := clockAdjtime(unix.CLOCK_REALTIME, &tx); err != nil {
		return 0, fmt.Errorf("read frequency of the system clock: %w", err)
	}
	return fromScaledPPM(tx.freq), nil
}

func systemHint(err error) string {
	if err == unix.EPERM {
		return "; steering the system clock needs CAP_SYS_TIME (AmbientCapabilities in the unit) and a container that permits it"
	}
	return ""
}
