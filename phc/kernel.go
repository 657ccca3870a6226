package phc

import "time"

// Timex is the kernel's state of the system clock (struct timex, adjtimex(2)): its
// quality, for all programs on the machine, and what another program changes when
// it steers the clock.
type Timex struct {
	FreqPPB  float64 // correction in force, + = clock runs faster
	Status   int32   // Sta bits
	Offset   int64   // still to be slewed by adjtime or the kernel's loop
	Tick     int64   // µs
	MaxError time.Duration
	EstError time.Duration
	TAI      int // TAI - UTC, s; 0 = not set
	// Real is CLOCK_REALTIME of the call, ns. From the end of a UTC day to the
	// kernel's next tick, it and TAI include the leap second already, while
	// clock_gettime does not (__do_adjtimex, kernel/time/ntp.c).
	Real int64
}

// Quality is the quality of the system clock, for the kernel.
type Quality struct {
	Synced   bool
	Leap     uint8         // leap indicator (RFC 5905): 1 inserts, 2 deletes a second at the end of this UTC day
	MaxError time.Duration // bound of the error; the kernel increases it by MaxErrorRate each second
	EstError time.Duration
	TAI      int // TAI - UTC, s; 0 = unchanged
}

// Bits of the status, uapi/linux/timex.h.
const (
	StaPLL      = 0x0001
	StaPPSFreq  = 0x0002
	StaPPSTime  = 0x0004
	StaFLL      = 0x0008
	StaIns      = 0x0010 // a second is inserted at the end of this UTC day
	StaDel      = 0x0020 // one is deleted
	StaUnsync   = 0x0040
	StaFreqHold = 0x0080

	StaLoops = StaPLL | StaPPSFreq | StaPPSTime | StaFLL // the kernel's own control loops
)

// MaxError is the kernel's largest bound, which means "not synchronised"
// (NTP_PHASE_LIMIT, linux/timex.h).
const MaxError = 16 * time.Second

// MaxErrorRate is the growth of the kernel's bound in a second (MAXFREQ,
// kernel/time/ntp.c).
const MaxErrorRate = 500 * time.Microsecond

// StatusFrom returns the status for the quality, given the one in force.
func (q Quality) StatusFrom(now int32) int32 {
	s := now &^ (StaLoops | StaIns | StaDel | StaUnsync | StaFreqHold)
	switch {
	case !q.Synced:
		s |= StaUnsync
	case q.Leap == 1:
		s |= StaIns
	case q.Leap == 2:
		s |= StaDel
	}
	return s
}

// micros returns microseconds, rounded up because d is a bound.
func micros(d time.Duration) int64 {
	return int64((min(max(d, 0), MaxError) + time.Microsecond - 1) / time.Microsecond)
}
