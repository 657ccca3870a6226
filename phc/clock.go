package phc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"noonmark/phc/tai"
)

// FreqResolutionPPB is the resolution of frequency corrections in the kernel:
// 2^-16 ppm, in ppb (struct timex, clock_adjtime(2)). A card may be coarser.
const FreqResolutionPPB = 1000.0 / 65536

// Errors that callers may branch on; all others wrap the operating system's.
var (
	// ErrNoClock: the network interface has no PTP hardware clock.
	ErrNoClock = errors.New("no PTP hardware clock")
	// ErrNoPins: the clock has no such pin or no pins at all (igb, many MACs).
	ErrNoPins = errors.New("no such pin")
	// ErrNoExtTS: the clock has no such external timestamp channel, or none.
	ErrNoExtTS = errors.New("no such external timestamp channel")
	// ErrFreqRange: a frequency was beyond MaxFreq; the limit is in force instead.
	ErrFreqRange = errors.New("frequency out of the clock's range")
	// ErrGone: the device vanished while it was open. Close it, and open it again
	// when it is back.
	ErrGone = errors.New("device is gone")
)

// Caps are the capabilities of a PTP hardware clock (PTP_CLOCK_GETCAPS).
type Caps struct {
	MaxFreqPPB   float64 // largest correction either way, ppb
	ExtTS        int     // external timestamp channels
	PerOut       int     // periodic output channels
	Pins         int     // programmable pins
	PPS          bool    // its second is a kernel PPS source
	CrossPrecise bool    // hardware cross timestamps against the system clock
	AdjPhase     bool    // phase adjustment in the device
}

// PinFunc is the use of a programmable pin (enum ptp_pin_function).
type PinFunc uint32

// The functions of a pin, linux/ptp_clock.h.
const (
	PinNone PinFunc = iota
	PinExtTS
	PinPerOut
	PinPhySync
)

func (f PinFunc) String() string {
	switch f {
	case PinNone:
		return "none"
	case PinExtTS:
		return "extts"
	case PinPerOut:
		return "perout"
	case PinPhySync:
		return "physync"
	}
	return fmt.Sprintf("pin function %d", uint32(f))
}

// Pin is a programmable pin and its present use.
type Pin struct {
	Index   int
	Name    string // the driver's, "SDP0"
	Func    PinFunc
	Channel int
}

// Edges is a set of pulse edges.
type Edges uint8

// The edges of a pulse.
const (
	Rising  Edges = 1
	Falling Edges = 2
	Both          = Rising | Falling
)

func (e Edges) String() string {
	switch e {
	case Rising:
		return "rising"
	case Falling:
		return "falling"
	case Both:
		return "both"
	}
	return fmt.Sprintf("edges %d", uint8(e))
}

// MarshalText returns String.
func (e Edges) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText accepts rising, falling and both.
func (e *Edges) UnmarshalText(b []byte) error {
	for _, v := range [...]Edges{Rising, Falling, Both} {
		if strings.EqualFold(string(b), v.String()) {
			*e = v
			return nil
		}
	}
	return fmt.Errorf("edge %q: use rising, falling or both", b)
}

// ExtTS is a request for external timestamps on a channel.
type ExtTS struct {
	Channel int
	Pin     int // pin to assign to the channel; negative: none (cards with fixed wiring)
	Edges   Edges
}

// ExtTSGrant is what the driver accepted of an ExtTS.
type ExtTSGrant struct {
	Version int   // of the ioctl: 2, or 1 if only the older one works (macb on CM4 and CM5, from Linux 6.15)
	Edges   Edges // edges that are stamped, according to the driver
	Certain bool  // the driver checked the edges; a version-1 ioctl may ignore them
}

// ExtTSEvent is an external timestamp: the clock's own reading at an edge. The
// kernel does not report which edge it was.
type ExtTSEvent struct {
	Clock   tai.Time
	Channel int
	Offset  bool  // Clock is an offset (PTP_EXT_OFFSET), not the stamp of a pulse
	Mono    int64 // CLOCK_MONOTONIC_RAW (ns) when it was read, up to 0.3 s after the edge
}

// extTSSize is sizeof(struct ptp_extts_event), linux/ptp_clock.h.
const extTSSize = 32

// extOffset is PTP_EXT_OFFSET in ptp_extts_event.flags.
const extOffset = 1 << 4

// parseExtTS decodes one struct ptp_extts_event in the machine's byte order.
func parseExtTS(b []byte) (ExtTSEvent, error) {
	if len(b) < extTSSize {
		return ExtTSEvent{}, fmt.Errorf("external timestamp of %d octets, want %d", len(b), extTSSize)
	}
	ne := binary.NativeEndian
	sec, nsec := int64(ne.Uint64(b)), ne.Uint32(b[8:])
	if nsec >= 1e9 {
		return ExtTSEvent{}, fmt.Errorf("external timestamp with %d nanoseconds", nsec)
	}
	t, ok := clockTime(sec, nsec)
	if !ok {
		return ExtTSEvent{}, fmt.Errorf("external timestamp of %d seconds is out of range", sec)
	}
	return ExtTSEvent{Clock: t, Channel: int(ne.Uint32(b[16:]) & math.MaxInt32), Offset: ne.Uint32(b[20:])&extOffset != 0}, nil
}

// clockTime converts a struct ptp_clock_time; not ok if it is out of range. A clock
// before 1970 has floored seconds and positive nsec.
func clockTime(sec int64, nsec uint32) (tai.Time, bool) {
	const limit = math.MaxInt64/1000000000 - 1
	if sec > limit || sec < -limit {
		return 0, false
	}
	return tai.Time(sec*1e9 + int64(nsec)), true
}

// scaledPPM rounds ppb to the kernel's ppm with a 16-bit fraction.
func scaledPPM(ppb float64) int64 { return int64(math.Round(ppb / FreqResolutionPPB)) }

// fromScaledPPM is the inverse of scaledPPM.
func fromScaledPPM(v int64) float64 { return float64(v) * FreqResolutionPPB }

// splitStep splits a step into seconds and nanoseconds for ADJ_SETOFFSET|ADJ_NANO.
// nsec is never negative: -1 ns is -1 s + 999999999 ns.
func splitStep(d time.Duration) (sec, nsec int64) {
	sec, nsec = int64(d/time.Second), int64(d%time.Second)
	if nsec < 0 {
		sec--
		nsec += 1e9
	}
	return sec, nsec
}

// clampFreq clamps ppb to +-limit, with an error if it had to.
func clampFreq(ppb, limit float64) (float64, error) {
	switch {
	case math.IsNaN(ppb):
		return 0, fmt.Errorf("%w: not a number", ErrFreqRange)
	case math.Abs(ppb) > limit:
		return math.Copysign(limit, ppb), fmt.Errorf("%w: %.0f ppb requested, the limit is %.0f ppb", ErrFreqRange, ppb, limit)
	}
	return ppb, nil
}

// pair is a reading of CLOCK_REALTIME between two of CLOCK_MONOTONIC_RAW, ns.
type pair struct{ mono, real, width int64 }

// bracket is a reading of a clock between two of a system clock.
type bracket struct {
	pre, post int64 // ns of the system clock
	clock     tai.Time
}

// best returns the narrowest bracket; not ok if the system clock was stepped
// backwards within each.
func best(bs []bracket) (b bracket, ok bool) {
	for _, c := range bs {
		if w := c.post - c.pre; w >= 0 && (!ok || w < b.post-b.pre) {
			b, ok = c, true
		}
	}
	return b, ok
}

// stepLimit is the difference, ns, between the two system clocks over one cross
// reading from which it counts as a step in between. Their rates, which differ by
// 500 ppm at most, make 1 us in the 2 ms that a slow card takes.
const stepLimit = 1e6

// onMono converts a bracket of CLOCK_MONOTONIC_RAW to a Cross; CLOCK_REALTIME is
// interpolated between the pairs read before and after. Not ok: it was stepped.
func onMono(b bracket, p, q pair) (Cross, bool) {
	dm, dr := q.mono-p.mono, q.real-p.real
	if dm <= 0 || abs(dr-dm) > stepLimit {
		return Cross{}, false
	}
	mid := b.pre + (b.post-b.pre)/2
	x := mid - p.mono
	r := p.real + x + int64(math.Round(float64(dr-dm)*float64(x)/float64(dm)))
	return Cross{Clock: b.clock, Real: r, Mono: mid, Width: time.Duration(b.post - b.pre + max(p.width, q.width))}, true
}

// onReal is onMono for a bracket of CLOCK_REALTIME, which kernels before 6.12
// return.
func onReal(b bracket, p, q pair) (Cross, bool) {
	dm, dr := q.mono-p.mono, q.real-p.real
	if dr <= 0 || dm <= 0 || abs(dr-dm) > stepLimit {
		return Cross{}, false
	}
	mid := b.pre + (b.post-b.pre)/2
	x := mid - p.real
	m := p.mono + x + int64(math.Round(float64(dm-dr)*float64(x)/float64(dr)))
	return Cross{Clock: b.clock, Real: mid, Mono: m, Width: time.Duration(b.post - b.pre + max(p.width, q.width))}, true
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// Number of readings for a cross timestamp: enough to find a narrow bracket on a
// fast card, few behind a slow bus (105 to 222 us a read on CM4 and CM5).
const (
	maxSamples   = 10
	minSamples   = 2
	sampleBudget = 400 * time.Microsecond
)

// samplesFor returns the number of readings of a card whose narrowest bracket was
// w last time.
func samplesFor(w time.Duration) int {
	if w <= 0 {
		return maxSamples
	}
	return int(min(max(sampleBudget/w, minSamples), maxSamples))
}
