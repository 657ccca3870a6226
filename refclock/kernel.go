package refclock

import "time"

// Kernel is the kernel's view of the system clock (adjtimex(2)): what every
// program on the machine is told about its quality, and the traces that another
// program leaves when it steers.
type Kernel interface {
	Load() (Timex, error)
	Tell(Quality) error
}

// Timex is the state of the kernel's discipline.
type Timex struct {
	FreqPPB  float64 // correction in force, + = clock runs faster
	Status   int32   // STA bits
	Offset   int64   // what is still to be slewed by adjtime or the kernel's loop
	Tick     int64   // µs
	MaxError time.Duration
	EstError time.Duration
	TAI      int // TAI - UTC, s; 0 = nobody has told
}

// Quality is what the kernel is to tell of the system clock.
type Quality struct {
	Synced   bool
	Leap     uint8         // leap indicator of RFC 5905: 1 inserts, 2 deletes a second at the end of this UTC day
	MaxError time.Duration // bound of the error; the kernel lets it grow by 500 µs a second
	EstError time.Duration
	TAI      int // TAI - UTC, s; 0 leaves it
}

// Bits of the status, uapi/linux/timex.h.
const (
	staPLL      = 0x0001
	staPPSFreq  = 0x0002
	staPPSTime  = 0x0004
	staFLL      = 0x0008
	staIns      = 0x0010
	staDel      = 0x0020
	staUnsync   = 0x0040
	staFreqHold = 0x0080

	staLoops = staPLL | staPPSFreq | staPPSTime | staFLL // the kernel's own steering
)

// maxError is where the kernel's bound stops growing and means "not
// synchronised" (NTP_PHASE_LIMIT, linux/timex.h).
const maxError = 16 * time.Second

// maxErrorRate is by how much the kernel lets the bound grow in a second
// (MAXFREQ, kernel/time/ntp.c).
const maxErrorRate = 500 * time.Microsecond

// status returns the bits to be set for a quality, from those in force.
func (q Quality) status(now int32) int32 {
	s := now &^ (staLoops | staIns | staDel | staUnsync | staFreqHold)
	switch {
	case !q.Synced:
		s |= staUnsync
	case q.Leap == 1:
		s |= staIns
	case q.Leap == 2:
		s |= staDel
	}
	return s
}
