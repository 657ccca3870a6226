package sysclock

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// Of linux/timex.h.
const (
	staUnsync = 0x0040
	timeIns   = 1 // a second is inserted at the end of this day
	timeDel   = 2
	timeError = 5
	// maxPhase is where the kernel stops counting (NTP_PHASE_LIMIT, 16 s).
	maxPhase = 16 * time.Second
)

// kernel is what whoever steers the system clock told the kernel of it. The
// kernel itself lets the maximum error grow by 500 ppm.
type kernel struct {
	cfg      Config
	adjtimex func(*syscall.Timex) (int, error)
	last     time.Duration // maximum error at the last reading
	told     int64         // CLOCK_REALTIME when the kernel was last told anything, as far as can be seen
}

func newKernel(cfg Config) (prober, error) {
	k := &kernel{cfg: cfg, adjtimex: syscall.Adjtimex}
	var tx syscall.Timex
	if _, err := k.adjtimex(&tx); err != nil {
		return nil, fmt.Errorf("read the kernel's word on the system clock: %w; under systemd it needs ProtectClock=no and SystemCallFilter=adjtimex (ntsserve-kernel-source.conf)", err)
	}
	return k, nil
}

func (k *kernel) String() string       { return "kernel" }
func (k *kernel) every() time.Duration { return 250 * time.Millisecond }

func (k *kernel) probe(_ context.Context, now int64) (quality, error) {
	var tx syscall.Timex
	state, err := k.adjtimex(&tx)
	if err != nil {
		return quality{}, &Error{Unavailable, err}
	}
	maxError := time.Duration(tx.Maxerror) * time.Microsecond
	if state == timeError || tx.Status&staUnsync != 0 || maxError < 0 || maxError >= maxPhase {
		return quality{}, &Error{Reason: NotSynced}
	}
	if k.told == 0 || maxError < k.last {
		k.told = now
	}
	k.last = maxError
	q := quality{
		stratum: k.cfg.Stratum, refID: k.cfg.RefID, refTime: k.told,
		dispersion: maxError, rate: phi, slewing: true, tai: max(int(tx.Tai), 0),
	}
	switch state {
	case timeIns:
		q.leapSign = 1
	case timeDel:
		q.leapSign = -1
	}
	if q.leapSign != 0 {
		q.leapAt = (now/86400e9 + 1) * 86400
	}
	return q, nil
}
