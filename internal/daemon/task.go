package daemon

import "context"

// Task is one long-running part of a daemon.
type Task interface {
	// Run works until ctx is done. Returning nil earlier means it is finished;
	// an error ends the daemon.
	Run(ctx context.Context) error
	// Ready is closed once the task does its work, or does all it can while
	// hardware is missing. nil means ready at once.
	Ready() <-chan struct{}
	// String names it in logs.
	String() string
}

// Func makes a Task of a function that is ready at once.
func Func(name string, run func(ctx context.Context) error) Task { return &funcTask{name, run} }

type funcTask struct {
	name string
	run  func(ctx context.Context) error
}

func (t *funcTask) Run(ctx context.Context) error { return t.run(ctx) }
func (t *funcTask) Ready() <-chan struct{}        { return nil }
func (t *funcTask) String() string                { return t.name }

// After makes a Task that calls f once the others are ready. It is ready when f
// has returned without an error, so READY=1 waits for it.
func After(name string, others []Task, f func() error) Task {
	return &afterTask{name, others, f, make(chan struct{})}
}

type afterTask struct {
	name   string
	others []Task
	f      func() error
	ready  chan struct{}
}

func (t *afterTask) Run(ctx context.Context) error {
	if !waitReady(ctx, t.others) {
		return nil
	}
	if err := t.f(); err != nil {
		return err
	}
	close(t.ready)
	return nil
}
func (t *afterTask) Ready() <-chan struct{} { return t.ready }
func (t *afterTask) String() string         { return t.name }

// waitReady waits until all tasks are ready; false if ctx ended before.
func waitReady(ctx context.Context, tasks []Task) bool {
	for _, t := range tasks {
		c := t.Ready()
		if c == nil {
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
