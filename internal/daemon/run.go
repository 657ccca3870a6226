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
	// time. An error means that the old configuration stays in force; it is
	// logged. nil: SIGHUP only writes a line to the log.
	Reload func(ctx context.Context) error
	// Alive is called before each message to the service manager's watchdog. While
	// it returns an error there is none, and the manager restarts the daemon. nil:
	// always alive.
	Alive func() error
	// Grace is how long tasks may take to end once asked; 10 s if zero.
	Grace time.Duration

	outside surroundings
}

// surroundings are what tests replace: the operator and the service manager.
type surroundings struct {
	signals  <-chan os.Signal // nil: those of the process
	notify   func(state string)
	watchdog time.Duration // interval that the service manager wants; 0: none
}

// defaultGrace is Daemon.Grace if that is zero.
const defaultGrace = 10 * time.Second

// ErrStuck is wrapped by the error of Run when tasks don't end within Grace.
var ErrStuck = errors.New("does not end")

// Run runs all tasks until the first fails, all are finished, ctx is done or
// SIGINT or SIGTERM arrives; a second such signal kills at once. READY=1 is sent
// when all tasks are ready. The error is the first task's; a requested end is
// none.
func (d *Daemon) Run(ctx context.Context, tasks ...Task) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &runner{
		log: d.Log, alive: d.Alive, grace: d.Grace, outside: d.outside,
		ctx: ctx, cancel: cancel, tasks: tasks,
		reload: reloader{call: d.Reload, done: make(chan error, 1)},
		ended:  make([]bool, len(tasks)), results: make(chan result, len(tasks)), ready: make(chan struct{}),
	}
	if r.log == nil {
		r.log = slog.Default()
	}
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
	return r.run()
}

// runner is one call of Run. Apart from the channels it is for one goroutine.
type runner struct {
	log     *slog.Logger
	alive   func() error
	grace   time.Duration
	outside surroundings
	ctx     context.Context
	cancel  context.CancelFunc

	tasks   []Task
	ended   []bool // by task
	first   error  // of a task
	results chan result
	ready   chan struct{} // closed once all tasks are ready
	isReady bool          // and that was sent
	reload  reloader

	secondKills bool // a second signal to stop has its default action
}

// result is the end of a task.
type result struct {
	task int
	err  error
}

// reloader keeps reloads apart.
type reloader struct {
	call    func(context.Context) error // nil: there is nothing to reload
	done    chan error
	running bool
	again   bool // SIGHUP came while one was running
}

func (r *runner) run() error {
	r.start()
	var beat <-chan time.Time
	if r.outside.watchdog > 0 {
		t := time.NewTicker(r.outside.watchdog / 2)
		defer t.Stop()
		beat = t.C
	}
	stopping, ready, done := (<-chan time.Time)(nil), (<-chan struct{})(r.ready), r.ctx.Done()
	for running := len(r.tasks); running > 0; {
		select {
		case x := <-r.results:
			running--
			r.taskEnded(x)
		case <-ready:
			ready, r.isReady = nil, true
			r.outside.notify(daemon.SdNotifyReady)
			r.log.Info("ready", "tasks", names(r.tasks, nil))
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
			return errors.Join(r.first, fmt.Errorf("%s %w within %v", names(r.tasks, r.ended), ErrStuck, r.grace))
		}
	}
	if done != nil { // the last task ended before its end was noticed
		r.outside.notify(daemon.SdNotifyStopping)
	}
	return r.first
}

// start starts the tasks and waits for them to be ready.
func (r *runner) start() {
	for i, t := range r.tasks {
		go func() { r.results <- result{i, t.Run(r.ctx)} }()
	}
	go func() {
		if waitReady(r.ctx, r.tasks) {
			close(r.ready)
		}
	}()
}

// taskEnded handles the end of a task: an error ends the daemon.
func (r *runner) taskEnded(x result) {
	r.ended[x.task] = true
	if x.err == nil || r.ctx.Err() != nil && errors.Is(x.err, context.Canceled) {
		return
	}
	if r.first == nil {
		r.first = fmt.Errorf("%s: %w", r.tasks[x.task], x.err)
	} else {
		r.log.Error("task failed while stopping", "task", r.tasks[x.task].String(), "error", x.err)
	}
	r.cancel()
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
		r.log.Error("reload refused, the old configuration stays in force", "error", err)
	} else {
		r.log.Info("reloaded")
	}
	if r.isReady {
		r.outside.notify(daemon.SdNotifyReady)
	}
	if r.reload.again {
		r.reload.again = false
		r.startReload()
	}
}

// heartbeat tells the watchdog that the daemon works, if it does.
func (r *runner) heartbeat() {
	if r.alive != nil {
		if err := r.alive(); err != nil {
			r.log.Error("watchdog is not fed", "error", err)
			return
		}
	}
	r.outside.notify(daemon.SdNotifyWatchdog)
}

// names lists the tasks that have not ended.
func names(tasks []Task, ended []bool) string {
	var n []string
	for i, t := range tasks {
		if ended == nil || !ended[i] {
			n = append(n, t.String())
		}
	}
	return strings.Join(n, ", ")
}

// notify tells the service manager, if there is one. A failure is no reason to
// stop serving time.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// reloading is the state to notify while a configuration is being reloaded
// (Type=notify-reload wants the time of it).
func reloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }
