package daemon

import (
	"context"
	"time"

	"noonmark/internal/retry"
)

// Task is one long-running part of a daemon. Tasks fail apart: one that cannot
// start, or dies, is run again after a delay, and the others go on.
//
// A task may also have these methods:
//
//	Ready() <-chan struct{}   called before each Run; closed once the task does its
//	                          work, or does all it can while hardware is missing;
//	                          without it, a task serves as soon as it runs
//	Waiting() error           why the task waits although it runs; nil while it serves
//	Stuck() error             why the watchdog must not be fed: the task hangs
//	Hanging() error           the same of a task without which the others go on, and whose
//	                          work a new process begins with: the watchdog is fed
//	Retry() <-chan struct{}   receives when it is worth running a failed task again
//	                          at once
//
// Waiting, Stuck and Hanging are called every second and must not block.
type Task interface {
	// Run works until ctx is done. Returning nil earlier means that there is
	// nothing left to do. After an error it is called again.
	Run(ctx context.Context) error
	// String names it in logs and metrics.
	String() string
}

// Func makes a Task of a function.
func Func(name string, run func(ctx context.Context) error) Task { return &funcTask{name, run} }

type funcTask struct {
	name string
	run  func(ctx context.Context) error
}

func (t *funcTask) Run(ctx context.Context) error { return t.run(ctx) }
func (t *funcTask) String() string                { return t.name }

// Vital marks a task whose error ends the daemon, because only a new process can
// repair it.
func Vital(t Task) Task { return vital{t} }

type vital struct{ Task }

// entry is a task with the optional methods that it has.
type entry struct {
	Task
	vital   bool
	ready   func() <-chan struct{} // nil: serves as soon as it runs
	waiting func() error           // nil: serves while it runs
	stuck   func() error           // nil: not known
	spared  bool                   // the watchdog is fed while it is stuck
	retry   <-chan struct{}        // nil: none
	logged  string                 // why it does not serve, as the log says; empty: it says nothing
	reasons retry.Backoff          // counts those for which it waited at the begin of a run, and which were new
	leftOut time.Time              // when one of them was not logged; zero: the log has the last one
}

func newEntry(t Task) entry {
	v, isVital := t.(vital)
	if isVital {
		t = v.Task
	}
	e := entry{Task: t, vital: isVital}
	if x, ok := t.(interface{ Ready() <-chan struct{} }); ok {
		e.ready = x.Ready
	}
	if x, ok := t.(interface{ Waiting() error }); ok {
		e.waiting = x.Waiting
	}
	if x, ok := t.(interface{ Stuck() error }); ok {
		e.stuck = x.Stuck
	} else if x, ok := t.(interface{ Hanging() error }); ok {
		e.stuck, e.spared = x.Hanging, true
	}
	if x, ok := t.(interface{ Retry() <-chan struct{} }); ok {
		e.retry = x.Retry()
	}
	return e
}
