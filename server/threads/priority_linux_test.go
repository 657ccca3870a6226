package threads

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// thread is what a thread says of itself.
type thread struct {
	nice  int
	slice uint64 // ns
	fifo  bool
	err   error
}

func look(id int) thread {
	nice, err := niceness(id)
	a, e := unix.SchedGetAttr(id, 0)
	if e != nil {
		return thread{err: e}
	}
	return thread{nice: nice, slice: a.Runtime, fifo: a.Policy == unix.SCHED_FIFO, err: err}
}

// all returns the threads of the process and some that start now, which live until
// hold is closed.
func all(t *testing.T, hold <-chan struct{}) (list []thread) {
	t.Helper()
	const fresh = 8
	got := make(chan int)
	for range fresh { // each needs a thread, all but a few of them new
		go func() {
			runtime.LockOSThread()
			got <- unix.Gettid()
			<-hold
		}()
		<-got
	}
	dir, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range dir {
		id, _ := strconv.Atoi(e.Name())
		if x := look(id); x.err == nil { // otherwise it has ended
			list = append(list, x)
		}
	}
	if len(list) <= fresh {
		t.Fatalf("%d threads", len(list))
	}
	return list
}

// alone runs a test in a process of its own, because the change is permanent. It
// returns true in that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv("NOONMARK_PRIORITY_CHILD") != "" {
		return true
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), "NOONMARK_PRIORITY_CHILD=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	return false
}

// Raised threads are above all others of the machine, those that start later too. What
// is not permitted leaves the niceness as it was.
func TestRaiseIsForAllThreads(t *testing.T) {
	if !alone(t) {
		return
	}
	hold := make(chan struct{})
	defer close(hold)
	before := look(os.Getpid())
	if err := Raise(Normal); err != nil {
		t.Error(err)
	}
	for _, x := range all(t, hold) {
		if x != before {
			t.Errorf("normal: %+v, was %+v", x, before)
		}
	}
	for range 2 { // once more changes nothing
		err := Raise(High)
		want := min(before.nice, high)
		switch {
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			want = before.nice
		case err != nil:
			t.Fatal(err)
		}
		for _, x := range all(t, hold) {
			if x.nice != want {
				t.Errorf("high: niceness %d, was %d, error %v", x.nice, before.nice, err)
			}
			// Kernels before 6.12 have no slice to ask for.
			if before.slice != 0 && x.slice != shortSlice {
				t.Errorf("high: a slice of %d ns, was %d", x.slice, before.slice)
			}
		}
	}
}

// The limit of the unit lets a process without capabilities have the priority "high", and
// less does not.
func TestLimitOfTheUnitPermitsHigh(t *testing.T) {
	if !alone(t) {
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user with a limit")
	}
	unit, err := os.ReadFile("../../systemd/ntsserve.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^LimitNICE=(-\d+)$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no LimitNICE=")
	}
	nice, _ := strconv.Atoi(string(m[1]))
	const normal = 20 // RLIMIT_NICE is 20 minus the least niceness (setrlimit(2))
	limit := func(soft int) {
		err := unix.Setrlimit(unix.RLIMIT_NICE, &unix.Rlimit{Cur: uint64(soft), Max: uint64(normal - nice)})
		if errors.Is(err, unix.EPERM) && soft == normal {
			t.Skip("the limit cannot be raised here: needs CAP_SYS_RESOURCE")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	limit(normal)
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		t.Fatal(err)
	}
	if err := Raise(High); !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		t.Errorf("without a limit: %v", err)
	}
	limit(normal - nice)
	if err := Raise(High); err != nil {
		t.Errorf("with the limit of the unit: %v", err)
	}
	hold := make(chan struct{})
	defer close(hold)
	for _, x := range all(t, hold) {
		if x.nice != nice {
			t.Errorf("niceness %d, want %d", x.nice, nice)
		}
	}
}

// A real-time thread is the only one, and those that start later are not.
func TestRaiseThreadIsForOne(t *testing.T) {
	if !alone(t) {
		return
	}
	hold := make(chan struct{})
	defer close(hold)
	got := make(chan error)
	go func() {
		runtime.LockOSThread()
		got <- RaiseThread()
		<-hold
	}()
	if err := <-got; errors.Is(err, unix.EPERM) {
		t.Skip("a real-time thread is not permitted here: needs CAP_SYS_NICE and a processor share for real-time threads")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := Raise(Realtime); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
	n := 0
	for _, x := range all(t, hold) {
		if x.fifo {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d threads are real-time, want 1", n)
	}
}

// All threads of a process have a tenth of the weight afterwards, those that start
// later too, also if a raised process has started it.
func TestLowerAll(t *testing.T) {
	if !alone(t) {
		return
	}
	hold := make(chan struct{})
	defer close(hold)
	before := look(os.Getpid())
	if err := Raise(High); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	want := min(max(look(os.Getpid()).nice, 0)+lower, 19)
	if err := LowerAll(); err != nil {
		t.Fatal(err)
	}
	for _, x := range all(t, hold) {
		if x.nice != want || x.slice != before.slice {
			t.Errorf("%+v, want niceness %d and a slice of %d ns", x, want, before.slice)
		}
	}
}

func TestParsePriorityInvertsString(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "High", "invalid", "real-time"} {
		if p, err := ParsePriority(s); err == nil {
			t.Errorf("%q is accepted as %v", s, p)
		}
	}
	for p := Normal; p <= Realtime; p++ {
		if got, err := ParsePriority(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
}
