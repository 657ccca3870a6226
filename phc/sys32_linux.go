//go:build arm || 386 || mips || mipsle || ppc

package phc

import "golang.org/x/sys/unix"

// 32-bit machines have the same structures behind calls of their own, since
// Linux 5.1; the old ones end in 2038.
const (
	sysClockGettime = unix.SYS_CLOCK_GETTIME64
	sysClockAdjtime = unix.SYS_CLOCK_ADJTIME64
)
