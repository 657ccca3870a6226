package clock

import (
	"fmt"
	"sync/atomic"
	"time"

	"noonmark/phc"
)

// CallTimeout is how long a call to a clock may take. The slowest cards answer
// within milliseconds.
const CallTimeout = 500 * time.Millisecond

// maxHung is how many calls may be outstanding that never returned. Each holds a
// thread of the system.
const maxHung = 4

// WithTimeout wraps an opener of clocks whose calls must not block their owner.
// A call that takes longer than limit returns ErrTimeout, and while it is
// outstanding all others do so at once. A driver can hang in its card's bus for
// seconds or for ever, and no signal reaches it there. When the call returns
// after all, the clock answers again; an effect that came late shows to whoever
// reads the clock.
func WithTimeout(open Opener, limit time.Duration) Opener {
	hung := new(atomic.Int32)
	return func() (Device, error) {
		if hung.Load() >= maxHung {
			return nil, fmt.Errorf("open clock: %w: %d calls have not returned", ErrTimeout, maxHung)
		}
		d := &timed{limit: limit, hung: hung, turn: make(chan struct{}, 1)}
		inner, err := await(d, "open clock", open, func(x Device) { Close(x) })
		if err != nil {
			return nil, err
		}
		d.dev = inner
		return d, nil
	}
}

// timed is a clock whose calls are limited in time. It is for one goroutine.
type timed struct {
	dev   Device
	limit time.Duration
	hung  *atomic.Int32
	turn  chan struct{} // held by the outstanding call
}

// await makes a call and waits for at most the limit. A result that comes too
// late is passed to drop, which may be nil.
func await[T any](d *timed, what string, call func() (T, error), drop func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var none T
	select {
	case d.turn <- struct{}{}:
	default:
		return none, fmt.Errorf("%s: %w: an earlier call has not returned", what, ErrTimeout)
	}
	answer, late := make(chan result), make(chan struct{})
	go func() {
		var r result
		r.v, r.err = call()
		<-d.turn
		select {
		case answer <- r:
		case <-late:
			d.hung.Add(-1)
			if drop != nil && r.err == nil {
				drop(r.v)
			}
		}
	}()
	t := time.NewTimer(d.limit)
	defer t.Stop()
	select {
	case r := <-answer:
		return r.v, r.err
	case <-t.C:
		d.hung.Add(1)
		close(late)
		return none, fmt.Errorf("%s: %w within %v", what, ErrTimeout, d.limit)
	}
}

// do is await for calls without a result.
func (d *timed) do(what string, call func() error) error {
	_, err := await(d, what, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

// Cross reads the clock.
func (d *timed) Cross() (phc.Cross, error) { return await(d, "read clock", d.dev.Cross, nil) }

// Step adds delta to the clock. After ErrTimeout it may still happen.
func (d *timed) Step(delta time.Duration) error {
	return d.do("step clock", func() error { return d.dev.Step(delta) })
}

// AdjFreq sets the correction. After ErrTimeout it may still happen.
func (d *timed) AdjFreq(ppb float64) error {
	return d.do("set frequency of clock", func() error { return d.dev.AdjFreq(ppb) })
}

// FreqPPB returns the correction in force.
func (d *timed) FreqPPB() (float64, error) {
	return await(d, "read frequency of clock", d.dev.FreqPPB, nil)
}

// MaxFreq returns the largest correction.
func (d *timed) MaxFreq() float64 { return d.dev.MaxFreq() }

// Index returns N of /dev/ptpN, or -1.
func (d *timed) Index() int { return Index(d.dev) }

// Close closes the clock once the outstanding call has returned. It waits for
// neither.
func (d *timed) Close() error {
	go func() {
		d.turn <- struct{}{} // never released: nothing may be called afterwards
		Close(d.dev)
	}()
	return nil
}
