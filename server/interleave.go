package server

import "noonmark/server/ntp"

// Sent stores when answers left, for the interleaved mode of RFC 9769: the
// transmit timestamp, by the receive timestamp in the answer. Its memory is
// fixed. A new entry may replace another, whose client then gets a basic answer,
// as the RFC provides for a server without the timestamp. No entry belongs to an
// address.
//
// Only answers to clients that seem to use interleaved mode are stored: their
// origin timestamp is one of our receive timestamps, which have the lowest bit
// set; our transmit timestamps have it clear. The first such request finds
// nothing and gets a basic answer; from the second on, answers are interleaved.
type Sent struct {
	e []sent
}

type sent struct {
	rx, tx ntp.Timestamp // tx == 0: used already
	dist   ntp.Short     // root distance in that answer: rootDistance
}

// sentBits is the binary logarithm of the number of entries: 4096 entries of 24
// octets serve as many interleaved clients per worker.
const sentBits = 12

// NewSent returns an empty table.
func NewSent() *Sent { return &Sent{e: make([]sent, 1<<sentBits)} }

// slot distributes receive timestamps over the table. The multiplier is 2^64
// divided by the golden ratio.
func (s *Sent) slot(rx ntp.Timestamp) *sent {
	return &s.e[uint64(rx>>1)*0x9e3779b97f4a7c15>>(64-sentBits)]
}

// Get returns the transmit timestamp of the answer with receive timestamp rx.
func (s *Sent) Get(rx ntp.Timestamp) (tx ntp.Timestamp, ok bool) {
	e := s.slot(rx)
	return e.tx, e.rx == rx && e.tx != 0
}

// Has reports whether rx is a key, also if its transmit timestamp was used.
func (s *Sent) Has(rx ntp.Timestamp) bool { return s.slot(rx).rx == rx }

// Take is Get for the last time: a receive timestamp is used for one interleaved
// answer (RFC 9769, section 2). dist is the root distance in the answer with rx.
func (s *Sent) Take(rx ntp.Timestamp) (tx ntp.Timestamp, dist ntp.Short, ok bool) {
	if tx, ok = s.Get(rx); ok {
		e := s.slot(rx)
		e.tx, dist = 0, e.dist
	}
	return tx, dist, ok
}

// Put stores the transmit timestamp and the root distance of the answer with rx.
func (s *Sent) Put(rx, tx ntp.Timestamp, dist ntp.Short) { *s.slot(rx) = sent{rx, tx, dist} }

// Clear empties the table, after the clock has moved: no answer could report the
// quality of timestamps from before.
func (s *Sent) Clear() { clear(s.e) }

// Correct replaces the transmit timestamp of the answer with rx by a better one,
// if it is still stored and unused.
func (s *Sent) Correct(rx, tx ntp.Timestamp) {
	if e := s.slot(rx); e.rx == rx && e.tx != 0 {
		e.tx = tx &^ markRx
	}
}

// markRx is set in our receive timestamps and clear in our transmit timestamps.
// It is worth a quarter of a nanosecond.
const markRx ntp.Timestamp = 1
