package threads

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// started is what a new thread reports of itself.
type started struct {
	thread, nice int
	err          error
}

// startThread starts a thread with a priority, which lives until hold is closed.
func startThread(p Priority, hold <-chan struct{}) started {
	got := make(chan started)
	go func() {
		runtime.LockOSThread()
		thread, err := Raise(p)
		nice, e := niceness(thread)
		got <- started{thread, nice, errors.Join(err, e)}
		<-hold
	}()
	return <-got
}

// Raised threads are above all others. Where that is not permitted, LowerOthers
// puts the others below, including those that start later. The test runs in a
// process of its own, because the change is permanent.
func TestRaiseAndLowerOthers(t *testing.T) {
	if os.Getenv("NOONMARK_PRIORITY_CHILD") == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestRaiseAndLowerOthers$", "-test.v")
		c.Env = append(os.Environ(), "NOONMARK_PRIORITY_CHILD=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	before, err := niceness(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	if before+lowerBy > 19 {
		t.Skip("needs a niceness of at most 14 to lower")
	}
	hold := make(chan struct{})
	defer close(hold)
	normal := startThread(Normal, hold)
	if normal.err != nil || normal.nice != before {
		t.Fatalf("normal: %+v, was %d", normal, before)
	}
	high := startThread(High, hold)
	switch {
	case high.err == nil && high.nice != max(before-raiseBy, -20):
		t.Errorf("high: niceness %d, was %d", high.nice, before)
	case high.err != nil && !errors.Is(high.err, unix.EACCES) && !errors.Is(high.err, unix.EPERM):
		t.Errorf("high: %v", high.err)
	case high.err != nil && high.nice != before:
		t.Errorf("high was refused but niceness is %d, was %d", high.nice, before)
	}
	if r := startThread(Realtime, hold); r.err != nil && !errors.Is(r.err, unix.EPERM) {
		t.Errorf("realtime: %v", r.err)
	}
	checkLowerOthers(t, before, normal.thread, high.thread, hold)
}

// checkLowerOthers lowers all threads but two, the first of which has the niceness
// before.
func checkLowerOthers(t *testing.T, before, normal, high int, hold <-chan struct{}) {
	t.Helper()
	if err := LowerOthers([]int{normal, high}); err != nil {
		t.Fatal(err)
	}
	if n, err := niceness(normal); err != nil || n != before {
		t.Errorf("an excepted thread has niceness %d, was %d, error %v", n, before, err)
	}
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	lowered := 0
	for _, e := range list {
		id, _ := strconv.Atoi(e.Name())
		if n, err := niceness(id); err == nil && n == before+lowerBy {
			lowered++
		}
	}
	if lowered < len(list)-4 || lowered == 0 {
		t.Errorf("%d of %d threads were lowered", lowered, len(list))
	}
	for range 8 { // each needs a thread, all but a few of them new
		if r := startThread(Normal, hold); r.nice < before+lowerBy {
			t.Errorf("thread %d, started later, has niceness %d", r.thread, r.nice)
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
