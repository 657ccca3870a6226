package server

import "noonmark/server/ntp"

// Sent remembers, for the interleaved mode of RFC 9769, when answers left: the
// transmit timestamp under the receive timestamp they carried. Its memory is
// fixed; a new entry takes the place of another, whose client then gets a
// basic answer, as the RFC has it for a server that forgot. No entry belongs
// to an address.
//
// Only answers to clients that seem to interleave are remembered: their origin
// timestamp is a receive timestamp of ours, which has its lowest bit set where
// a transmit timestamp of ours has it clear. The first such request finds
// nothing and gets a basic answer; from the second on the mode works.
type Sent struct {
	e []sent
}

type sent struct {
	rx, tx ntp.Timestamp // tx == 0: told already
	dist   ntp.Short     // what was told of the clock then: see distance
}

// sentBits is the binary logarithm of the number of entries: 4096 entries of
// 24 octets serve as many interleaving clients per worker.
const sentBits = 12

// NewSent returns an empty table.
func NewSent() *Sent { return &Sent{e: make([]sent, 1<<sentBits)} }

// slot spreads receive timestamps over the table. The multiplier is 2^64
// divided by the golden ratio.
func (s *Sent) slot(rx ntp.Timestamp) *sent {
	return &s.e[uint64(rx>>1)*0x9e3779b97f4a7c15>>(64-sentBits)]
}

// Get returns the transmit timestamp kept under rx.
func (s *Sent) Get(rx ntp.Timestamp) (tx ntp.Timestamp, ok bool) {
	e := s.slot(rx)
	return e.tx, e.rx == rx && e.tx != 0
}

// Has reports whether rx is a key, also one whose transmit timestamp was told.
func (s *Sent) Has(rx ntp.Timestamp) bool { return s.slot(rx).rx == rx }

// Take is Get for the last time: a receive timestamp leads to one interleaved
// answer and no other (RFC 9769, section 2).
// With it comes the root distance that was told with rx.
func (s *Sent) Take(rx ntp.Timestamp) (tx ntp.Timestamp, dist ntp.Short, ok bool) {
	if tx, ok = s.Get(rx); ok {
		e := s.slot(rx)
		e.tx, dist = 0, e.dist
	}
	return tx, dist, ok
}

// Put keeps tx under rx, and the root distance told with it.
func (s *Sent) Put(rx, tx ntp.Timestamp, dist ntp.Short) { *s.slot(rx) = sent{rx, tx, dist} }

// Forget empties the table: its timestamps are of a clock that has moved since,
// and no answer of now could say how good they are.
func (s *Sent) Forget() { clear(s.e) }

// Correct replaces the transmit timestamp under rx by a better one, if it is
// still kept.
func (s *Sent) Correct(rx, tx ntp.Timestamp) {
	if e := s.slot(rx); e.rx == rx && e.tx != 0 {
		e.tx = tx &^ markRx
	}
}

// markRx is the bit that tells our receive timestamps (set) from our transmit
// timestamps (clear); it is worth a quarter of a nanosecond.
const markRx ntp.Timestamp = 1
