// Package pps delivers pulse edges: from the kernel's PPS devices (RFC 2783)
// and from the external timestamps of a PTP hardware clock. It says when and
// on which scale an edge was stamped; which second it is, is for others.
package pps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Scale is the time scale of a Stamp.
type Scale uint8

const (
	System Scale = iota // CLOCK_REALTIME, ns since the POSIX epoch (UTC)
	Clock               // the PTP hardware clock's own TAI ns
)

func (s Scale) String() string {
	if s == Clock {
		return "clock"
	}
	return "system"
}

// Edge is one edge of a pulse.
type Edge struct {
	Scale  Scale
	Stamp  int64  // ns of that scale at the edge
	Mono   int64  // CLOCK_MONOTONIC_RAW when the edge was read, up to 0.3 s after it
	Seq    uint32 // the source's own number of the edge, where it has one
	Rising bool   // it is known to be the wanted edge: by the driver, or told from the other by the stamps

	// Other, if both edges are stamped and nothing but their distance told the
	// wanted one, is how long after this edge the other comes: a guess, by what
	// is common. 0: it is none.
	Other time.Duration
}

// Source is where edges come from. Next waits for the next one; its errors say
// what to do. After ErrGone the source must be closed and opened again; after
// ErrNoPulse and ErrAmbiguous it may be asked again. One goroutine reads.
type Source interface {
	Next(ctx context.Context) (Edge, error)
	Close() error
	String() string
}

// Errors a caller may branch on.
var (
	// ErrNoPulse: no edge came within the time the options give.
	ErrNoPulse = errors.New("no pulse")
	// ErrGone: the device vanished. Close the source; open it again when the
	// device is back.
	ErrGone = errors.New("pulse device is gone")
	// ErrAmbiguous: both edges are stamped, the pulse is high for half of the
	// second, and nothing tells which edge is the second's.
	ErrAmbiguous = errors.New("cannot tell the pulse's edges apart")
)

// KernelEdge is an edge as the kernel's PPS interface names it (RFC 2783
// section 3.1). Which of them is the rising one is the wiring's and the
// driver's choice.
type KernelEdge uint8

const (
	Assert KernelEdge = iota
	Clear
)

func (e KernelEdge) String() string {
	if e == Clear {
		return "clear"
	}
	return "assert"
}

// UnmarshalText accepts assert and clear, and rising and falling for them.
func (e *KernelEdge) UnmarshalText(b []byte) error {
	switch strings.ToLower(string(b)) {
	case "assert", "rising":
		*e = Assert
	case "clear", "falling":
		*e = Clear
	default:
		return fmt.Errorf("%q is not an edge of a pulse; want \"rising\" (assert) or \"falling\" (clear)", b)
	}
	return nil
}

// Reason names why a stamp was not delivered as an edge, or that one is known
// to be missing.
type Reason uint8

const (
	Missed       Reason = iota // the source numbered or spaced more edges than it delivered
	Duplicate                  // the same stamp again, at once or replayed later (CM4 without carrier)
	OtherChannel               // a stamp of another channel of the card
	NotAStamp                  // an offset event, or a stamp that makes no sense
	LearningEdge               // held back until it is known which edges the card stamps
	WrongEdge                  // the other edge of the pulse
	Ambiguous                  // both edges at half duty, and no grid to choose by
	NumReasons
)

func (r Reason) String() string {
	if r >= NumReasons {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return [...]string{"missed_pulse", "duplicate_stamp", "other_channel", "not_a_stamp", "learning_edge", "wrong_edge", "ambiguous_edge"}[r]
}

// Counters counts by Reason. It may be read while the source runs.
type Counters struct{ n [NumReasons]atomic.Uint64 }

// Count returns how often r happened.
func (c *Counters) Count(r Reason) uint64 { return c.n[r].Load() }

func (c *Counters) add(r Reason, n uint64) { c.n[r].Add(n) }

// KernelOptions are the choices of OpenKernel; the zero value waits for the
// assert edge without end.
type KernelOptions struct {
	Edge    KernelEdge
	Timeout time.Duration // Next returns ErrNoPulse after it; 0 waits for ever
}

// sequence follows an edge's number. It returns whether n is a new edge and
// how many were missed before it. The first one seen is the state at opening
// and new only from then on; a number that jumps far is another life of the
// device.
type sequence struct {
	last  uint32
	known bool
}

// maxGap is the largest gap taken for missed pulses: a day.
const maxGap = 86400

func (s *sequence) next(n uint32) (fresh bool, missed uint64) {
	if !s.known {
		s.last, s.known = n, true
		return false, 0
	}
	d := n - s.last
	s.last = n
	if d > 1 && d <= maxGap {
		return true, uint64(d - 1)
	}
	return d != 0, 0
}
