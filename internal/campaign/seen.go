package campaign

import (
	"math"
	"slices"
	"time"
)

// meets reports whether the system clock is near k seconds ahead of pulses at some time
// between two seconds.
func meets(s *Site, k, from, to int) bool {
	const near = 25 * time.Millisecond // 20 ms, and the noise of labels
	late := []time.Duration{0}         // by which seconds seem to begin late
	for _, x := range s.Pulse.Jumps {
		late = append(late, time.Duration(x.NS))
	}
	a, b := s.System.at(from), s.System.at(to)
	return slices.ContainsFunc(late, func(by time.Duration) bool {
		off := time.Duration(k)*time.Second - by
		return min(a, b)-near <= off && off <= max(a, b)+near
	})
}

// at is by how much the system clock is ahead at a second, unless it is steered.
func (c *System) at(sec int) time.Duration {
	return c.Offset + time.Duration(c.PPM*1e-6*float64(sec)*1e9)
}

// opposed reports whether a system clock that nobody keeps is off by whole seconds to the
// end: nothing shows that it is not the labels.
func opposed(s *Site) bool {
	if s.System.Kept || s.System.NoRTC {
		return false
	}
	// The simulated clock counts leap seconds by the true table, and a step by the program's
	// table moves it off by a second. The kernel takes over the program's count.
	if s.System.Steered && s.Leap.At < 0 && !s.Leap.Known {
		return true
	}
	const most = 21 // s, of System.draw
	for k := -most; k <= most; k++ {
		off := k
		if s.Leap.At > 0 { // it does not execute the leap second
			off--
		}
		if k != 0 && (meets(s, k, s.end()-120, s.end()) || meets(s, off, s.end()-120, s.end())) {
			return true
		}
	}
	return false
}

// shown reports whether the system clock is right to the end, so that it shows labels that
// are wrong by whole seconds.
func shown(s *Site) bool {
	within := 18 * time.Millisecond // of 20 ms
	switch {
	case s.System.NoRTC, s.System.Steered:
		return false
	case s.System.Kept:
		within = 280 * time.Millisecond
	}
	far := max(s.System.at(0).Abs(), s.System.at(s.end()).Abs())
	for _, x := range s.displaced() {
		far += time.Duration(math.Abs(x.NS))
	}
	return far <= within
}
