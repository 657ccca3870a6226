package threads

import (
	"errors"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// raiseBy and recedeBy are steps of niceness, each of which is worth a
	// quarter more or less of a contended processor (sched_prio_to_weight,
	// kernel/sched/core.c): together the preferred have 28 times the weight.
	raiseBy  = 10
	recedeBy = 5
	// fifoPriority is the least of the real-time priorities: the kernel's own
	// threads that have one stay before ours.
	fifoPriority = 1
)

// Raise gives the calling thread, to which the goroutine must be locked, a
// priority, and its name. It returns the thread's number. High needs CAP_SYS_NICE or
// RLIMIT_NICE, Realtime CAP_SYS_NICE or RLIMIT_RTPRIO; without them the error is
// EACCES or EPERM, and the thread stays what it was.
func Raise(p Priority) (thread int, err error) {
	thread = unix.Gettid()
	if thread != os.Getpid() { // the first thread's name is the process's
		_ = os.WriteFile("/proc/thread-self/comm", []byte(ThreadName), 0) // for people only
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

// niceness of a thread; the system call gives 20 - nice (getpriority(2)).
func niceness(thread int) (int, error) {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err != nil {
		return 0, os.NewSyscallError("getpriority", err)
	}
	return 20 - n, nil
}

// Recede makes all threads of the process but these nicer than the first of
// them, which needs no permission. Threads that the runtime starts later are
// children of those: it starts none from a thread to which a goroutine is locked
// (newm1, runtime/proc.go).
func Recede(threads []int) error {
	if len(threads) == 0 {
		return nil
	}
	nice, err := niceness(threads[0])
	if err != nil {
		return err
	}
	nice = min(nice+recedeBy, 19)
	done := slices.Clone(threads)
	for again := true; again; { // threads may start while we look
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
			if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
				return err
			}
		}
	}
	return nil
}
