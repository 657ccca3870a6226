package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
)

// edges are the pulses seen.
type edges struct {
	any      bool
	last     int64    // CLOCK_MONOTONIC_RAW (ns) of the last one
	clock    tai.Time // the clock's reading of it
	missed   int64    // CLOCK_MONOTONIC_RAW (ns) up to which missing ones were counted
	trains   pulseTrains
	rejects  rejectRun
	unused   unusedPulses
	recent   recentPulses
	verified int // inside the gate in a row
	evidence int // accepted since phase was acquired
}

// ProvisionalPulses is the number of accepted pulses, one a second, up to which a
// lock is provisional: pulses that contradict it for longer than it had lasted end
// it. Receivers deliver pulses of their own free oscillator for up to some minutes
// before they align them.
const ProvisionalPulses = 540

// provisional reports whether what was acquired stands on so few pulses that
// contradicting ones may outweigh it.
func (e *edges) provisional() bool { return e.evidence < ProvisionalPulses }

// take notes an edge, or returns why it cannot be measured with. maxWidth is the
// widest bracket of use.
func (e *edges) take(p Pulse, maxWidth time.Duration) Reason {
	switch {
	case e.any && (p.Mono-e.last < 1e6 || p.Clock == e.clock):
		// Without a carrier, some cards deliver the last stamp several times a
		// second.
		return PulseRepeated
	case p.Width < 0 || p.Width > maxWidth:
		return PulseWide
	}
	e.last, e.clock, e.any, e.missed = p.Mono, p.Clock, true, p.Mono
	return None
}

// countMissed returns how many pulses were missing up to mono, since the last
// count.
func (e *edges) countMissed(mono int64) (n uint64) {
	const most = 3600e9 // ns: what happened in longer gaps between calls is not known
	for e.missed+1500e6 <= mono {
		e.missed += 1e9
		n++
		if mono-e.missed > most {
			e.missed = mono
		}
	}
	return n
}

// recentKept is how many of the latest pulses are kept.
const recentKept = 64

// LastPulses are the latest pulses of an earlier run: CLOCK_MONOTONIC_RAW (ns) of each,
// the last one last; zeros: there were not so many.
type LastPulses [16]int64

// recentPulses are the latest pulses, whichever seconds they begin. Those of a run come
// after those of the run before it, so that a jump between them is one among them.
type recentPulses struct {
	n    int
	mono [recentKept]int64 // CLOCK_MONOTONIC_RAW, ns
}

// recentGap is how long after a pulse the next one is compared with it, ns. Later
// CLOCK_MONOTONIC_RAW may have gone elsewhere.
const recentGap = 60e9

// add takes a pulse. Earlier ones that seem to come after it are from a file that is not
// right.
func (r *recentPulses) add(mono int64) {
	switch {
	case r.n > 0 && mono == r.mono[r.n-1]:
		return
	case r.n > 0 && (mono < r.mono[r.n-1] || mono-r.mono[r.n-1] > recentGap):
		r.n = 0
	case r.n == len(r.mono):
		r.drop(1)
	}
	r.mono[r.n] = mono
	r.n++
}

// drop forgets the first n pulses.
func (r *recentPulses) drop(n int) {
	copy(r.mono[:], r.mono[n:r.n])
	r.n -= n
}

// last returns the latest ones.
func (r *recentPulses) last() (l LastPulses) {
	n := min(r.n, len(l))
	copy(l[len(l)-n:], r.mono[r.n-n:r.n])
	return l
}

// continueFrom begins with the pulses of an earlier run.
func (r *recentPulses) continueFrom(l *LastPulses) {
	*r = recentPulses{}
	for _, mono := range l {
		if mono > 0 {
			r.add(mono)
		}
	}
}

// jumped returns the jump among the pulses, measured to sigma ns, and the number of pulses
// before it; 0: they did not jump. line returns how far a line through their whole seconds
// is ahead of a pulse, ns. The instants of all after the jump may be read off by as much as
// read, ns.
func (r *recentPulses) jumped(line func(mono int64) float64, sigma, read float64) (at int, j jump) {
	var points [recentKept]servo.Point
	for i, mono := range r.mono[:r.n] {
		ns := line(mono) - line(r.mono[0])
		points[i] = servo.Point{T: float64(mono-r.mono[0]) * 1e-9, Y: ns - 1e9*math.Round(ns*1e-9)}
	}
	at, j.ns, j.unsure = servo.Jump(points[:r.n], sigma, read, displacedSigma)
	return at, j
}
