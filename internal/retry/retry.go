// Package retry spaces repeated attempts to open or reach something that may
// be missing for long, and limits what is logged about them. It starts no
// goroutine and logs nothing.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// First is the delay after the first failure: a device that re-enumerates
	// on its bus is back within a second.
	First = 500 * time.Millisecond
	// Max is the longest delay. Hardware that comes back is in use after at
	// most this time.
	Max = 15 * time.Second
	// logEvery is the period of the log in attempts once Max is reached: about
	// four minutes.
	logEvery = 16
)

// Backoff doubles the delay between attempts from First to Max and counts the
// failures. The zero value is ready. It is for one goroutine.
type Backoff struct {
	delay    time.Duration
	failures int
}

// Next returns the delay before the next attempt.
func (b *Backoff) Next() time.Duration {
	b.delay = min(max(2*b.delay, First), Max)
	return b.delay
}

// Jitter returns a random delay from half of d to d, so that many that failed at once do
// not repeat at once.
func Jitter(d time.Duration) time.Duration { return d/2 + rand.N(max(d/2, 1)) }

// StartSpread is how long the first request of one of many waits at most. Of 200 nodes
// that get their power back at once, a server sees 200 first requests a second.
const StartSpread = time.Second

// Stagger waits for a random part of StartSpread, or until ctx ends.
func Stagger(ctx context.Context) { Sleep(ctx, rand.N(StartSpread)) }

// Failed counts a failed attempt. It returns the number of failures since the
// last Reset, from 1, and whether this one should be logged: the failures 1, 2,
// 4, 8, 16 and every 16th are.
func (b *Backoff) Failed() (attempt int, log bool) {
	b.failures++
	n := b.failures
	return n, n%logEvery == 0 || n < logEvery && n&(n-1) == 0
}

// Reset starts again from First and from attempt 1, after a success.
func (b *Backoff) Reset() { *b = Backoff{} }

// Sleep waits for d or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
