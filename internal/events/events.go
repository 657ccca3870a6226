// Package events keeps what happened to an appliance as lines of JSON: changes of
// state with their reason, steps, holdovers, leap seconds, reloads, alarms, starts.
// One process writes (Log), any number read (Read, Tail).
//
// Files of one directory: events.jsonl, and the older events.1.jsonl to
// events.4.jsonl.
package events

import (
	"time"
)

// Kind is the kind of an event.
type Kind string

// The kinds.
const (
	Start    Kind = "start"    // the daemon started
	Stop     Kind = "stop"     // it ended because it was asked to
	State    Kind = "state"    // the state or its reason changed: State, Was, Reason
	Step     Kind = "step"     // the clock was stepped: StepNS
	Holdover Kind = "holdover" // a holdover ended: DurationS, BoundNS, OffsetNS, Reason, State
	Leap     Kind = "leap"     // a leap second was announced, withdrawn or happened: Sign, At, TAIOffset
	Reload   Kind = "reload"   // the configuration was read again: Detail has the error, if any
	Alarm    Kind = "alarm"    // something that lasts began, or ended: Reason, Name, Detail, DurationS
	Task     Kind = "task"     // a part of the daemon does not work, or works again: Name, Detail
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Start, Stop, State, Step, Holdover, Leap, Reload, Alarm, Task} }

// Event is something that happened. Which fields are set depends on the kind. Its
// JSON keys are a contract: they only grow.
type Event struct {
	Time time.Time `json:"time"` // UTC: of the clock once it is labelled, before that of the system
	Kind Kind      `json:"kind"`
	Text string    `json:"text"` // for people

	State  string `json:"state,omitempty"`  // the new state
	Was    string `json:"was,omitempty"`    // the state before
	Reason string `json:"reason,omitempty"` // of a state or holdover: why; of an alarm: what it is
	Name   string `json:"name,omitempty"`   // of the witness, pulse, clock or task
	Detail string `json:"detail,omitempty"` // what was seen
	Remedy string `json:"remedy,omitempty"` // what an operator can do
	Ended  bool   `json:"ended,omitempty"`  // an alarm ended, a task serves again

	DurationS *float64   `json:"duration_s,omitempty"` // how long it lasted
	BoundNS   *int64     `json:"bound_ns,omitempty"`   // the largest bound in that time
	OffsetNS  *float64   `json:"offset_ns,omitempty"`  // of a holdover: the first measurement after it, clock - reference
	StepNS    *int64     `json:"step_ns,omitempty"`    // + = clock set forward
	Sign      int        `json:"leap_sign,omitempty"`  // +1: a second is inserted, -1: deleted
	At        *time.Time `json:"at,omitempty"`         // when the leap second takes effect, UTC
	TAIOffset int        `json:"tai_offset_s,omitempty"`

	// Suppressed is how many events before this one were not written, because there
	// were too many.
	Suppressed uint64 `json:"suppressed,omitempty"`
}
