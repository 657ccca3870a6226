package daemon

import (
	"time"

	"noonmark/internal/retry"
)

// event is something that happened to a task.
type event struct {
	task int
	kind eventKind
	err  error // of failed and ended

	served bool // of ended: the last run did its work

	// Of failed.
	attempt int       // failures in a row, from 1
	log     bool      // the failure is to be logged
	next    time.Time // when the task is run again
}

// eventKind is the kind of an event.
type eventKind uint8

const (
	taskStarted eventKind = iota // it runs, and is not ready yet
	taskReady                    // it does its work
	taskFailed                   // it is run again later
	taskEnded                    // it is not run again
)

// lasted is how long a run must have lasted for the next failure to be the first
// of a new series.
const lasted = time.Minute

// supervise runs a task until ctx is done, the task is finished, or a vital task
// has failed.
func (r *runner) supervise(i int) {
	t, back, failed := &r.tasks[i], retry.Backoff{}, false
	for {
		r.emit(event{task: i, kind: taskStarted})
		begun := time.Now()
		served, err := r.runOnce(i, failed)
		failed = true
		if err == nil || r.ctx.Err() != nil || t.vital {
			r.emit(event{task: i, kind: taskEnded, err: err, served: served})
			return
		}
		if time.Since(begun) > lasted {
			back.Reset()
		}
		wait := back.Next()
		n, log := back.Failed()
		r.emit(event{task: i, kind: taskFailed, err: err, attempt: n, log: log, next: time.Now().Add(wait)})
		if !r.pause(i, wait) {
			r.emit(event{task: i, kind: taskEnded})
			return
		}
	}
}

// runOnce runs a task, reports when it is ready, and returns whether it was. After a
// failure, a task that does not say when it is ready counts as ready once it has run for
// a while.
func (r *runner) runOnce(i int, failed bool) (served bool, err error) {
	t := &r.tasks[i]
	var ready <-chan struct{}
	if t.ready != nil {
		ready = t.ready()
	}
	var proven <-chan time.Time
	switch {
	case ready != nil:
	case failed:
		timer := time.NewTimer(lookEvery)
		defer timer.Stop()
		proven = timer.C
	default:
		served = true
		r.emit(event{task: i, kind: taskReady})
	}
	done := make(chan error, 1)
	go func() { done <- t.Run(r.ctx) }()
	began, err := follow(ready, proven, done, func() { r.emit(event{task: i, kind: taskReady}) })
	return served || began, err
}

// follow waits for the end of a run. It calls work when the run becomes ready, and returns whether
// it was.
func follow(ready <-chan struct{}, proven <-chan time.Time, done <-chan error, work func()) (served bool, err error) {
	for {
		select {
		case <-ready:
			ready, served = nil, true
			work()
		case <-proven:
			proven, served = nil, true
			work()
		case err := <-done:
			select {
			case <-ready: // before its end: of two channels that are ready, select takes any
				served = true
				work()
			default:
			}
			return served, err
		}
	}
}

// pause waits before a task is run again; false if ctx ended.
func (r *runner) pause(i int, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
		return false
	case <-timer.C:
	case <-r.tasks[i].retry:
	case <-r.again[i]:
	}
	return true
}

// emit hands an event to the loop, unless that has given up waiting for tasks.
func (r *runner) emit(e event) {
	select {
	case r.events <- e:
	case <-r.over:
	}
}

// retryAll runs the tasks that wait at once.
func (r *runner) retryAll() {
	for _, c := range r.again {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// observe returns the state of a task that runs, and why it waits or hangs.
func (e *entry) observe() (State, error) {
	if e.stuck != nil {
		if err := e.stuck(); err != nil {
			return Stuck, err
		}
	}
	if e.waiting != nil {
		if err := e.waiting(); err != nil {
			return Waiting, err
		}
	}
	return Serving, nil
}
