package threads

import (
	"errors"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// raiseBy and lowerBy are steps of niceness. Each step changes the share of a
	// contended processor by a quarter (sched_prio_to_weight, kernel/sched/core.c):
	// together they give answering threads 28 times the weight.
	raiseBy = 10
	lowerBy = 5
	// fifoPriority is the lowest real-time priority: the kernel's own real-time
	// threads stay above ours.
	fifoPriority = 1
)

// Raise gives the calling thread, to which the goroutine must be locked, a
// priority and the name Name. It returns the thread's number. High needs
// CAP_SYS_NICE or RLIMIT_NICE, Realtime CAP_SYS_NICE or RLIMIT_RTPRIO; without
// them the error is EACCES or EPERM, and the priority stays as it was.
func Raise(p Priority) (thread int, err error) {
	thread = unix.Gettid()
	if thread != os.Getpid() { // the first thread's name is the process's
		_ = os.WriteFile("/proc/thread-self/comm", []byte(Name), 0) // informative only
	}
	switch p {
	case High:
		nice, err := niceness(thread)
		if err != nil {
			return thread, err
		}
		return thread, os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, thread, max(nice-raiseBy, -20)))
	case Realtime:
		return thread, os.NewSyscallError("sched_setattr", unix.SchedSetAttr(thread, &unix.SchedAttr{
			Policy: unix.SCHED_FIFO, Priority: fifoPriority, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
		}, 0))
	}
	return thread, nil
}

// niceness returns the niceness of a thread. The system call returns 20 minus it
// (getpriority(2)).
func niceness(thread int) (int, error) {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err != nil {
		return 0, os.NewSyscallError("getpriority", err)
	}
	return 20 - n, nil
}

// LowerOthers makes all threads of the process but these nicer than the first of
// them, which needs no permission. Threads that the runtime starts later inherit
// that: it starts none from a thread to which a goroutine is locked (newm1,
// runtime/proc.go).
func LowerOthers(threads []int) error {
	if len(threads) == 0 {
		return nil
	}
	nice, err := niceness(threads[0])
	if err != nil {
		return err
	}
	nice = min(nice+lowerBy, 19)
	done := slices.Clone(threads)
	for again := true; again; { // a thread may start during the listing
		again = false
		list, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, e := range list {
			thread, err := strconv.Atoi(e.Name())
			if err != nil || slices.Contains(done, thread) {
				continue
			}
			done, again = append(done, thread), true
			err = os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, thread, nice))
			if err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has ended
				return err
			}
		}
	}
	return nil
}
