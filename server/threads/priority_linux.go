package threads

import (
	"errors"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// high is nine times the weight of a thread of niceness 0: each step changes the
	// share of a contended processor by a quarter (sched_prio_to_weight,
	// kernel/sched/core.c). lower is how much nicer LowerAll makes a process.
	high  = -10
	lower = 10
	// shortSlice is the time, ns, that a thread asks for at once: the least that the
	// kernel grants. From Linux 6.12 on, a thread that wakes takes the processor from
	// one that has asked for more, and does not wait until its milliseconds are over
	// (PREEMPT_SHORT, kernel/sched/features.h). Older kernels ignore it.
	shortSlice = 100_000
	// fifoPriority is the lowest real-time priority: the kernel's own real-time
	// threads stay above ours.
	fifoPriority = 1
)

// Raise gives all threads of the process a priority, those that start later too. High
// needs CAP_SYS_NICE or RLIMIT_NICE; without them the error is EACCES or EPERM, and
// only the slice is changed. Realtime is as High: RaiseThread does the rest.
func Raise(p Priority) error {
	if p == Normal {
		return nil
	}
	nice, err := niceness(os.Getpid())
	if err != nil {
		return err
	}
	err = each(func(thread int) error { return fair(thread, min(nice, high), shortSlice) })
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return errors.Join(err, each(func(thread int) error { return fair(thread, nice, shortSlice) }))
	}
	return err
}

// RaiseThread gives the calling thread, to which the goroutine must be locked, the
// real-time priority and the name Name. It needs CAP_SYS_NICE or RLIMIT_RTPRIO; without
// them the error is EPERM, and the priority stays as it was.
func RaiseThread() error {
	thread := unix.Gettid()
	if thread != os.Getpid() { // the first thread's name is the process's
		_ = os.WriteFile("/proc/thread-self/comm", []byte(Name), 0) // informative only
	}
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(thread, &unix.SchedAttr{
		Policy: unix.SCHED_FIFO, Priority: fifoPriority, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0))
}

// LowerAll makes all threads of the process nicer, for one that must not delay others:
// by ten steps, whatever priority the process that started it has. They get the slice
// that the kernel gives.
func LowerAll() error {
	nice, err := niceness(os.Getpid())
	if err != nil {
		return err
	}
	return each(func(thread int) error { return fair(thread, min(max(nice, 0)+lower, 19), 0) })
}

// fair gives a thread a niceness and, where it may, a slice in ns; 0: that of the
// kernel. A filter of system calls may forbid the slice. It leaves alone what is
// real-time.
func fair(thread, nice int, slice uint64) error {
	a, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	if a.Policy != unix.SCHED_NORMAL && a.Policy != unix.SCHED_BATCH {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, thread, nice); err != nil {
		return os.NewSyscallError("setpriority", err)
	}
	a.Nice, a.Runtime = int32(nice), slice
	if err := unix.SchedSetAttr(thread, a, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return os.NewSyscallError("sched_setattr", err)
	}
	return nil
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

// each changes all threads of the process. Those that the runtime starts later inherit
// it: it starts none from a thread to which a goroutine is locked (newm1,
// runtime/proc.go).
func each(change func(thread int) error) error {
	var done []int
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
			if err := change(thread); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has ended
				return err
			}
		}
	}
	return nil
}
