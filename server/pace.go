package server

import (
	"time"

	"noonmark/server/transport"
)

// pace measures how fast requests come.
type pace struct {
	interval int64 // ns from one request to the next, smoothed
	last     int64 // CLOCK_MONOTONIC_RAW of the last batch, answered or not, ns
}

const (
	// When requests come every gatherInterval ns or faster, waking up for each
	// costs more than answering it. The worker then lets gatherCount of them gather, for
	// minGather to maxGather, as a network card moderates its interrupts. Timestamps stay
	// correct: the wait lies between the receive and the transmit timestamp. A client
	// whose crystal is off by 100 ppm gains an error of 100 ns in maxGather. Where nothing
	// was answered, nobody waits: unansweredCount gather, for maxUnanswered at most.
	gatherInterval = int64(200 * time.Microsecond)
	gatherCount    = 16
	minGather      = 400 * time.Microsecond
	maxGather      = time.Millisecond

	unansweredCount = transport.BatchLen * 7 / 8
	maxUnanswered   = 3 * maxGather
	// idleInterval is the largest interval that is averaged, so that load is
	// detected soon after a pause, ns.
	idleInterval = 8 * gatherInterval
)

// gather returns, after a batch of n that began at mono (CLOCK_MONOTONIC_RAW, ns) and had so
// many answers, how long to let requests gather. That saves processor time if they come fast
// and do not fill a batch anyway; otherwise it is 0.
func (p *pace) gather(n, answers int, mono int64) time.Duration {
	each := (mono - p.last) / int64(n)
	p.last = mono
	p.interval += (min(each, idleInterval) - p.interval) / 8
	if !p.fast() || n == transport.BatchLen {
		return 0
	}
	count, longest := int64(gatherCount), maxGather
	if answers == 0 {
		count, longest = unansweredCount, maxUnanswered
	}
	return min(max(time.Duration(count*p.interval), minGather), longest)
}

// fast reports whether requests come fast.
func (p *pace) fast() bool { return p.interval < gatherInterval }
