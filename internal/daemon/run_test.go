package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/retry"
)

// fake is a task whose behaviour the test chooses.
type fake struct {
	name  string
	never bool // never ready
	run   func(ctx context.Context) error
}

func (f *fake) Run(ctx context.Context) error { return f.run(ctx) }
func (f *fake) String() string                { return f.name }

// Ready is ready at once, or returns a channel that is never closed, made in the
// caller's bubble.
func (f *fake) Ready() <-chan struct{} {
	if f.never {
		return make(chan struct{})
	}
	return nil
}

func untilDone(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// attempts is a task that waits until an attempt succeeds.
type attempts struct {
	fake
	left int // that fail; negative: all do
}

func (a *attempts) Run(context.Context) error {
	if a.left != 0 {
		a.left--
		return errors.New("not yet")
	}
	return nil
}

// What comes before the daemon's own tasks is shown as waiting, and its end is no end of
// the daemon unless somebody has asked for that.
func TestRunBeforeAnother(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		left     int
		stop     bool
		notified string
	}{
		{"it succeeds after a while", 5, false, "READY=1"},
		{"it is asked to stop", -1, true, "READY=1 STOPPING=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.Before = true
				if c.stop {
					go func() { time.Sleep(time.Minute); r.sig <- syscall.SIGTERM }()
				}
				if err := r.Run(t.Context(), &attempts{fake{name: "a", never: true}, c.left}); err != nil {
					t.Error(err)
				}
				if r.notified() != c.notified || !strings.Contains(r.log.String(), "waiting=a") {
					t.Errorf("notified %q, want %q\n%s", r.notified(), c.notified, &r.log)
				}
			})
		})
	}
}

// rig is a Daemon whose signals and notifications the test provides.
type rig struct {
	Daemon
	sig    chan os.Signal
	mu     sync.Mutex
	states []string // first line of each notification, but for status texts
	status string   // the last status text
	log    bytes.Buffer
}

func newRig() *rig {
	r := &rig{sig: make(chan os.Signal)}
	r.Log = NewTo(&r.log, "test", config.Log{}, true)
	r.outside.signals = r.sig
	r.outside.notify = func(s string) {
		s, more, _ := strings.Cut(s, "\n")
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, l := range []string{s, more} {
			if text, ok := strings.CutPrefix(l, "STATUS="); ok {
				r.status = text
			}
		}
		if strings.HasPrefix(s, "STATUS=") {
			return
		}
		r.states = append(r.states, s)
	}
	return r
}

func (r *rig) statusText() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *rig) notified() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.states, " ")
}

// laterAttempt is a task whose first run fails at once, and whose next one fails when it is
// asked to end, before it is ready.
func laterAttempt(err error) Task {
	first := true
	return &fake{"b", true, func(ctx context.Context) error {
		if !first {
			<-ctx.Done()
		}
		first = false
		return err
	}}
}

func TestRunEndsWithAVitalErrorOrOnRequest(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	later := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
		return boom
	}
	tests := []struct {
		name     string
		tasks    []Task
		stop     os.Signal // sent after a second, if not nil
		want     string    // of the error
		is       error
		notified string
	}{
		{"a vital task fails at once", []Task{&fake{"a", false, untilDone}, Vital(&fake{"b", true, func(context.Context) error { return boom }})}, nil, "b: boom", boom, "STOPPING=1"},
		{"a vital task fails later", []Task{&fake{"a", false, untilDone}, Vital(&fake{"b", false, later})}, nil, "b: boom", boom, "READY=1 STOPPING=1"},
		{"two fail", []Task{&fake{"a", false, func(ctx context.Context) error { <-ctx.Done(); return errors.New("late") }}, Vital(&fake{"b", false, later})}, nil, "b: boom", boom, "READY=1 STOPPING=1"},
		{"a task hangs", []Task{&fake{"a", false, untilDone}, &fake{"b", false, func(context.Context) error { time.Sleep(time.Hour); return nil }}}, syscall.SIGTERM, "b does not end within 10s", ErrStuck, "READY=1 STOPPING=1"},
		{"never ready", []Task{&fake{"a", true, untilDone}}, syscall.SIGINT, "", nil, "STOPPING=1"},
		{"an attempt fails while stopping", []Task{&fake{"a", false, untilDone}, &fake{"b", true, func(ctx context.Context) error { <-ctx.Done(); return boom }}}, syscall.SIGTERM, "", nil, "STOPPING=1"},
		{"a later attempt fails while stopping", []Task{&fake{"a", false, untilDone}, laterAttempt(boom)}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"a vital attempt fails while stopping", []Task{&fake{"a", false, untilDone}, Vital(&fake{"b", true, func(ctx context.Context) error { <-ctx.Done(); return boom }})}, syscall.SIGTERM, "b: boom", boom, "STOPPING=1"},
		{"fails while stopping", []Task{&fake{"a", false, func(ctx context.Context) error { <-ctx.Done(); return boom }}}, syscall.SIGTERM, "a: boom", boom, "READY=1 STOPPING=1"},
		{"SIGTERM", []Task{&fake{"a", false, untilDone}, &fake{"b", false, untilDone}}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"SIGTERM while a task waits to be run again", []Task{&fake{"a", false, untilDone}, &fake{"b", false, func(context.Context) error { return boom }}}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"SIGINT", []Task{&fake{"a", false, untilDone}}, os.Interrupt, "", nil, "READY=1 STOPPING=1"},
		{"one finishes, one goes on", []Task{&fake{"a", false, func(context.Context) error { return nil }}, &fake{"b", false, untilDone}}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"all finish", []Task{&fake{"a", false, func(context.Context) error { time.Sleep(time.Second); return nil }}}, nil, "", nil, "READY=1 STOPPING=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				if tt.stop != nil {
					go func() { time.Sleep(time.Second + time.Millisecond); r.sig <- tt.stop }()
				}
				err := r.Run(t.Context(), tt.tasks...)
				if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if s := r.notified(); s != tt.notified {
					t.Errorf("notified %q, want %q", s, tt.notified)
				}
				if tt.name == "a task hangs" {
					time.Sleep(2 * time.Hour) // let it end: the bubble waits for all
				}
			})
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		r := newRig()
		if err := r.Run(ctx, &fake{"a", false, untilDone}); err != nil || r.notified() != "READY=1 STOPPING=1" {
			t.Errorf("got %v after %q", err, r.notified())
		}
	})
}

func TestReloadsDoNotOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var calls int
		r.Reload = func(ctx context.Context) error {
			calls++
			time.Sleep(time.Second)
			if calls == 1 {
				return errors.New("f.toml:3: no")
			}
			return nil
		}
		go func() {
			synctest.Wait()
			for range 3 { // the second and third come during the first and make one more
				r.sig <- syscall.SIGHUP
			}
			time.Sleep(time.Minute)
			r.sig <- syscall.SIGTERM
		}()
		if err := r.Run(t.Context(), &fake{"a", false, untilDone}); err != nil {
			t.Error(err)
		}
		if calls != 2 {
			t.Errorf("%d reloads, want 2", calls)
		}
		if want := "READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1 STOPPING=1"; r.notified() != want {
			t.Errorf("notified %q, want %q", r.notified(), want)
		}
		if s := r.log.String(); !strings.Contains(s, `msg="reload failed, what the error names stays as it was" error="f.toml:3: no"`) || !strings.Contains(s, "msg=reloaded") {
			t.Errorf("log:\n%s", s)
		}
	})
}

// What must wait for all tasks, such as giving up privileges, waits for those that
// start, and not for those that cannot.
func TestSettledWaitsForTasksThatStart(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		other    Task
		settled  error
		ran      bool
		notified string
		is       error
	}{
		{"a task is never ready", &fake{"a", true, untilDone}, nil, false, "STOPPING=1", nil},
		{"it fails", &fake{"a", false, untilDone}, boom, true, "STOPPING=1", boom},
		{"it succeeds", &fake{"a", false, untilDone}, nil, true, "READY=1 STOPPING=1", nil},
		{"a task cannot start", &fake{"a", true, func(context.Context) error { return boom }}, nil, true, "READY=1 STOPPING=1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, ran := newRig(), false
				r.Settled = func() error { ran = true; return c.settled }
				time.AfterFunc(time.Second+time.Millisecond, func() {
					select {
					case r.sig <- syscall.SIGTERM:
					case <-t.Context().Done():
					}
				})
				err := r.Run(t.Context(), c.other)
				if !errors.Is(err, c.is) || ran != c.ran || r.notified() != c.notified {
					t.Errorf("got %v, ran %v, notified %q; want %v, %v, %q", err, ran, r.notified(), c.is, c.ran, c.notified)
				}
			})
		})
	}
}

// flaky is a task that fails a number of times, then serves and says so.
type flaky struct {
	failures int
	again    chan struct{}

	mu    sync.Mutex // guards what follows
	runs  []time.Time
	ready chan struct{}
	waits error // of Waiting; under the test's control between two looks
	stuck error // of Stuck
}

// locked runs f while no goroutine of the daemon looks at the task.
func (f *flaky) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// at returns when the task was run.
func (f *flaky) at() (runs []time.Time) {
	f.locked(func() { runs = slices.Clone(f.runs) })
	return runs
}

func (f *flaky) String() string         { return "flaky" }
func (f *flaky) Retry() <-chan struct{} { return f.again }
func (f *flaky) Waiting() (err error)   { f.locked(func() { err = f.waits }); return err }
func (f *flaky) Stuck() (err error)     { f.locked(func() { err = f.stuck }); return err }
func (f *flaky) Ready() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = make(chan struct{})
	return f.ready
}
func (f *flaky) Run(ctx context.Context) error {
	n := 0
	f.locked(func() { f.runs = append(f.runs, time.Now()); n = len(f.runs) })
	if n <= f.failures {
		return fmt.Errorf("no address, run %d", n)
	}
	f.locked(func() { close(f.ready) })
	return untilDone(ctx)
}

// A task that cannot start is tried again with a growing delay, others go on, and
// everybody who watches sees its state.
func TestTasksFailApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, states := newRig(), new(States)
		f := &flaky{failures: 4}
		path := filepath.Join(t.TempDir(), StateFileName)
		r.States, r.StateFile = states, path
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context(), &fake{"a", false, untilDone}, f) }()
		synctest.Wait()
		if l := states.List(); l[0].State != "serving" || l[1].State != "waiting" || l[1].Why != "no address, run 1" || !l[1].Next.Equal(time.Now().Add(retry.First)) || l[1].Failures != 1 {
			t.Errorf("after the first failure: %+v", l)
		}
		if r.notified() != "READY=1" || r.statusText() != "1 of 2 tasks serve; flaky waiting: no address, run 1" {
			t.Errorf("notified %q, status %q", r.notified(), r.statusText())
		}
		if b, err := os.ReadFile(path); err != nil {
			t.Error(err)
		} else if x, err := ParseReport(b); err != nil || x.PID != os.Getpid() || len(x.Tasks) != 2 || x.Tasks[1].Why == "" {
			t.Errorf("%s: %v", b, err)
		}
		start := f.at()[0]
		time.Sleep(10 * time.Second)
		var at []time.Duration
		for _, x := range f.at() {
			at = append(at, x.Sub(start))
		}
		if want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond}; !slices.Equal(at, want) {
			t.Errorf("runs at %v, want %v", at, want)
		}
		if l := states.List(); l[1].State != "serving" || l[1].Why != "" || !l[1].Next.IsZero() || l[1].Failures != 4 || r.statusText() != "2 tasks serve" {
			t.Errorf("at the end: %+v, %q", l, r.statusText())
		}
		r.sig <- syscall.SIGTERM
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the file of states stays behind")
		}
		for _, want := range []string{"run 1", "run 2", "run 4", `msg="task serves again" task=flaky`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &r.log)
			}
		}
	})
}

// What made a task fail may be over long before its next attempt.
func TestRetryAndReloadRunAFailedTaskAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.Reload = func(context.Context) error { return nil }
		f := &flaky{failures: 100, again: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context(), f) }()
		time.Sleep(time.Minute + time.Millisecond) // attempts are 15 s apart
		n := len(f.at())
		f.again <- struct{}{}
		synctest.Wait()
		if len(f.at()) != n+1 {
			t.Errorf("%d runs after Retry, want %d", len(f.at()), n+1)
		}
		r.sig <- syscall.SIGHUP
		synctest.Wait()
		if len(f.at()) != n+2 {
			t.Errorf("%d runs after a reload, want %d", len(f.at()), n+2)
		}
		r.sig <- syscall.SIGTERM
		<-done
	})
}

// spared is a task without which the others go on.
type spared struct{ Task }

func (spared) Hanging() error { return errors.New("stuck for 9s") }

// A new process would begin with the work at which such a task hangs, and take away what
// still goes on.
func TestTheWatchdogIsFedWhileASparedTaskHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, states := newRig(), new(States)
		r.States, r.outside.watchdog = states, 2*time.Second
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context(), spared{&fake{"a", false, untilDone}}) }()
		time.Sleep(4 * time.Second)
		if l := states.List()[0]; l.State != "stuck" || l.Why != "stuck for 9s" {
			t.Errorf("%+v", l)
		}
		if n := strings.Count(r.notified(), "WATCHDOG=1"); n == 0 {
			t.Error("the watchdog is not fed")
		}
		r.sig <- syscall.SIGTERM
		<-done
	})
}

func TestWaitingAndStuckTasksAreSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, states := newRig(), new(States)
		r.States, r.outside.watchdog = states, 2*time.Second
		f := &flaky{}
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context(), f) }()
		time.Sleep(1500 * time.Millisecond)
		for _, c := range []struct {
			waits, stuck error
			state, why   string
			fed          bool
		}{
			{nil, nil, "serving", "", true},
			{errors.New("address is missing"), nil, "waiting", "address is missing", true},
			{errors.New("address is missing"), errors.New("stuck for 9s"), "stuck", "stuck for 9s", false},
			{nil, nil, "serving", "", true},
		} {
			f.locked(func() { f.waits, f.stuck = c.waits, c.stuck })
			before := strings.Count(r.notified(), "WATCHDOG=1")
			time.Sleep(2 * time.Second)
			if l := states.List()[0]; l.State != c.state || l.Why != c.why {
				t.Errorf("%+v, want %s %q", l, c.state, c.why)
			}
			if fed := strings.Count(r.notified(), "WATCHDOG=1") > before; fed != c.fed {
				t.Errorf("%s: the watchdog is fed: %v", c.state, fed)
			}
		}
		r.sig <- syscall.SIGTERM
		<-done
		for _, want := range []string{`level=WARN msg="task waits" task=flaky error="address is missing"`, `level=ERROR msg="task is stuck"`, `msg="watchdog is not fed" error="flaky: stuck for 9s"`, `msg="task serves again"`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &r.log)
			}
		}
	})
}

// Of failures in a row, the third is not logged. If the task then runs and waits for the
// same reason, nothing else would say it.
func TestReasonOfATaskThatWaitsIsInTheLogOnce(t *testing.T) {
	t.Parallel()
	for failures := range 5 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			why := fmt.Sprintf("no address, run %d", failures)
			f := &flaky{failures: failures, waits: errors.New(why)}
			done := make(chan error, 1)
			go func() { done <- r.Run(t.Context(), f) }()
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := strings.Count(r.log.String(), fmt.Sprintf("error=%q", why)); n != 1 {
				t.Errorf("after %d failures the log says %d times why the task waits:\n%s", failures, n, &r.log)
			}
			f.locked(func() { f.waits = nil })
			time.Sleep(time.Minute)
			synctest.Wait()
			f.locked(func() { f.waits = errors.New(why) })
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := strings.Count(r.log.String(), fmt.Sprintf("error=%q", why)); n != 2 {
				t.Errorf("after %d failures the log says %d times why the task waits again:\n%s", failures, n, &r.log)
			}
			r.sig <- syscall.SIGTERM
			<-done
		})
	}
}

// phases is a task that fails and then waits, each time with another text, until it stays.
type phases struct {
	flaky
	stays int // the run that does not fail
	long  time.Duration
}

func (p *phases) Run(ctx context.Context) error {
	n := 0
	p.locked(func() {
		p.runs = append(p.runs, time.Now())
		n = len(p.runs)
		p.waits = fmt.Errorf("no device, run %d", n)
		close(p.ready)
	})
	if n == p.stays {
		return untilDone(ctx)
	}
	select {
	case <-ctx.Done():
	case <-time.After(p.long):
	}
	return fmt.Errorf("lost device, run %d", n)
}

// A reason that changes with each attempt is logged as seldom as failures are. That of the run
// that stays is in the log, and once.
func TestReasonsThatChangeAreLoggedSeldom(t *testing.T) {
	t.Parallel()
	for _, stays := range []int{97, 100} { // the one is logged at once, the other later
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			f := &phases{stays: stays, long: time.Second}
			done := make(chan error, 1)
			go func() { done <- r.Run(t.Context(), f) }()
			for len(f.at()) < stays {
				time.Sleep(time.Second)
			}
			want := 1 // the first, which changes the state
			var b retry.Backoff
			for range stays - 1 {
				if _, log := b.Failed(); log {
					want++
				}
			}
			time.Sleep(3 * time.Minute)
			r.sig <- syscall.SIGTERM
			<-done
			if n := strings.Count(r.log.String(), "task waits"); n > want+1 { // and the last, later
				t.Errorf("%d attempts: %d lines say why the task waits, want at most %d", stays, n, want+1)
			}
			if n := strings.Count(r.log.String(), fmt.Sprintf("no device, run %d\"", stays)); n != 1 {
				t.Errorf("%d lines say why the last run waits, want one:\n%s", n, &r.log)
			}
		})
	}
}

// A task may fail in the instant in which it has become ready. It has done its work, and at a stop
// its error is one of the daemon.
func TestATaskThatFailsOnceReadyWasReady(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for range 100 { // of two channels that are ready, select takes any
		ready, done, calls := make(chan struct{}), make(chan error, 1), 0
		close(ready)
		done <- boom
		served, err := follow(ready, nil, done, func() { calls++ })
		if !served || !errors.Is(err, boom) || calls != 1 {
			t.Fatalf("served: %t, reported %d times, error %v", served, calls, err)
		}
	}
}

func TestSIGHUPWithoutAReloadIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		go func() { r.sig <- syscall.SIGHUP; r.sig <- syscall.SIGTERM }()
		if err := r.Run(t.Context(), &fake{"a", false, untilDone}); err != nil || !strings.Contains(r.log.String(), "nothing to reload") {
			t.Errorf("got %v, log:\n%s", err, &r.log)
		}
	})
}

func TestWatchdogIsFedWhileAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.outside.watchdog = 2 * time.Second
		start := time.Now()
		r.Alive = func() error { // dies after 3.5 s
			if time.Since(start) > 3500*time.Millisecond {
				return errors.New("engine stuck")
			}
			return nil
		}
		time.AfterFunc(10500*time.Millisecond, func() { r.sig <- syscall.SIGTERM })
		if err := r.Run(t.Context(), &fake{"a", false, untilDone}); err != nil {
			t.Error(err)
		}
		if want := "READY=1 WATCHDOG=1 WATCHDOG=1 WATCHDOG=1 STOPPING=1"; r.notified() != want {
			t.Errorf("notified %q, want %q", r.notified(), want)
		}
		if n := strings.Count(r.log.String(), "engine stuck"); n != 7 {
			t.Errorf("%d errors, want 7", n)
		}
	})
}

// The real signals and the real notification socket, once.
func TestRunWithRealSignalsAndNotifySocket(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Skip("needs unix datagram sockets:", err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", sock)
	t.Setenv("WATCHDOG_USEC", "")
	reloads := make(chan struct{}, 1)
	d := Daemon{Log: slog.New(slog.DiscardHandler), Reload: func(context.Context) error { reloads <- struct{}{}; return nil }}
	done := make(chan error)
	go func() { done <- d.Run(context.Background(), &fake{"a", false, untilDone}) }()
	read := func() string {
		b := make([]byte, 256)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if s := read(); s != "READY=1\nSTATUS=1 tasks serve" {
		t.Fatalf("notified %q, want READY=1 and a status", s)
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if s := read(); !strings.HasPrefix(s, "RELOADING=1\n") {
		t.Fatalf("notified %q, want RELOADING=1", s)
	}
	<-reloads
	if s := read(); s != "READY=1" {
		t.Fatalf("notified %q, want READY=1", s)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := read(); s != "STOPPING=1" {
		t.Fatalf("notified %q, want STOPPING=1", s)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
