// Package status is the published state of refclockd: one snapshot of fixed
// layout in a small shared file, written by one process under a sequence lock
// and read by any number of others without locks. FORMAT.md documents the
// bytes.
//
// The snapshot holds a straight line from CLOCK_MONOTONIC_RAW to the disciplined
// clock and an error bound that grows with time. So a reader computes time and
// bound at its own instant, and a dead writer shows as a growing bound.
package status

import (
	"math"
	"time"

	"noonmark/phc/tai"
)

// State is the state of the discipline (ARCHITECTURE.md, "States").
type State uint8

// The states, in the order of their numbers in the file.
const (
	Unlocked  State = iota // no usable reference yet
	Acquiring              // measuring, labelling the second, stepping
	Locked                 // disciplined by a reference now
	Holdover               // was locked; runs on with what was learned
	Faulty                 // clock and evidence contradict each other
)

var stateNames = [...]string{"unlocked", "acquiring", "locked", "holdover", "faulty"}

// String returns the state's word in logs, JSON and metrics.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// ClockKind says what kind of clock the line describes.
type ClockKind uint8

// The kinds, in the order of their numbers in the file.
const (
	NoClock     ClockKind = iota // the receiver is only monitored; there is no line
	PHCClock                     // the PTP hardware clock PHCIndex
	SystemClock                  // CLOCK_REALTIME, as TAI
	SimClock                     // a simulated oscillator
)

var kindNames = [...]string{"none", "phc", "system", "sim"}

// String returns the kind's word in configuration, JSON and metrics.
func (k ClockKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Snapshot is one published state. Line and bound hold at Mono; use ClockAt,
// BoundAt and friends for any other instant.
type Snapshot struct {
	State    State
	Kind     ClockKind
	Stratum  uint8   // for clients while the bound is within Limit; 16 = unsynchronised
	LeapSign int8    // +1: a second will be inserted at LeapAt, -1: deleted, 0: none known
	RefID    [4]byte // reference identifier (RFC 5905, figure 12), "GPS\0" and so on
	PHCIndex int32   // N of /dev/ptpN, -1 if the clock is not a PHC
	PID      uint32  // of the writer
	Epoch    uint32  // clock generation: count of steps; stamps of different generations do not compare

	Mono    int64         // CLOCK_MONOTONIC_RAW (ns) at which this snapshot holds
	Slept   time.Duration // time for which this machine has slept: CLOCK_BOOTTIME - CLOCK_MONOTONIC, at least 1 ns; 0 = unknown
	Clock   tai.Time      // reading of the disciplined clock at Mono
	RatePPB float64       // clock seconds per raw second, minus one, in ppb, + = clock faster than CLOCK_MONOTONIC_RAW

	LineErr   time.Duration // bound of |line - clock| at Mono (width and jitter of cross timestamps)
	Bound     time.Duration // bound of |clock - true time| at Mono, half of RootDelay included
	BoundRate float64       // growth of the bound, ns/s; valid even if the clock is not steered any more
	Limit     time.Duration // holdover limit: with a larger bound, clients see "unsynchronised"

	TAIOffset int32    // TAI - UTC in seconds at Mono
	LeapAt    tai.Time // instant at which the new TAI - UTC comes into force, 0 if none is known
	LeapPast  tai.Time // instant at which TAIOffset came into force, 0 = unknown
	PastSign  int8     // change of TAI - UTC then, s: +1 a second was inserted, -1 deleted
	RefTime   tai.Time // when the clock was last measured against its reference, 0 if never
	RootDelay time.Duration

	OffsetNS  float64 // last accepted measurement: clock - reference, + = clock fast
	FreqPPB   float64 // frequency correction in force, + = clock made faster
	NoiseNS   float64 // standard deviation of recent measurements
	Updates   uint64  // snapshots written since the writer started
	PulseMono int64   // CLOCK_MONOTONIC_RAW of the last accepted pulse, 0 if none
	Pulses    uint64  // pulses accepted
	BadPulses uint64  // pulses refused
	Missed    uint64  // expected pulses that did not come
	MsgMono   int64   // CLOCK_MONOTONIC_RAW of the last valid time message, 0 if none
	Msgs      uint64  // valid time messages
	BadMsgs   uint64  // messages refused

	Reason   string // why the state is what it is; at most 64 bytes
	Pulse    string // the pulse source, as configured; at most 48 bytes
	Receiver string // the receiver port, as configured; at most 48 bytes
	ClockDev string // the clock, as configured; at most 32 bytes
}

// MinSleep is the least change of CLOCK_BOOTTIME - CLOCK_MONOTONIC that counts as
// a sleep of the machine: the two are read one after the other.
const MinSleep = 5 * time.Millisecond

// SleptSince reports whether the machine slept since the snapshot was made; slept
// is the time for which it has slept in total. CLOCK_MONOTONIC_RAW stands still
// during sleep, so the line is wrong afterwards.
func (s *Snapshot) SleptSince(slept time.Duration) bool {
	return s.Slept != 0 && slept-s.Slept >= MinSleep
}

// ClockAt returns the disciplined clock's reading at an instant of
// CLOCK_MONOTONIC_RAW. It does not allocate.
func (s *Snapshot) ClockAt(mono int64) tai.Time {
	d := mono - s.Mono
	return s.Clock + tai.Time(d) + tai.Time(math.Round(float64(d)*s.RatePPB*1e-9))
}

// BoundAt returns the bound of |clock - true time| at an instant of
// CLOCK_MONOTONIC_RAW, the line's error included. Before Mono it is that of Mono.
// It saturates at the largest Duration, which means "no bound".
func (s *Snapshot) BoundAt(mono int64) time.Duration {
	b := float64(s.Bound) + float64(s.LineErr)
	if d := mono - s.Mono; d > 0 {
		b += math.Ceil(float64(d) * s.BoundRate * 1e-9)
	}
	if !(b < math.MaxInt64) { // also NaN
		return math.MaxInt64
	}
	return time.Duration(b)
}

// Usable reports whether the clock counts as synchronised at an instant of
// CLOCK_MONOTONIC_RAW: locked or in holdover, with the bound within its limit.
func (s *Snapshot) Usable(mono int64) bool {
	return (s.State == Locked || s.State == Holdover) && s.Kind != NoClock && s.RefTime != 0 &&
		s.Stratum > 0 && s.Stratum < 16 && s.BoundAt(mono) <= s.Limit
}

// OffsetAt returns TAI - UTC in seconds at t, before and after the leap second
// ahead and the last one.
func (s *Snapshot) OffsetAt(t tai.Time) int {
	switch {
	case s.LeapAt != 0 && s.LeapSign != 0 && t >= s.LeapAt:
		return int(s.TAIOffset) + int(s.LeapSign)
	case t < s.LeapPast:
		return int(s.TAIOffset) - int(s.PastSign)
	}
	return int(s.TAIOffset)
}

// NearLeap reports whether t is within d of a leap second, ahead or past, where a
// UTC label may mean two instants.
func (s *Snapshot) NearLeap(t tai.Time, d time.Duration) bool {
	return s.LeapAt != 0 && t.Sub(s.LeapAt).Abs() < d || s.LeapPast != 0 && t.Sub(s.LeapPast).Abs() < d
}

// LeapIndicator returns the NTP leap indicator at t (RFC 5905, figure 9): 1
// before an inserted, 2 before a deleted second, and only on the UTC day that
// ends with it, which has 86401 or 86399 seconds: a client executes the leap
// second at the end of the day on which it is announced. It never returns 3,
// which is for snapshots that are not Usable.
func (s *Snapshot) LeapIndicator(t tai.Time) uint8 {
	if s.LeapAt == 0 || t >= s.LeapAt || s.LeapAt-t > (86400+tai.Time(s.LeapSign))*tai.Second {
		return 0
	}
	switch s.LeapSign {
	case 1:
		return 1
	case -1:
		return 2
	}
	return 0
}

// AddBounds adds two error bounds. It saturates at the largest Duration, which
// means "no bound".
func AddBounds(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
