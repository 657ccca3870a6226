package refclock

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"noonmark/phc"
)

// ErrTimeout is wrapped by what a Patient clock returns while its driver does
// not answer.
var ErrTimeout = errors.New("the clock's driver does not answer")

// ClockPatience is how long a call may take: the slowest cards answer in
// milliseconds.
const ClockPatience = 500 * time.Millisecond

// maxHung is how many calls that never returned are waited for at once; each
// holds a thread of the system.
const maxHung = 4

// Patient makes an opener of clocks that cannot hold up their owner: a call that
// takes longer than limit returns ErrTimeout, and while it is on its way all
// others do at once. A driver can hang in its card's bus for seconds, or for
// ever, and no signal reaches it there. When the call comes back after all, the
// clock answers again; what it did late shows to who reads the clock.
func Patient(open func() (Clock, error), limit time.Duration) func() (Clock, error) {
	hung := new(atomic.Int32)
	return func() (Clock, error) {
		if hung.Load() >= maxHung {
			return nil, fmt.Errorf("open clock: %w: %d calls have not returned", ErrTimeout, maxHung)
		}
		p := &patient{limit: limit, hung: hung, turn: make(chan struct{}, 1)}
		c, err := await(p, "open clock", open, closeClock)
		if err != nil {
			return nil, err
		}
		p.clock = c
		return p, nil
	}
}

// patient is one clock that was opened so. It is for one goroutine.
type patient struct {
	clock Clock
	limit time.Duration
	hung  *atomic.Int32
	turn  chan struct{} // held by the call on its way
}

// await makes a call and waits for it for as long as is allowed. What comes too
// late is given to drop, which may be nil.
func await[T any](p *patient, what string, call func() (T, error), drop func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var none T
	select {
	case p.turn <- struct{}{}:
	default:
		return none, fmt.Errorf("%s: %w: an earlier call has not returned", what, ErrTimeout)
	}
	answer, late := make(chan result), make(chan struct{})
	go func() {
		var r result
		r.v, r.err = call()
		<-p.turn
		select {
		case answer <- r:
		case <-late:
			p.hung.Add(-1)
			if drop != nil && r.err == nil {
				drop(r.v)
			}
		}
	}()
	t := time.NewTimer(p.limit)
	defer t.Stop()
	select {
	case r := <-answer:
		return r.v, r.err
	case <-t.C:
		p.hung.Add(1)
		close(late)
		return none, fmt.Errorf("%s: %w within %v", what, ErrTimeout, p.limit)
	}
}

// do is await for calls that return nothing.
func (p *patient) do(what string, call func() error) error {
	_, err := await(p, what, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

// Cross reads the clock.
func (p *patient) Cross() (phc.Cross, error) { return await(p, "read clock", p.clock.Cross, nil) }

// Step adds delta to the clock. After ErrTimeout it may still happen.
func (p *patient) Step(delta time.Duration) error {
	return p.do("step clock", func() error { return p.clock.Step(delta) })
}

// AdjFreq sets the correction. After ErrTimeout it may still happen.
func (p *patient) AdjFreq(ppb float64) error {
	return p.do("set frequency of clock", func() error { return p.clock.AdjFreq(ppb) })
}

// FreqPPB returns the correction in force.
func (p *patient) FreqPPB() (float64, error) {
	return await(p, "read frequency of clock", p.clock.FreqPPB, nil)
}

// MaxFreq returns the largest correction.
func (p *patient) MaxFreq() float64 { return p.clock.MaxFreq() }

// Index returns N of /dev/ptpN, or -1.
func (p *patient) Index() int {
	if i, ok := p.clock.(interface{ Index() int }); ok {
		return i.Index()
	}
	return -1
}

// Close closes the clock when the call on its way has returned, and waits for
// neither.
func (p *patient) Close() error {
	go func() {
		p.turn <- struct{}{} // kept: nothing may be called after it
		closeClock(p.clock)
	}()
	return nil
}
