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

	"noonmark/internal/exitcode"
)

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

// Daemon runs tasks as the service manager and the operator expect it. The
// zero value works.
type Daemon struct {
	Log *slog.Logger // slog.Default() if nil
	// Reload is called on SIGHUP, on a goroutine of its own, never twice at a
	// time. An error means that the old configuration stays in force; it is
	// logged. nil: SIGHUP is ignored with a line in the log.
	Reload func(ctx context.Context) error
	// Alive is asked before each sign of life to the service manager's
	// watchdog. While it returns an error there is none, and the manager
	// restarts the daemon. nil: always alive.
	Alive func() error
	// Grace is how long tasks may take to end once asked; 10 s if zero.
	Grace time.Duration

	signals  <-chan os.Signal // injected by tests
	notify   func(state string)
	watchdog time.Duration
}

// ErrStuck is wrapped by the error of Run when tasks don't end within Grace.
var ErrStuck = errors.New("does not end")

// Run runs the tasks with the default Daemon.
func Run(ctx context.Context, tasks ...Task) error { return new(Daemon).Run(ctx, tasks...) }

// Run runs all tasks until the first fails, all are finished, ctx is done or
// SIGINT or SIGTERM arrives; a second such signal kills at once. READY=1 goes
// out when all tasks are ready. The error is the first task's; being asked to
// stop is none.
func (d *Daemon) Run(ctx context.Context, tasks ...Task) error {
	log := d.Log
	if log == nil {
		log = slog.Default()
	}
	signals := d.signals
	if signals == nil {
		c := make(chan os.Signal, 4)
		signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(c)
		signals = c
	}
	notify, watchdog := d.notify, d.watchdog
	if notify == nil {
		notify = Notify
		watchdog, _ = daemon.SdWatchdogEnabled(false)
	}
	grace := d.Grace
	if grace == 0 {
		grace = 10 * time.Second
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(tasks))
	for i, t := range tasks {
		go func() { results <- result{i, t.Run(ctx)} }()
	}
	ready := make(chan struct{})
	go func() {
		if waitReady(ctx, tasks) {
			close(ready)
		}
	}()
	var beat <-chan time.Time
	if watchdog > 0 {
		t := time.NewTicker(watchdog / 2)
		defer t.Stop()
		beat = t.C
	}

	var (
		first     error
		running   = len(tasks)
		ended     = make([]bool, len(tasks))
		done      = ctx.Done()
		stuck     <-chan time.Time
		reloading bool
		again     bool // another SIGHUP came during a reload
		reloaded  = make(chan error, 1)
		isReady   bool
	)
	reload := func() {
		reloading = true
		notify(Reloading())
		go func() { reloaded <- d.Reload(ctx) }()
	}
	for running > 0 {
		select {
		case r := <-results:
			running--
			ended[r.i] = true
			if r.err != nil && (ctx.Err() == nil || !errors.Is(r.err, context.Canceled)) {
				if first == nil {
					first = fmt.Errorf("%s: %w", tasks[r.i], r.err)
				} else {
					log.Error("task failed while stopping", "task", tasks[r.i].String(), "error", r.err)
				}
				cancel()
			}
		case <-ready:
			ready, isReady = nil, true
			notify(daemon.SdNotifyReady)
			log.Info("ready", "tasks", names(tasks, nil))
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP && d.Reload == nil:
				log.Info("nothing to reload", "signal", s.String())
			case s == syscall.SIGHUP && reloading:
				again = true
			case s == syscall.SIGHUP && ctx.Err() == nil:
				reload()
			case s == syscall.SIGHUP:
			default:
				log.Info("stopping", "signal", s.String())
				if d.signals == nil {
					signal.Reset(syscall.SIGINT, syscall.SIGTERM) // the next one kills
				}
				cancel()
			}
		case err := <-reloaded:
			reloading = false
			if err != nil {
				log.Error("reload refused, the old configuration stays in force", "error", err)
			} else {
				log.Info("reloaded")
			}
			if isReady {
				notify(daemon.SdNotifyReady)
			}
			if again && ctx.Err() == nil {
				again = false
				reload()
			}
		case <-beat:
			if d.Alive != nil {
				if err := d.Alive(); err != nil {
					log.Error("no sign of life for the watchdog", "error", err)
					continue
				}
			}
			notify(daemon.SdNotifyWatchdog)
		case <-done:
			done = nil
			notify(daemon.SdNotifyStopping)
			stuck = time.After(grace)
		case <-stuck:
			return errors.Join(first, fmt.Errorf("%s %w within %v", names(tasks, ended), ErrStuck, grace))
		}
	}
	if done != nil { // the last task ended before its end was noticed
		notify(daemon.SdNotifyStopping)
	}
	return first
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

// Notify tells the service manager, if there is one. That it cannot be told
// is no reason to stop serving time.
func Notify(state string) { _, _ = daemon.SdNotify(false, state) }

// Reloading is the state to notify while a configuration is being reloaded
// (Type=notify-reload wants the time of it).
func Reloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }

// Status notifies one line for people, shown by systemctl status.
func Status(format string, args ...any) {
	Notify("STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// Exit maps the error of a daemon to its exit code (sysexits.h).
func Exit(err error) int {
	if errors.Is(err, ErrDone) {
		return exitcode.OK
	}
	return exitcode.Of(err)
}

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

// Func makes a Task of a function that is ready at once.
func Func(name string, run func(ctx context.Context) error) Task { return &funcTask{name, run} }

type funcTask struct {
	name string
	run  func(ctx context.Context) error
}

func (t *funcTask) Run(ctx context.Context) error { return t.run(ctx) }
func (t *funcTask) Ready() <-chan struct{}        { return nil }
func (t *funcTask) String() string                { return t.name }
