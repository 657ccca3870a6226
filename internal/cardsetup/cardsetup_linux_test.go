package cardsetup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/privileges"
	"noonmark/internal/proctest"
	"noonmark/server/transport/sockets"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Argument {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// started returns the process, as the user 65534, and a channel that gets why it was
// lost.
func started(t *testing.T) (*Helper, <-chan error) {
	t.Helper()
	proctest.RequireRoot(t, "CAP_NET_ADMIN")
	if withCgo {
		// It ends at once, and nobody waits for an answer.
		if _, err := Start(&privileges.User{UID: 65534, GID: 65534}, func(error) {}); !errors.Is(err, ErrEnded) || errors.Is(err, syscall.EAGAIN) {
			t.Errorf("a process that cannot work: %v", err)
		}
		t.Skip("a build without cgo is missing: only that drops the capabilities of all threads")
	}
	lost := make(chan error, 1)
	h, err := Start(&privileges.User{UID: 65534, GID: 65534}, func(err error) { lost <- err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, lost
}

// It keeps one capability, cannot gain others, and is another user.
func TestProcessKeepsOneCapability(t *testing.T) {
	h, _ := started(t)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n", "CapPrm:\t0000000000001000\n", "CapEff:\t0000000000001000\n",
		"CapInh:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	sockets := 0
	for _, f := range files {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", h.PID(), f.Name())); strings.HasPrefix(to, "socket:") {
			sockets++
		}
	}
	if sockets != 1 {
		t.Errorf("%d sockets, want that to ntsserve only", sockets)
	}
}

// Names that are no interface are refused, and it goes on. Once it has ended, each
// question fails at once.
func TestQuestions(t *testing.T) {
	h, lost := started(t)
	for _, c := range []struct {
		name string
		want error
	}{
		{"", syscall.EINVAL}, {".", syscall.EINVAL}, {"..", syscall.EINVAL}, {"../proc", syscall.EINVAL}, {"a b", syscall.EINVAL}, {"a\x00b", syscall.EINVAL},
		{strings.Repeat("x", 16), syscall.EINVAL}, {strings.Repeat("x", 5000), syscall.EINVAL}, {"nonexistent0", syscall.ENODEV},
		{"lo", nil}, // it has no clock: nothing is set
	} {
		s, err := h.Widen(c.name)
		if !errors.Is(err, c.want) || s != (sockets.Setting{}) {
			t.Errorf("%q: %+v, %v; want %v", c.name, s, err, c.want)
		}
		// What ntsserve would not ask, when it has been taken over.
		if c.name != "" {
			h.mu.Lock()
			if _, err := h.ask(c.name); !errors.Is(err, c.want) {
				t.Errorf("%q, unchecked: %v; want %v", c.name, err, c.want)
			}
			h.mu.Unlock()
		}
	}
	if err := syscall.Kill(h.PID(), syscall.SIGTERM); err != nil { // of the service manager, to all
		t.Fatal(err)
	}
	if _, err := h.Widen("lo"); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("lost: %v", err)
	}
	for range 2 {
		if _, err := h.Widen("lo"); !errors.Is(err, ErrEnded) {
			t.Errorf("after its end: %v", err)
		}
	}
	h.Close()
	h.Close()
}

// Its end on request, or seen by a question, is no loss that nobody knows of.
func TestEndOnRequestIsNoLoss(t *testing.T) {
	h, lost := started(t)
	h.Close()
	select {
	case err := <-lost:
		t.Errorf("lost: %v", err)
	default: // the wait is over when Close returns
	}
}

// Nobody but ntsserve can use it.
func TestWithoutASocketItEnds(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{Argument}, {Argument, "x", "y"}} {
		cmd := exec.Command(exe, args...)
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 64 {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(appendAnswer(nil, sockets.Setting{Receive: 1, Transmit: 1}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, errno, err := parseAnswer(b)
		if err == nil && string(appendAnswer(nil, s, errno)) != string(b) {
			t.Errorf("%x: %+v, %d", b, s, errno)
		}
	})
}
