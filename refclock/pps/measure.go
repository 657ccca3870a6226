package pps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Bench measures a Bias: it reads both stamps of each pulse and both clocks.
type Bench struct {
	Kernel Source                    // stamps by CLOCK_REALTIME
	Card   Source                    // external timestamps of a PTP clock
	Cross  func() (phc.Cross, error) // reads that clock
	Every  time.Duration             // between readings of the clocks
}

// lastStamp is how long the card's last stamp may take to arrive (CM4: 0.3 s).
const lastStamp = time.Second

// Measure reads until n kernel stamps have come or ctx ends, and returns the
// Bias of what was read, or the error of a source that failed. It waits for its
// goroutines.
func (b *Bench) Measure(ctx context.Context, n int) (Bias, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards cal
	var cal Calibration
	var wg sync.WaitGroup
	read := func(s Source, put func(Edge) (done bool)) {
		wg.Go(func() {
			for done := false; !done; {
				e, err := s.Next(ctx)
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					cancel(fmt.Errorf("%s: %w", s, err))
					return
				}
				mu.Lock()
				done = put(e)
				mu.Unlock()
			}
		})
	}
	got, enough := 0, make(chan struct{})
	read(b.Kernel, func(e Edge) bool {
		cal.Kernel(e.Stamp)
		if got++; got == n {
			close(enough)
		}
		return got >= n
	})
	read(b.Card, func(e Edge) bool {
		cal.Card(tai.Time(e.Stamp))
		return false
	})
	t := time.NewTicker(b.Every)
	defer t.Stop()
	var end <-chan time.Time
	for going := true; going; {
		x, err := b.Cross()
		if err != nil {
			cancel(err)
		} else {
			mu.Lock()
			cal.Cross(x)
			mu.Unlock()
		}
		select {
		case <-ctx.Done():
			going = false
		case <-enough:
			enough, end = nil, time.After(lastStamp)
		case <-end:
			going = false
		case <-t.C:
		}
	}
	why := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	if why != nil && !errors.Is(why, context.Canceled) {
		return Bias{}, why
	}
	return cal.Bias()
}
