package privileges

import (
	"fmt"
	"syscall"
)

// Of linux/prctl.h.
const (
	prGetDumpable = 3
	prSetDumpable = 4
)

// ForbidDumps forbids core dumps and tracing by other processes of the same user,
// because keys are in memory. RLIMIT_CORE would not be enough: it does not apply
// to a program that the kernel pipes dumps to.
func ForbidDumps() error {
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); e != 0 {
		return fmt.Errorf("forbid core dumps: %w", e)
	}
	return nil
}
