// Package pps reads pulses: from the kernel's PPS devices (RFC 2783) and from the
// external timestamps of a PTP hardware clock. An edge has a stamp on a scale;
// which second it marks is decided elsewhere. The package also identifies the
// edge that marks the second, applies the receiver's quantisation error, compares
// pulses with the clock, and calibrates the delay of kernel stamps.
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

// The scales.
const (
	System Scale = iota // CLOCK_REALTIME, ns since the POSIX epoch (UTC)
	Clock               // the PTP hardware clock's own TAI ns
)

// String names the scale.
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
	Seq    uint32 // the source's number of the edge, if it has one
	Rising bool   // identified as the wanted edge: by the driver, or by the stamps

	// Other is set if both edges are stamped and only the length of the pulse
	// identified the wanted one, which is then a guess by common practice. It is how
	// long after this edge the other one comes. 0: the edge is no guess.
	Other time.Duration
}

// Source is where edges come from. Next waits for the next one; its errors name
// the remedy. After ErrGone the source must be closed and opened again; after
// ErrNoPulse and ErrAmbiguous Next may be called again. One goroutine reads.
type Source interface {
	Next(ctx context.Context) (Edge, error)
	Close() error
	String() string
}

// Errors a caller may branch on.
var (
	// ErrNoPulse: no edge came within the configured time.
	ErrNoPulse = errors.New("no pulse")
	// ErrGone: the device vanished. Close the source; open it again when the
	// device is back.
	ErrGone = errors.New("pulse device is gone")
	// ErrAmbiguous: both edges are stamped, the pulse is high for half of the
	// second, and nothing identifies the edge that marks the second.
	ErrAmbiguous = errors.New("cannot tell the pulse's edges apart")
)

// KernelEdge is an edge as the kernel's PPS interface names it (RFC 2783, section
// 3.1). Which of them is the rising one depends on the wiring and the driver.
type KernelEdge uint8

// The edges.
const (
	Assert KernelEdge = iota
	Clear
)

// String names the edge.
func (e KernelEdge) String() string {
	if e == Clear {
		return "clear"
	}
	return "assert"
}

// UnmarshalText accepts assert and clear, or rising and falling.
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

// Discard is why a stamp was not delivered as an edge. Its String is the reason
// word in metric labels.
type Discard uint8

// The reasons.
const (
	Missed       Discard = iota // an edge that is known to be missing, by the source's numbers or by the time between edges
	Duplicate                   // the same stamp again, at once or replayed later (CM4 without carrier)
	OtherChannel                // a stamp of another channel of the card
	NotAStamp                   // an offset event, or a stamp that is impossible
	LearningEdge                // held back until it is known which edges the card stamps
	WrongEdge                   // the other edge of the pulse
	Ambiguous                   // both edges at half duty, and no grid to choose by

	numDiscards
)

// String returns the word.
func (d Discard) String() string {
	if d >= numDiscards {
		return fmt.Sprintf("reason_%d", uint8(d))
	}
	return [...]string{"missed_pulse", "duplicate_stamp", "other_channel", "not_a_stamp", "learning_edge", "wrong_edge", "ambiguous_edge"}[d]
}

// Discards returns every Discard, in the order in which they are exported.
func Discards() []Discard {
	all := make([]Discard, numDiscards)
	for i := range all {
		all[i] = Discard(i)
	}
	return all
}

// Counters counts by Discard. It may be read while the source runs.
type Counters struct{ n [numDiscards]atomic.Uint64 }

// Count returns how often d happened.
func (c *Counters) Count(d Discard) uint64 { return c.n[d].Load() }

func (c *Counters) add(d Discard, n uint64) { c.n[d].Add(n) }

// KernelOptions are the options of OpenKernel. The zero value waits for the assert
// edge without limit.
type KernelOptions struct {
	Edge    KernelEdge
	Timeout time.Duration // Next returns ErrNoPulse after it; 0 waits for ever
}

// sequence follows the kernel's number of an edge. The first number is the state
// at opening and no new edge. A number that jumps far belongs to a device that was
// registered again.
type sequence struct {
	last  uint32
	known bool
}

// maxGap is the largest gap that is counted as missed pulses: a day.
const maxGap = 86400

// next returns whether n is a new edge, and how many were missed before it.
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
