package refclock

import (
	"time"

	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
)

// inbox holds what other goroutines have for the engine's. Its methods are for
// any goroutine; of several values of a kind the latest wins.
type inbox struct {
	settings latest[Settings]
	alarms   latest[integrity.Alarm]
	confirms latest[time.Duration]
	relocks  latest[struct{}]
	port     latest[[]reason.Condition]
}

func newInbox() inbox {
	return inbox{make(latest[Settings], 1), make(latest[integrity.Alarm], 1), make(latest[time.Duration], 1), make(latest[struct{}], 1), make(latest[[]reason.Condition], 1)}
}

// latest hands over the latest of several values.
type latest[T any] chan T

func (l latest[T]) put(v T) {
	for {
		select {
		case l <- v:
			return
		default:
		}
		select {
		case <-l:
		default:
		}
	}
}

// Set changes the settings while Run runs.
func (b *inbox) Set(s Settings) { b.settings.put(s) }

// Alarm reports from outside that the reference is not to be trusted, and why;
// the zero value ends it.
func (b *inbox) Alarm(a integrity.Alarm) { b.alarms.put(a) }

// Confirm reports independent evidence that the clock is within d of true time.
func (b *inbox) Confirm(d time.Duration) { b.confirms.put(d) }

// PortConditions replaces the conditions of the receiver and its port, the one that
// explains most first.
func (b *inbox) PortConditions(c []reason.Condition) { b.port.put(c) }

// Relock discards the lock, on an operator's order: second and phase are acquired
// anew, jumps of the pulses that were followed are forgotten. What was learned of
// the oscillator stays.
func (b *inbox) Relock() { b.relocks.put(struct{}{}) }
