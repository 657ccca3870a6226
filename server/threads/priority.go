package threads

import "fmt"

// Priority says how much the kernel shall prefer a thread that answers to those
// that do anything else: a thread that loses its processor between the reading
// of the clock and the sending makes an answer's timestamp early by as long.
type Priority uint8

// ThreadName is the name that Raise gives a thread, as `top -H` shows it; not the
// first of the process, whose name is that of the program.
const ThreadName = "ntp-answers"

// Priorities.
const (
	Normal   Priority = iota // as the process was started
	High                     // before all other threads of the process
	Realtime                 // before everything that is not a real-time thread (SCHED_FIFO)
)

var priorityNames = [...]string{"normal", "high", "realtime"}

// String returns the priority's word in configuration.
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
	return 0, fmt.Errorf("priority %q is not known", s)
}
