package status

import (
	"math"
	"time"

	"noonmark/phc/tai"
)

// Implausible is a value of a snapshot that no writer publishes. It is an
// ErrImplausible.
type Implausible uint8

// The values that are checked.
const (
	badKind Implausible = iota + 1
	badStratum
	badLeap
	badNumber
	badRate
	badBound
	badBoundRate
	badOffset
	badMono
	badClock
	badRefTime
	badDelay
	badPHC
)

var implausible = [...]string{
	badKind: "state or kind of clock", badStratum: "stratum", badLeap: "leap second", badNumber: "a number is not finite",
	badRate: "rate of the clock", badBound: "error bound", badBoundRate: "growth of the error bound", badOffset: "TAI - UTC",
	badMono: "it is from the future", badClock: "the clock is decades from the system clock; set the date of the one that is wrong", badRefTime: "reference time",
	badDelay: "root delay", badPHC: "index of the clock",
}

// Error names the value.
func (i Implausible) Error() string { return ErrImplausible.Error() + ": " + implausible[i] }

// Is makes it an ErrImplausible.
func (i Implausible) Is(target error) bool { return target == ErrImplausible }

// Limits of plausible values. They are far outside of what refclockd and
// server/sysclock publish.
const (
	maxRate      = 2e8                       // ppb; chronyd slews by up to 1e8
	maxBoundRate = 1e9                       // ns/s
	maxLimit     = 1 << 16 * 1e9             // ns, the largest root dispersion of NTP
	maxFuture    = int64(1e9)                // ns: a snapshot holds when it is written
	maxTAI       = 1000                      // s
	maxLeap      = 10 * 365 * 24 * time.Hour // a leap second ahead
	maxEra       = 20 * 365 * 24 * time.Hour
)

// saneSince is an instant (UTC, ns since 1970) before all snapshots, 2024-01-01. A
// system clock that is earlier was never set, and says nothing.
const saneSince = int64(1704067200e9)

// implausible returns nil or an Implausible. real and mono are CLOCK_REALTIME and
// CLOCK_MONOTONIC_RAW now, ns. It does not allocate.
func (s *Snapshot) implausible(real, mono int64) error {
	for _, v := range [...]float64{s.RatePPB, s.BoundRate, s.OffsetNS, s.FreqPPB, s.NoiseNS} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return badNumber
		}
	}
	switch {
	case s.State > Faulty, s.Kind > SimClock:
		return badKind
	case s.Stratum > 16:
		return badStratum
	case s.PHCIndex < -1, s.Kind == PHCClock && s.PHCIndex < 0:
		return badPHC
	case s.LeapSign < -1, s.LeapSign > 1, s.PastSign < -1, s.PastSign > 1:
		return badLeap
	case s.Bound < 0, s.LineErr < 0, s.Limit < 0, s.Limit > maxLimit:
		return badBound
	case s.BoundRate < 0, s.BoundRate > maxBoundRate:
		return badBoundRate
	case math.Abs(s.RatePPB) > maxRate:
		return badRate
	case s.RootDelay < 0, s.RootDelay > maxLimit:
		return badDelay
	case s.Mono < 0, s.Mono-mono > maxFuture:
		return badMono
	case s.Slept < 0:
		return badNumber
	}
	if s.State != Locked && s.State != Holdover || s.Kind == NoClock {
		return nil // nothing is computed from the rest
	}
	return s.implausibleClock(real)
}

// implausibleClock checks the line of a clock that may be served.
func (s *Snapshot) implausibleClock(real int64) error {
	switch {
	case s.BoundRate == 0: // such a snapshot would be served for ever
		return badBoundRate
	case s.TAIOffset < 0, s.TAIOffset > maxTAI:
		return badOffset
	case s.Clock < 0, s.RefTime < 0, s.RefTime > s.Clock.Add(time.Second):
		return badRefTime
	case s.LeapAt < 0, s.LeapAt.Sub(s.Clock) > maxLeap, s.LeapPast < 0, s.LeapPast.Sub(s.Clock) > maxLeap:
		return badLeap
	}
	if far := tai.FromUnix(0, real, int(s.TAIOffset)).Sub(s.Clock).Abs(); real >= saneSince && far > maxEra {
		return badClock
	}
	return nil
}
