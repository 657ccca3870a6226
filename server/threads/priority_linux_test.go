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

// TestPriority wants a thread that is raised preferred to all others, and where
// that is not permitted the others to recede, those not yet started included. It
// runs in a process of its own, which stays what it becomes.
func TestPriority(t *testing.T) {
	if os.Getenv("NOONMARK_PRIORITY_CHILD") == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestPriority$", "-test.v")
		c.Env = append(os.Environ(), "NOONMARK_PRIORITY_CHILD=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	here, err := niceness(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	if here+recedeBy > 19 {
		t.Skip("the tests run too nicely to recede")
	}
	before := here
	type result struct {
		thread, nice int
		err          error
	}
	on := func(p Priority, hold <-chan struct{}) result {
		got := make(chan result)
		go func() {
			runtime.LockOSThread()
			thread, err := Raise(p)
			nice, e := niceness(thread)
			got <- result{thread, nice, errors.Join(err, e)}
			<-hold
		}()
		return <-got
	}
	hold := make(chan struct{})
	defer close(hold)
	if r := on(Normal, hold); r.err != nil || r.nice != before {
		t.Fatalf("normal: %+v, was %d", r, before)
	}
	r := on(High, hold)
	switch {
	case r.err == nil && r.nice != max(before-raiseBy, -20):
		t.Errorf("high: niceness %d, was %d", r.nice, before)
	case r.err != nil && !errors.Is(r.err, unix.EACCES) && !errors.Is(r.err, unix.EPERM):
		t.Errorf("high: %v", r.err)
	case r.err != nil && r.nice != before:
		t.Errorf("refused, and yet niceness %d, was %d", r.nice, before)
	}
	if r := on(Realtime, hold); r.err != nil && !errors.Is(r.err, unix.EPERM) {
		t.Errorf("realtime: %v", r.err)
	}
	plain := on(Normal, hold)
	if err := Recede([]int{plain.thread, r.thread}); err != nil {
		t.Fatal(err)
	}
	if n, err := niceness(plain.thread); err != nil || n != before {
		t.Errorf("a thread that should stay has niceness %d, was %d, error %v", n, before, err)
	}
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	receded := 0
	for _, e := range list {
		id, _ := strconv.Atoi(e.Name())
		if n, err := niceness(id); err == nil && n == before+recedeBy {
			receded++
		}
	}
	if receded < len(list)-4 || receded == 0 {
		t.Errorf("%d of %d threads receded", receded, len(list))
	}
	for range 8 { // each needs a thread, all but a few of them new
		if r := on(Normal, hold); r.nice < before+recedeBy {
			t.Errorf("thread %d, started later, has niceness %d", r.thread, r.nice)
		}
	}
}

// TestParsePriority wants every word understood, and no other.
func TestParsePriority(t *testing.T) {
	for _, s := range []string{"", "High", "invalid", "real-time"} {
		if p, err := ParsePriority(s); err == nil {
			t.Errorf("%q: %v", s, p)
		}
	}
	for p := Normal; p <= Realtime; p++ {
		if got, err := ParsePriority(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
}
