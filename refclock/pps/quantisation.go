package pps

import "math"

// Quantisation gives each pulse the quantisation correction (sawtooth) that the
// receiver announced for it: UBX-TIM-TP describes the next pulse. It also checks
// the announcements. Second differences, in which offset and frequency of the
// clock cancel, show whether adding the announced value makes the pulses quieter,
// or subtracting it (firmware versions and protocol conversions differ), or
// neither (another pulse output). Each pulse has one vote, so outliers count no
// more than others. It is for one goroutine.
type Quantisation struct {
	announced [4]announcement
	next      int // slot of the next announcement

	x, q [3]float64 // of the last pulses: clock reading free of steering, and announced value, ns
	last int64      // mono of the last pulse
	have int        // consecutive pulses with an announcement

	votes [3]float64 // smoothed, for add, subtract and leave alone
	seen  int        // votes so far
	use   int        // index in votes of what is done
}

// announcement is the announced correction of one pulse.
type announcement struct {
	mono int64 // when it was received; 0 = used
	ns   float64
}

const (
	// AnnounceMax is how long before its pulse an announcement may come, ns: the
	// message period of 1 s and some latency.
	AnnounceMax = 1_100_000_000
	// signVotes is how many pulses must have voted before the documented sign is
	// given up.
	signVotes = 24
	// minDifference is the smallest second difference of announced values that
	// shows anything, ns.
	minDifference = 4
	// maxPulseGap is the largest distance of consecutive pulses, ns.
	maxPulseGap = 1_500_000_000
)

// Announce notes the correction of the next pulse, ns to be added to its time,
// received at mono.
func (s *Quantisation) Announce(mono int64, ns float64) {
	s.announced[s.next%len(s.announced)] = announcement{mono, ns}
	s.next++
}

// Take returns the correction announced for a pulse at mono and removes it.
func (s *Quantisation) Take(mono int64) (ns float64, ok bool) {
	best := -1
	for i, a := range s.announced {
		if a.mono != 0 && a.mono < mono && mono-a.mono < AnnounceMax && (best < 0 || a.mono > s.announced[best].mono) {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	ns = s.announced[best].ns
	s.announced[best] = announcement{}
	return ns, true
}

// Learn takes a pulse: x is its time by the clock, free of steering and steps, ns
// within the second; q is what was announced.
func (s *Quantisation) Learn(mono int64, x, q float64) {
	if mono-s.last > maxPulseGap {
		s.have = 0
	}
	s.last = mono
	s.x[0], s.x[1], s.x[2] = s.x[1], s.x[2], x
	s.q[0], s.q[1], s.q[2] = s.q[1], s.q[2], q
	if s.have++; s.have < 3 {
		return
	}
	d := s.x[2] - 2*s.x[1] + s.x[0]
	e := s.q[2] - 2*s.q[1] + s.q[0]
	if math.Abs(e) < minDifference {
		return
	}
	best := 2
	switch add, sub, none := math.Abs(d+e), math.Abs(d-e), math.Abs(d); {
	case add < sub && add < none:
		best = 0
	case sub < none:
		best = 1
	}
	const a = 1.0 / 32
	for i := range s.votes {
		s.votes[i] -= a * s.votes[i]
	}
	s.votes[best] += a
	if s.seen++; s.seen >= signVotes && s.votes[best] > 2*s.votes[s.use] {
		s.use = best
	}
}

// Gap notes that a pulse had no announcement, or that the clock was stepped.
func (s *Quantisation) Gap() { s.have = 0 }

// Sign returns the factor of the announced value before it is added to a pulse's
// time: +1 as documented, -1 or 0 when the pulses show otherwise.
func (s *Quantisation) Sign() float64 { return [...]float64{1, -1, 0}[s.use] }
