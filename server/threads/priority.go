// Package threads sets the priority of the process that answers requests, and of its
// threads. A thread that loses its processor between reading the clock and sending
// makes a transmit timestamp early by that time.
package threads

import "fmt"

// Priority is how much the kernel prefers what answers to others.
type Priority uint8

// Name is the name that Realtime threads have, as `top -H` shows it. The first thread
// of the process keeps the name of the program.
const Name = "ntp-answers"

// Priorities.
const (
	Normal Priority = iota // that of the process
	// High is that of all threads of the process. The Go scheduler moves a goroutine
	// from one thread to another, so that a thread of a lower priority would delay it
	// on a busy machine.
	High
	Realtime // SCHED_FIFO for threads that answer: above all that are not real-time; High for the others
)

var priorityNames = [...]string{"normal", "high", "realtime"}

// String returns the word for the priority in the configuration.
func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return "invalid"
}

// ParsePriority is the inverse of String.
func ParsePriority(s string) (Priority, error) {
	for i, n := range priorityNames {
		if n == s {
			return Priority(i), nil
		}
	}
	return 0, fmt.Errorf("priority %q is unknown", s)
}
