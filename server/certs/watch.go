package certs

import (
	"time"

	"noonmark/internal/durable"
)

// pairState identifies the content of the two files of a pair.
type pairState [2]durable.Fingerprint

// watched is a pair of files and their states.
type watched struct {
	pair     Pair
	seen     pairState // when they were last read
	again    bool      // read them again although the state is the same
	pending  pairState // invalid, not yet reported
	reported pairState // invalid, reported
	refused  error     // why the files are not in use; they are read again even if nothing seems to have changed
}

// due returns the state of the files and whether they should be read.
func (w *watched) due(now time.Time) (m pairState, due bool) {
	young := false
	for i, p := range [...]string{w.pair.Cert, w.pair.Key} {
		m[i] = durable.FingerprintOf(p)
		young = young || !m[i].Settled(now)
	}
	due = m != w.seen || w.again
	w.seen, w.again = m, young
	return m, due
}

// report decides whether an invalid state is reported. The two files of a pair do not
// change at the same instant, so they are read a second time before that, unless the
// operator asked for this reading.
func (w *watched) report(m pairState, asked bool) bool {
	if !asked && w.reported == m {
		return false
	}
	if !asked && w.pending != m {
		w.pending, w.again = m, true
		return false
	}
	w.reported = m
	return true
}
