package certs

import (
	"time"

	"noonmark/internal/durable"
)

// mark identifies the state of the two files of a pair.
type mark [2]durable.Fingerprint

// watched is a pair of files and what was seen of them.
type watched struct {
	pair     Pair
	seen     mark // of the files when they were last read
	again    bool // read them again although the mark is the same
	pending  mark // at which they were broken, not reported yet
	reported mark // at which they were broken, reported
}

// due reports whether the files should be read, and with which mark.
func (w *watched) due(now time.Time) (m mark, due bool) {
	young := false
	for i, p := range [...]string{w.pair.Cert, w.pair.Key} {
		m[i] = durable.FingerprintOf(p)
		young = young || !m[i].Settled(now)
	}
	due = m != w.seen || w.again
	w.seen, w.again = m, young
	return m, due
}

// report decides whether a failure at a mark is reported. The two files of a
// pair do not change at one instant, so what is broken at the first look gets a
// second one, unless the operator asked for this one.
func (w *watched) report(m mark, asked bool) bool {
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
