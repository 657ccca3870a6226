package stage

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// MayRealtime reports whether this process may have real-time threads and start
// programs that have them.
func MayRealtime() bool {
	if _, err := exec.LookPath("chrt"); err != nil {
		return false
	}
	may := make(chan bool)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		may <- unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1}, 0) == nil
	}()
	return <-may
}

// Command is a program that ends with this process. As a real-time process it runs
// before everything else on its processor, so that other programs on the machine
// hardly change the figures. That is not for Go programs with work for several
// threads: their idle threads spin and keep the processor from the others.
func Command(realtime bool, args ...string) *exec.Cmd {
	if realtime {
		args = append([]string{"chrt", "--rr", "1"}, args...)
	}
	c := exec.Command(args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}
