package proctest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent has the kernel kill the program when this process ends, however
// it ends. The kernel watches the thread that started the program.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// lockThread keeps the calling goroutine on its thread until the function that
// it returns is called.
func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
