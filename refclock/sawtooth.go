package refclock

import "math"

// sawtooth gives each pulse the quantisation correction that the receiver
// announced for it: UBX-TIM-TP speaks of the next pulse. And it does not
// believe blindly: whether adding the announced value to the pulse's time
// makes the pulses quieter, or subtracting it does (firmware and protocol
// conversions differ), or neither (another pulse output), is learned from the
// second differences, in which offset and frequency of the clock drop out. Each
// pulse has one vote, so spikes count no more than others.
type sawtooth struct {
	said [4]announced
	n    int

	x, q [3]float64 // last pulses: clock reading free of steering, and announced value
	last int64      // mono of the last one
	have int

	votes [3]float64 // smoothed, for add, subtract and leave alone
	seen  int
	now   int // index in votes of what is done
}

type announced struct {
	mono int64 // when it was received
	ns   float64
}

// maxAnnounce is how long before its pulse an announcement may have come: the
// message period of 1 s and some latency.
const maxAnnounce = 1_100_000_000

// sawtoothTrust is how many pulses must have voted before the documented sign
// is given up.
const sawtoothTrust = 24

// sawtoothMin is the smallest second difference of announced values that tells
// anything, ns.
const sawtoothMin = 4

// announce notes the correction of the next pulse, ns to be added to its time.
func (s *sawtooth) announce(mono int64, ns float64) {
	s.said[s.n%len(s.said)] = announced{mono, ns}
	s.n++
}

// take returns the correction announced for a pulse at mono and removes it.
func (s *sawtooth) take(mono int64) (ns float64, ok bool) {
	best := -1
	for i, a := range s.said {
		if a.mono != 0 && a.mono < mono && mono-a.mono < maxAnnounce && (best < 0 || a.mono > s.said[best].mono) {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	ns = s.said[best].ns
	s.said[best] = announced{}
	return ns, true
}

// learn looks at a pulse: x is its time by the clock, free of steering and
// steps, in ns within the second; q what was announced.
func (s *sawtooth) learn(mono int64, x, q float64) {
	if mono-s.last > 1500e6 {
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
	if math.Abs(e) < sawtoothMin {
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
	if s.seen++; s.seen >= sawtoothTrust && s.votes[best] > 2*s.votes[s.now] {
		s.now = best
	}
}

// gap says that a pulse had no announcement, or that the clock was stepped.
func (s *sawtooth) gap() { s.have = 0 }

// sign is what the announced value is to be multiplied by before it is added
// to a pulse's time: +1 as documented, -1 or 0 when the pulses say so.
func (s *sawtooth) sign() float64 { return [...]float64{1, -1, 0}[s.now] }
