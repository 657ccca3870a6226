package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/config"
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

// rig is a Daemon whose signals and notifications the test provides.
type rig struct {
	Daemon
	sig    chan os.Signal
	mu     sync.Mutex
	states []string // first line of each notification
	log    bytes.Buffer
}

func newRig() *rig {
	r := &rig{sig: make(chan os.Signal)}
	r.Log = NewTo(&r.log, "test", config.Log{}, true)
	r.outside.signals = r.sig
	r.outside.notify = func(s string) {
		s, _, _ = strings.Cut(s, "\n")
		r.mu.Lock()
		r.states = append(r.states, s)
		r.mu.Unlock()
	}
	return r
}

func (r *rig) notified() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.states, " ")
}

func TestRunEndsWithTheFirstErrorOrOnRequest(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := []struct {
		name     string
		tasks    []Task
		stop     os.Signal // sent after a second, if not nil
		want     string    // of the error
		is       error
		notified string
	}{
		{"a task fails at once", []Task{&fake{"a", false, untilDone}, &fake{"b", true, func(context.Context) error { return boom }}}, nil, "b: boom", boom, "STOPPING=1"},
		{"a task fails later", []Task{&fake{"a", false, untilDone}, &fake{"b", false, func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return boom
		}}}, nil, "b: boom", boom, "READY=1 STOPPING=1"},
		{"two fail", []Task{&fake{"a", false, func(ctx context.Context) error { <-ctx.Done(); return errors.New("late") }}, &fake{"b", false, func(context.Context) error {
			time.Sleep(time.Second)
			return boom
		}}}, nil, "b: boom", boom, "READY=1 STOPPING=1"},
		{"a task hangs", []Task{&fake{"a", false, untilDone}, &fake{"b", false, func(context.Context) error { time.Sleep(time.Hour); return nil }}}, syscall.SIGTERM, "b does not end within 10s", ErrStuck, "READY=1 STOPPING=1"},
		{"never ready", []Task{&fake{"a", true, untilDone}}, syscall.SIGINT, "", nil, "STOPPING=1"},
		{"fails while stopping", []Task{&fake{"a", false, func(ctx context.Context) error { <-ctx.Done(); return boom }}}, syscall.SIGTERM, "a: boom", boom, "READY=1 STOPPING=1"},
		{"SIGTERM", []Task{&fake{"a", false, untilDone}, &fake{"b", false, untilDone}}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"SIGINT", []Task{&fake{"a", false, untilDone}}, os.Interrupt, "", nil, "READY=1 STOPPING=1"},
		{"one finishes, one goes on", []Task{&fake{"a", false, func(context.Context) error { return nil }}, &fake{"b", false, untilDone}}, syscall.SIGTERM, "", nil, "READY=1 STOPPING=1"},
		{"all finish", []Task{&fake{"a", false, func(context.Context) error { time.Sleep(time.Second); return nil }}}, nil, "", nil, "READY=1 STOPPING=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				if tt.stop != nil {
					go func() { time.Sleep(time.Second); r.sig <- tt.stop }()
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
		if s := r.log.String(); !strings.Contains(s, `msg="reload refused, the old configuration stays in force" error="f.toml:3: no"`) || !strings.Contains(s, "msg=reloaded") {
			t.Errorf("log:\n%s", s)
		}
	})
}

// Tasks that wait for others to be ready hold up READY=1 themselves.
func TestAfterRunsOnceTheOthersAreReady(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		never    bool
		f        error
		ran      bool
		notified string
		is       error
	}{
		{"another is never ready", true, nil, false, "STOPPING=1", nil},
		{"it fails", false, boom, true, "STOPPING=1", boom},
		{"it succeeds", false, nil, true, "READY=1 STOPPING=1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, ran := newRig(), false
				other := &fake{"a", c.never, untilDone}
				after := After("b", []Task{other}, func() error { ran = true; return c.f })
				time.AfterFunc(time.Second, func() {
					select {
					case r.sig <- syscall.SIGTERM:
					case <-t.Context().Done():
					}
				})
				err := r.Run(t.Context(), other, after)
				if !errors.Is(err, c.is) || ran != c.ran || r.notified() != c.notified {
					t.Errorf("got %v, ran %v, notified %q; want %v, %v, %q", err, ran, r.notified(), c.is, c.ran, c.notified)
				}
			})
		})
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
	if s := read(); s != "READY=1" {
		t.Fatalf("notified %q, want READY=1", s)
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
