package sysclock

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
)

// From linux/timex.h.
const (
	staUnsync = 0x0040
	timeIns   = 1 // a second is inserted at the end of this day
	timeDel   = 2
	timeError = 5
	// maxPhase is the limit of the maximum error (NTP_PHASE_LIMIT, 16 s).
	maxPhase = 16 * time.Second
)

// kernel reads the quality of the system clock that the program which steers it
// reported to the kernel. The kernel lets the maximum error grow by 500 ppm.
type kernel struct {
	cfg      Config
	adjtimex func(*syscall.Timex) (int, error)
	last     time.Duration // maximum error at the last reading
	reported int64         // CLOCK_REALTIME of the last report, ns: when the maximum error last fell

	slept func() time.Duration // how long the machine has slept in total
	asOf  time.Duration        // its result at the last reading
	stale bool                 // the last report is from before a sleep
}

func newKernel(cfg Config) (prober, error) {
	return &kernel{cfg: cfg, adjtimex: syscall.Adjtimex, slept: phc.Slept}, nil
}

func (k *kernel) String() string       { return "kernel" }
func (k *kernel) every() time.Duration { return 250 * time.Millisecond }

func (k *kernel) probe(_ context.Context, now int64) (quality, error) {
	var tx syscall.Timex
	state, err := k.adjtimex(&tx)
	if err != nil {
		return quality{}, &Error{Unavailable, fmt.Errorf("read the state of the system clock (adjtimex): %w; under systemd it needs ProtectClock=no and SystemCallFilter=adjtimex (ntsserve-kernel-source.conf)", err)}
	}
	maxError := time.Duration(tx.Maxerror) * time.Microsecond
	if slept := k.slept(); slept-k.asOf >= status.MinSleep {
		k.asOf, k.stale = slept, k.reported != 0
	}
	if state == timeError || tx.Status&staUnsync != 0 || maxError < 0 || maxError >= maxPhase {
		k.stale = false // the next that is better is a new report
		return quality{}, &Error{Reason: NotSynced}
	}
	if k.reported == 0 || maxError < k.last {
		k.reported, k.stale = now, false
	}
	k.last = maxError
	if k.stale {
		// The kernel has set the clock by that of the board, which has seconds only, and
		// has left the maximum error as it was (timekeeping_resume,
		// kernel/time/timekeeping.c).
		return quality{}, &Error{Reason: MachineSlept}
	}
	q := quality{
		stratum: k.cfg.Stratum, refID: k.cfg.RefID, refTime: k.reported,
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
