package phctest

import (
	"fmt"
	"sync"
)

// Faults are what can be wrong with the device. The zero Faults are none. The
// methods may be called from several goroutines.
type Faults struct {
	mu   sync.Mutex // guards all below
	gone bool
	fail error
	left int // number of calls that still fail
	hung chan struct{}
}

// SetGone makes every call fail with ErrGone until it is called with false: a
// device that was unplugged.
func (x *Faults) SetGone(gone bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = gone
}

// FailNext makes the next n calls fail with err.
func (x *Faults) FailNext(n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left, x.fail = n, err
}

// Hang makes calls from now on wait until release is called: a driver whose card
// does not answer.
func (x *Faults) Hang() (release func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ch := make(chan struct{})
	x.hung = ch
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.hung = nil
		close(ch)
	}
}

// check waits while the device hangs, and returns the error of a call that does
// verb.
func (x *Faults) check(verb string) error {
	x.mu.Lock()
	ch := x.hung
	x.mu.Unlock()
	if ch != nil {
		<-ch
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return fmt.Errorf("%s clock: %w", verb, ErrGone)
	}
	if x.left > 0 {
		x.left--
		return fmt.Errorf("%s clock: %w", verb, x.fail)
	}
	return nil
}
