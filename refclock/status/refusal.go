package status

import "errors"

// Refusal is why there is no snapshot to use. Its Error is for people, Word is the
// label of a metric.
type Refusal uint8

// The refusals.
const (
	ErrNone        Refusal = iota + 1 // nothing is published
	ErrNotFile                        // something else than a file is in its place
	ErrFormat                         // another format, or another version of it
	ErrBusy                           // the writer died while writing
	ErrOldBoot                        // it is from before the last boot
	ErrSlept                          // it is from before the machine slept
	ErrOtherClock                     // the monotonic clocks of its writer are not those of this process
	ErrImplausible                    // a value is impossible
	numRefusals
)

var refusals = [numRefusals]struct{ word, text string }{
	ErrNone:        {"none", "no snapshot: refclockd has not published one"},
	ErrNotFile:     {"not_a_file", "snapshot is not a regular file"},
	ErrFormat:      {"format", "snapshot has another format version"},
	ErrBusy:        {"busy", "snapshot is always being written"},
	ErrOldBoot:     {"old_boot", "snapshot is from before the last boot"},
	ErrSlept:       {"slept", "snapshot is from before the machine slept"},
	ErrOtherClock:  {"other_clock", "snapshot is of another time namespace: its clocks are shifted against those of this process; run both programs in the same one"},
	ErrImplausible: {"implausible", "snapshot is implausible"},
}

// Error says what is wrong.
func (r Refusal) Error() string { return refusals[r].text }

// Word is the label of the metric.
func (r Refusal) Word() string { return refusals[r].word }

// Refusals returns all refusals.
func Refusals() (all []Refusal) {
	for r := ErrNone; r < numRefusals; r++ {
		all = append(all, r)
	}
	return all
}

// RefusalOf returns the refusal that an error of this package wraps; ErrNone for
// any other error.
func RefusalOf(err error) Refusal {
	var r Refusal
	var i Implausible
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &i):
		return ErrImplausible
	}
	return ErrNone
}
