package discipline

import (
	"time"

	"noonmark/phc/tai"
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
