package main

import (
	"fmt"
	"syscall"
)

// Of linux/prctl.h.
const (
	prGetDumpable = 3
	prSetDumpable = 4
)

// keepSecret forbids core dumps, also to programs that the kernel would pipe
// them to, for which RLIMIT_CORE does not count, and tracing by other processes
// of the same user: cookie keys and the certificate's are in memory.
func keepSecret() error {
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); e != 0 {
		return fmt.Errorf("forbid core dumps: %w", e)
	}
	return nil
}
