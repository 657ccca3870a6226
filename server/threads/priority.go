// Package threads sets the priority of the threads that answer requests. A
// thread that loses its processor between reading the clock and sending makes a
// transmit timestamp early by that time.
package threads

import "fmt"

// Priority is how much the kernel prefers an answering thread to others.
type Priority uint8

// Name is the name that Raise gives a thread, as `top -H` shows it. The first
// thread of the process keeps the name of the program.
const Name = "ntp-answers"

// Priorities.
const (
	Normal   Priority = iota // that of the process
	High                     // above all other threads of the process
	Realtime                 // SCHED_FIFO: above all threads that are not real-time
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
