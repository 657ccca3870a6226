package cardsetup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

// started returns the processes, as the user 65534.
func started(t *testing.T) *Helper {
	t.Helper()
	proctest.RequireRoot(t, "CAP_NET_ADMIN")
	h, err := Start(&privileges.User{UID: 65534, GID: 65534})
	t.Cleanup(h.Close)
	if withCgo {
		// They end at once, and nobody waits for an answer.
		if !errors.Is(err, ErrLost) {
			t.Errorf("processes that cannot work: %v", err)
		}
		t.Skip("a build without cgo is missing: only that drops the capabilities of all threads")
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run runs the task until it returns, and waits until it is ready. While ntsserve-cards is
// not back, it runs the task again, as the daemon does.
func (h *Helper) run(t *testing.T, ctx context.Context) (done chan error) {
	t.Helper()
	proctest.UntilState(t, "the task is ready", func() (bool, string) {
		ready := h.Ready()
		done = make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		select {
		case <-ready:
			return true, ""
		case err := <-done:
			if !errors.Is(err, ErrEnded) {
				t.Fatalf("it ends before it is ready: %v", err)
			}
			return false, err.Error()
		}
	})
	return done
}

// stop stops a process, and waits until none of its threads runs: the signal wakes only
// one of them, which stops the others.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	proctest.UntilState(t, "all threads are stopped", func() (bool, string) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(threads) == 0 {
			t.Fatalf("threads of process %d: %v, %v", pid, threads, err)
		}
		for _, path := range threads {
			if b, err := os.ReadFile(path); err == nil && !strings.Contains(string(b), "\nState:\tT") {
				return false, string(b)
			}
		}
		return true, ""
	})
}

// worker returns the number of ntsserve-cards.
func worker(t *testing.T, h *Helper) int {
	t.Helper()
	pids := proctest.ChildrenOf(t, h.PID(), workArgument)
	if len(pids) != 1 {
		t.Fatalf("processes that answer: %v", pids)
	}
	return pids[0]
}

// Both keep one capability, cannot gain others, and are another user. The one that
// answers has one socket, and its keeper that one and a pipe.
func TestProcessesKeepOneCapability(t *testing.T) {
	h := started(t)
	for pid, want := range map[int]struct{ name, score, files string }{
		h.PID():      {"ntsserve-keeper", "0", "pipe socket"},
		worker(t, h): {"ntsserve-cards", "500", "socket"},
	} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"Name:\t" + want.name + "\n", "Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n",
			"CapPrm:\t0000000000001000\n", "CapEff:\t0000000000001000\n", "CapInh:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n",
		} {
			if !strings.Contains(string(b), line) {
				t.Errorf("no %q in\n%s", line, b)
			}
		}
		// The keeper has one more pipe until it has seen that ntsserve-cards runs.
		proctest.UntilState(t, fmt.Sprintf("%s has %q open", want.name, want.files), func() (bool, string) {
			got := open(t, pid)
			return got == want.files, got
		})
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); err != nil || strings.TrimSpace(string(b)) != want.score {
			t.Errorf("%s has the OOM score %s, %v", want.name, b, err)
		}
	}
}

// open returns the kinds of sockets and pipes that a process has open above standard
// error, in the order of their names, without those that this process was started with.
func open(t *testing.T, pid int) string {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, f := range files {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name()))
		if ours, _ := os.Readlink("/proc/self/fd/" + f.Name()); ours == to || f.Name() == "2" {
			continue
		}
		if kind, _, ok := strings.Cut(to, ":["); ok && kind != "anon_inode" {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}

// Names that are no interface are refused, and it goes on.
func TestQuestions(t *testing.T) {
	h := started(t)
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
		if _, err := h.ask(c.name); !errors.Is(err, c.want) {
			t.Errorf("%q, unchecked: %v; want %v", c.name, err, c.want)
		}
	}
	for _, b := range [][]byte{nil, {1}, {1, 2, 3}} { // without a number
		if len(b) > 0 {
			if _, err := syscall.Write(h.fd, b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Widen("lo"); err != nil {
			t.Errorf("after %d octets: %v", len(b), err)
		}
	}
	for _, pid := range []int{worker(t, h), h.PID()} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil { // of the service manager, to all
			t.Fatal(err)
		}
	}
	if _, err := h.Widen("lo"); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	h.Close()
	if _, err := h.Widen("lo"); !errors.Is(err, ErrLost) {
		t.Errorf("after its end: %v", err)
	}
	h.Close()
}

// ntsserve-cards is started again, however often it is killed. Each time the task fails
// and then serves.
func TestKilledProcessIsStartedAgain(t *testing.T) {
	h := started(t)
	before := 0
	for range 3 {
		done := h.run(t, t.Context())
		pid := worker(t, h)
		if pid == before {
			t.Fatal("the process that was killed runs")
		}
		before = pid
		if _, err := h.Widen("lo"); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the task: %v", err)
		}
		if _, err := h.Widen("lo"); !errors.Is(err, ErrEnded) {
			t.Errorf("before it is back: %v", err)
		}
	}
	if err := h.Waiting(); err != nil {
		t.Errorf("a restart of ntsserve is asked for: %v", err)
	}
}

// A process that cannot work is started less and less often, and its reason is logged once;
// one that had worked is back after a second.
func TestStartsThatFailAreRareAndSilent(t *testing.T) {
	t.Parallel()
	const s, killed = time.Second, uint32(syscall.SIGKILL)
	var starts starts
	for i, c := range []struct {
		log    bool // the run may log
		status uint32
		lasted time.Duration
		delay  time.Duration
	}{
		{true, startFailed, 0, s}, {false, startFailed, 0, 2 * s}, {false, startFailed, 0, 4 * s}, {false, startFailed, s, 8 * s}, {false, startFailed, 0, 10 * s},
		{false, 4 << 8, 9 * s, 10 * s}, {true, 4 << 8, 0, 10 * s}, {false, 4 << 8, 0, 10 * s}, // for another reason
		{false, killed, 10 * s, s}, {true, killed, time.Hour, s}, {true, killed, 0, 2 * s}, {false, killed, time.Hour, s}, // after it has worked
		{true, startFailed, 0, 2 * s},
	} {
		if log := starts.mayLog(); log != c.log {
			t.Errorf("run %d may log: %v", i, log)
		}
		if d := starts.ended(c.status, c.lasted); d != c.delay {
			t.Errorf("after run %d: a delay of %v, want %v", i, d, c.delay)
		}
	}
}

// The delay ends with ntsserve: the service manager waits for all processes of the unit.
func TestDelayEndsWithTheReader(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if endsWithin(int(w.Fd()), time.Millisecond) {
		t.Error("it ends before its reader")
	}
	r.Close()
	if !endsWithin(int(w.Fd()), time.Hour) {
		t.Error("it waits on without a reader")
	}
}

// A process that is not back yet is reported as that, not as one whose driver hangs.
func TestProcessThatIsNotBackIsReportedAsEnded(t *testing.T) {
	t.Parallel()
	h := started(t)
	pid := worker(t, h)
	stop(t, pid) // as if nothing read the questions
	h.fails(ErrEnded)
	h.Ready()
	if err := h.Run(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("the task: %v", err)
	}
	kill(t, pid)
}

// A process that is stopped does not hold anybody up for ever, and its late answers are
// nobody else's.
func TestSilentProcessIsReportedUntilItAnswers(t *testing.T) {
	t.Parallel()
	h := started(t)
	done := h.run(t, t.Context())
	pid := worker(t, h)
	stop(t, pid)
	if _, err := h.Widen("nonexistent0"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a process that is stopped: %v", err)
	}
	if err := <-done; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("the task: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.run(t, t.Context())
	if _, err := h.Widen("lo"); err != nil { // and not ENODEV, the answer to the question before
		t.Errorf("after it: %v", err)
	}
}

// Without its keeper ntsserve-cards works on, and the task says what its end would cost;
// without both it says what does not work.
func TestLossOfTheKeeperNeedsARestart(t *testing.T) {
	h := started(t)
	done := h.run(t, t.Context())
	pid := worker(t, h)
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrAlone) {
		t.Errorf("the task: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done = h.run(t, ctx)
	if err := h.Waiting(); !errors.Is(err, ErrAlone) || !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "restart ntsserve") {
		t.Errorf("waiting: %v", err)
	}
	if _, err := h.Widen("lo"); err != nil {
		t.Errorf("what is left: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := h.Widen("lo"); !errors.Is(err, ErrLost) {
			t.Errorf("nothing is left: %v", err)
		}
	}
	if err := h.Waiting(); !errors.Is(err, ErrLost) {
		t.Errorf("nothing is left, and it waits for %v", err)
	}
	cancel()
	<-done
}

// The keeper ends while ntsserve-cards is reported as silent or as ended. Cards are set up
// again as soon as it answers, and nobody waits for one that nothing starts.
func TestLossOfTheKeeperKeepsNoOldReport(t *testing.T) {
	for name, c := range map[string]struct {
		report  error
		working bool // ntsserve-cards outlives its keeper
		want    error
	}{
		"silent, and gone":    {ErrNoAnswer, false, ErrLost},
		"ended, and not back": {ErrEnded, false, ErrLost},
		"silent, and works":   {ErrNoAnswer, true, nil},
		"ended, and back":     {ErrEnded, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := started(t)
			done, pid := h.run(t, t.Context()), worker(t, h)
			h.fails(c.report)
			if err := <-done; !errors.Is(err, c.report) {
				t.Fatalf("the task: %v", err)
			}
			kill(t, h.PID())
			if !c.working {
				kill(t, pid)
			}
			if err := <-h.failed; !errors.Is(err, ErrAlone) {
				t.Fatalf("the end of the keeper: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			h.Ready()
			if err := h.Run(ctx); !errors.Is(err, c.want) {
				t.Errorf("the task: %v, want %v", err, c.want)
			}
			h.fails(ErrEnded) // a report that comes late
			select {
			case <-h.failed:
			default:
			}
			h.Ready()
			if err := h.Run(ctx); err != nil {
				t.Errorf("the task, then: %v", err)
			}
			if _, err := h.Widen("lo"); !errors.Is(err, c.want) {
				t.Errorf("a card: %v, want %v", err, c.want)
			}
		})
	}
}

// Nothing is left of the processes when ntsserve ends, whatever has become of them.
func TestProcessesEndWithTheSocket(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, h *Helper, pid int){
		"both run":           func(*testing.T, *Helper, int) {},
		"one is not back":    func(t *testing.T, h *Helper, pid int) { kill(t, pid); <-h.failed },
		"the keeper is gone": func(t *testing.T, h *Helper, pid int) { kill(t, h.PID()) },
	} {
		t.Run(name, func(t *testing.T) {
			h := started(t)
			pid := worker(t, h)
			before(t, h, pid)
			h.Close()
			proctest.Until(t, "the processes have ended", func() bool {
				for _, p := range []int{pid, h.PID()} {
					if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p)); err == nil && len(line) > 0 {
						return false
					}
				}
				return true
			})
			select {
			case err := <-h.failed:
				if name == "both run" {
					t.Errorf("a loss: %v", err)
				}
			default:
			}
		})
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Nobody but ntsserve can use it.
func TestWithoutASocketItEnds(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{Argument}, {Argument, workArgument}, {Argument, "x", "y"}} {
		cmd := exec.Command(exe, args...)
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 64 {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(appendAnswer(nil, 7, sockets.Setting{Receive: 1, Transmit: 1}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		number, s, errno, err := parseAnswer(b)
		if err == nil && string(appendAnswer(nil, number, s, errno)) != string(b) {
			t.Errorf("%x: %d, %+v, %d", b, number, s, errno)
		}
		if number, name, ok := parseQuestion(b); ok && string(appendQuestion(nil, number, name)) != string(b) {
			t.Errorf("question %x: %d, %q", b, number, name)
		}
	})
}
