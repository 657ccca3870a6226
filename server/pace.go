package server

import (
	"time"

	"noonmark/server/transport"
)

// pace measures how fast requests come.
type pace struct {
	interval int64 // ns from one request to the next, smoothed
	last     int64 // CLOCK_MONOTONIC_RAW of the answers of the last batch, ns
}

const (
	// When requests come every gatherInterval ns or faster, waking up for each
	// costs more than answering it. The worker then lets them gather for gatherFor,
	// as a network card moderates its interrupts. Timestamps stay correct: the wait
	// lies between the receive and the transmit timestamp. A client whose crystal is
	// off by 100 ppm gains an error of 40 ns in that time.
	gatherInterval = int64(200 * time.Microsecond)
	gatherFor      = 400 * time.Microsecond
	// idleInterval is the largest interval that is averaged, so that load is
	// detected soon after a pause, ns.
	idleInterval = 8 * gatherInterval
)

// busy reports, after a batch of n that was answered at mono
// (CLOCK_MONOTONIC_RAW, ns), whether gathering requests saves processor time: they
// come fast and do not fill a batch anyway.
func (p *pace) busy(n int, mono int64) bool {
	each := (mono - p.last) / int64(n)
	p.last = mono
	p.interval += (min(each, idleInterval) - p.interval) / 8
	return p.fast() && n < transport.BatchLen
}

// fast reports whether requests come fast.
func (p *pace) fast() bool { return p.interval < gatherInterval }
