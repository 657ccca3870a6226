package stage

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// MayRealtime reports whether this process may have real-time threads and start
// such programs.
func MayRealtime() bool {
	if _, err := exec.LookPath("chrt"); err != nil {
		return false
	}
	may := make(chan bool)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		may <- unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1}, 0) == nil
	}()
	return <-may
}

// Command is a program that ends with us. As a real-time process it runs before
// everything else on its processor: a machine that others use measures as if it
// were (nearly) ours. Not for Go programs with work for several threads: those
// that spin for work keep the processor from those that have it.
func Command(realtime bool, args ...string) *exec.Cmd {
	if realtime {
		args = append([]string{"chrt", "--rr", "1"}, args...)
	}
	c := exec.Command(args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}
