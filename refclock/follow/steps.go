package follow

import (
	"errors"
	"fmt"
	"time"

	"noonmark/refclock/clock"
)

// Steps says when a Follower may step its clock.
type Steps uint8

// The policies.
const (
	StepAcquiring Steps = iota // whenever it has to find the clock anew
	StepStart                  // only until it was locked for the first time
	StepNever
)

// UnmarshalText accepts acquiring, start and never.
func (s *Steps) UnmarshalText(b []byte) error {
	for i, n := range [...]string{"acquiring", "start", "never"} {
		if n == string(b) {
			*s = Steps(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a step policy; want \"acquiring\", \"start\" or \"never\"", b)
}

// ErrStepPolicy is wrapped where a step was needed and is not allowed.
var ErrStepPolicy = errors.New("a step is needed that the configuration does not allow")

// limited is a clock that may be stepped only as the policy allows.
type limited struct {
	clock.Device
	f *Follower
}

// Step steps if the policy allows it.
func (l *limited) Step(d time.Duration) error {
	if p := l.f.cfg.Steps; p == StepNever || p == StepStart && l.f.locked {
		return fmt.Errorf("%w: %v", ErrStepPolicy, d)
	}
	return l.Device.Step(d)
}

// Index returns N of /dev/ptpN, or -1.
func (l *limited) Index() int { return clock.Index(l.Device) }

// Close closes the clock. The system clock has no Close.
func (l *limited) Close() error { return clock.Close(l.Device) }
