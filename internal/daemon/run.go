package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Daemon runs tasks as the service manager and the operator expect it. The
// zero value works.
type Daemon struct {
	Log *slog.Logger // slog.Default() if nil
	// Reload is called on SIGHUP, on a goroutine of its own, never twice at a
	// time. An error means that a part of the old configuration stays in force; it
	// is logged. After a reload, tasks that wait are run again at once. nil: SIGHUP
	// only writes a line to the log.
	Reload func(ctx context.Context) error
	// Settled is called once, when every task serves, waits or is off. Its error
	// ends the daemon. nil: nothing.
	Settled func() error
	// Alive is called before each message to the service manager's watchdog. While
	// it or a task's Stuck returns an error there is none, and the manager restarts
	// the daemon. nil: always alive.
	Alive func() error
	// Describe describes the daemon's work in a few words, for the service manager's
	// status line: it should change only if something worth reporting changed. nil:
	// the line lists only tasks.
	Describe func() string
	// States get the states of the tasks. nil: nobody watches them.
	States *States
	// StateFile is where the states are written as a Report, for other programs.
	// Empty: nowhere.
	StateFile string
	// Grace is how long tasks may take to end once asked; 10 s if zero.
	Grace time.Duration
	// Before is for what must succeed before the daemon opens anything: another Run
	// follows if this one has ended by itself, and STOPPING=1 is sent only when the daemon
	// was asked to stop.
	Before bool

	outside surroundings
}

// surroundings are what tests replace: the operator and the service manager.
type surroundings struct {
	signals  <-chan os.Signal // nil: those of the process
	notify   func(state string)
	watchdog time.Duration // interval that the service manager wants; 0: none
}

const (
	// defaultGrace is Daemon.Grace if that is zero.
	defaultGrace = 10 * time.Second
	// lookEvery is the interval between two looks at running tasks.
	lookEvery = time.Second
)

// ErrStuck is wrapped by the error of Run when tasks don't end within Grace.
var ErrStuck = errors.New("does not end")

// Run runs all tasks until a vital one fails, all are finished, ctx is done or
// SIGINT or SIGTERM arrives; a second such signal kills at once. READY=1 is sent
// when no task is starting any more. The error is that of the vital task or of
// Settled; a requested end is none.
func (d *Daemon) Run(ctx context.Context, tasks ...Task) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &runner{
		log: d.Log, alive: d.Alive, grace: d.Grace, outside: d.outside, settle: d.Settled,
		ctx: ctx, cancel: cancel, states: d.States, describe: d.Describe,
		reload: reloader{call: d.Reload, done: make(chan error, 1)},
		ended:  make([]bool, len(tasks)), events: make(chan event), over: make(chan struct{}),
	}
	defer close(r.over)
	for _, t := range tasks {
		r.tasks = append(r.tasks, newEntry(t))
		r.again = append(r.again, make(chan struct{}, 1))
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.states == nil {
		r.states = new(States)
	}
	r.states.start(r.tasks)
	if r.grace == 0 {
		r.grace = defaultGrace
	}
	if r.outside.signals == nil {
		c := make(chan os.Signal, 4)
		signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(c)
		r.outside.signals, r.secondKills = c, true
	}
	if r.outside.notify == nil {
		r.outside.notify = notify
		r.outside.watchdog, _ = daemon.SdWatchdogEnabled(false)
	}
	if notify := r.outside.notify; d.Before {
		r.outside.notify = func(state string) {
			if state != daemon.SdNotifyStopping || ctx.Err() != nil {
				notify(state)
			}
		}
	}
	if d.StateFile != "" {
		f := newStateFile(d.StateFile, r.log)
		defer f.close()
		r.file = f
	}
	return r.run()
}

// runner is one call of Run. Apart from the channels it is for one goroutine.
type runner struct {
	log      *slog.Logger
	alive    func() error
	describe func() string // nil: nothing to say but the tasks
	settle   func() error
	grace    time.Duration
	outside  surroundings
	ctx      context.Context
	cancel   context.CancelFunc

	tasks  []entry
	again  []chan struct{} // by task: run it again at once
	ended  []bool          // by task
	events chan event
	over   chan struct{} // closed when nobody receives events any more
	first  error         // why the daemon ends
	reload reloader

	states  *States
	file    *stateFile // nil: none
	summary string     // as it was sent last
	settled bool       // and READY=1 was sent

	secondKills bool // a second signal to stop has its default action
}

// reloader keeps reloads apart.
type reloader struct {
	call    func(context.Context) error // nil: there is nothing to reload
	done    chan error
	running bool
	again   bool // SIGHUP came while one was running
}

func (r *runner) run() error {
	for i := range r.tasks {
		go r.supervise(i)
	}
	var beat <-chan time.Time
	if r.outside.watchdog > 0 {
		t := time.NewTicker(r.outside.watchdog / 2)
		defer t.Stop()
		beat = t.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	stopping, done := (<-chan time.Time)(nil), r.ctx.Done()
	for running := len(r.tasks); running > 0; {
		select {
		case e := <-r.events:
			r.happened(e)
			if e.kind == taskEnded {
				running--
			}
		case <-look.C:
			r.look()
		case s := <-r.outside.signals:
			r.signal(s)
		case err := <-r.reload.done:
			r.reloaded(err)
		case <-beat:
			r.heartbeat()
		case <-done:
			done = nil
			r.outside.notify(daemon.SdNotifyStopping)
			stopping = time.After(r.grace)
		case <-stopping:
			return errors.Join(r.first, fmt.Errorf("%s %w within %v", r.names(func(i int) bool { return !r.ended[i] }), ErrStuck, r.grace))
		}
	}
	if done != nil { // the last task ended before its end was noticed
		r.outside.notify(daemon.SdNotifyStopping)
	}
	return r.first
}

// happened takes an event of a task.
func (r *runner) happened(e event) {
	name := r.tasks[e.task].String()
	switch e.kind {
	case taskStarted:
		if s, _ := r.states.of(e.task); s != Waiting { // what waits is not shown as starting at each attempt
			r.states.set(e.task, Starting, nil, time.Time{})
		}
		return // the next event, or the next look, announces more
	case taskReady:
		state, why := r.tasks[e.task].observe()
		r.change(e.task, state, why)
		if state == Waiting {
			r.waits(e.task, why)
		}
	case taskFailed:
		r.states.failed(e.task)
		r.states.set(e.task, Waiting, e.err, e.next)
		if e.log {
			r.log.Warn("task failed, it is tried again", "task", name, "error", e.err, "attempt", e.attempt, "next", e.next.UTC().Format(time.RFC3339))
			r.tasks[e.task].logged = e.err.Error()
		}
	case taskEnded:
		r.ended[e.task] = true
		r.states.set(e.task, Off, nil, time.Time{})
		r.taskEnded(e)
	}
	r.announce()
}

// taskEnded handles the end of a task that is not run again: an error ends the
// daemon. One more attempt that fails just when the daemon is asked to end is no such
// error: the task would have been tried again.
func (r *runner) taskEnded(e event) {
	t, err := &r.tasks[e.task], e.err
	name := t.String()
	switch {
	case err == nil, r.ctx.Err() != nil && errors.Is(err, context.Canceled):
		return
	case !t.vital && !e.served:
		r.log.Warn("task failed, and is not tried again: the daemon ends", "task", name, "error", err)
		return
	case r.first == nil:
		r.first = fmt.Errorf("%s: %w", name, err)
	default:
		r.log.Error("task failed while stopping", "task", name, "error", err)
	}
	r.cancel()
}

// look updates the states of the running tasks.
func (r *runner) look() {
	for i := range r.tasks {
		if s, runs := r.states.of(i); runs && s != Starting && s != Off {
			state, why := r.tasks[i].observe()
			r.change(i, state, why)
			if left := r.tasks[i].leftOut; state == Waiting && !left.IsZero() && time.Since(left) > lasted {
				r.logWait(i, why)
			}
		}
	}
	r.announce()
}

// change sets the state of a running task, and logs it.
func (r *runner) change(i int, state State, why error) {
	was := r.states.set(i, state, why, time.Time{})
	if was == state {
		return
	}
	name := r.tasks[i].String()
	switch {
	case state == Stuck:
		r.log.Error("task is stuck", "task", name, "error", why)
	case state == Waiting:
		r.logWait(i, why)
	case was != Starting:
		r.log.Info("task serves again", "task", name)
		t := &r.tasks[i]
		t.logged, t.leftOut = "", time.Time{}
		t.reasons.Reset()
	}
}

// waits logs why a task that became ready waits, unless the log says it: it failed with another
// reason, or the log left that out. A reason that changes with each attempt is logged as seldom
// as failures are, and the last one after lasted.
func (r *runner) waits(i int, why error) {
	t := &r.tasks[i]
	t.leftOut = time.Time{}
	if why.Error() == t.logged {
		return
	}
	if _, log := t.reasons.Failed(); log {
		r.logWait(i, why)
	} else {
		t.leftOut = time.Now()
	}
}

// logWait logs why a task waits although it runs.
func (r *runner) logWait(i int, why error) {
	r.log.Warn("task waits", "task", r.tasks[i].String(), "error", why)
	r.tasks[i].logged, r.tasks[i].leftOut = why.Error(), time.Time{}
}

// announce tells the service manager and other programs the states, if they have
// changed, and once that no task is starting any more.
func (r *runner) announce() {
	if r.ctx.Err() != nil {
		return
	}
	if !r.settled && r.in(Starting) == "" {
		r.settled = true
		if r.settle != nil {
			if err := r.settle(); err != nil {
				r.first = err
				r.cancel()
				return
			}
		}
		r.log.Info("ready", "tasks", r.in(Serving), "waiting", r.in(Waiting))
		r.summary = r.summarise()
		r.outside.notify(daemon.SdNotifyReady + "\n" + status(r.summary))
	} else if s := r.summarise(); s != r.summary {
		r.summary = s
		r.outside.notify(status(s))
	} else {
		return
	}
	if r.file != nil {
		r.file.write(r.states.List())
	}
}

// summarise is the service manager's status line.
func (r *runner) summarise() string {
	tasks := r.states.summary()
	if r.describe == nil {
		return tasks
	}
	return r.describe() + "; " + tasks
}

func (r *runner) signal(s os.Signal) {
	switch {
	case s == syscall.SIGHUP && r.reload.call == nil:
		r.log.Info("nothing to reload", "signal", s.String())
	case s == syscall.SIGHUP:
		r.startReload()
	default:
		r.log.Info("stopping", "signal", s.String())
		if r.secondKills {
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
		}
		r.cancel()
	}
}

// startReload starts a reload, or notes that another one is due.
func (r *runner) startReload() {
	switch {
	case r.reload.running:
		r.reload.again = true
	case r.ctx.Err() == nil:
		r.reload.running = true
		r.outside.notify(reloading())
		go func() { r.reload.done <- r.reload.call(r.ctx) }()
	}
}

func (r *runner) reloaded(err error) {
	r.reload.running = false
	if err != nil {
		r.log.Error("reload failed, what the error names stays as it was", "error", err)
	} else {
		r.log.Info("reloaded")
	}
	r.retryAll()
	if r.settled {
		r.outside.notify(daemon.SdNotifyReady)
	}
	if r.reload.again {
		r.reload.again = false
		r.startReload()
	}
}

// heartbeat tells the watchdog that the daemon works, if it does.
func (r *runner) heartbeat() {
	var errs []error
	if r.alive != nil {
		errs = append(errs, r.alive())
	}
	for i, t := range r.tasks {
		if t.stuck == nil || t.spared || r.ended[i] {
			continue
		}
		if err := t.stuck(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.log.Error("watchdog is not fed", "error", err)
		return
	}
	r.outside.notify(daemon.SdNotifyWatchdog)
}

// in lists the tasks in a state.
func (r *runner) in(state State) string {
	return r.names(func(i int) bool { s, _ := r.states.of(i); return s == state })
}

// names lists some of the tasks.
func (r *runner) names(which func(i int) bool) string {
	var n []string
	for i, t := range r.tasks {
		if which(i) {
			n = append(n, t.String())
		}
	}
	return strings.Join(n, ", ")
}

// notify tells the service manager, if there is one. A failure is no reason to
// stop serving time.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// status is the state to notify for a text that the service manager shows.
func status(text string) string { return "STATUS=" + text }

// reloading is the state to notify while a configuration is being reloaded
// (Type=notify-reload wants the time of it).
func reloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }
