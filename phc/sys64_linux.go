//go:build !arm && !386 && !mips && !mipsle && !ppc

package phc

import "golang.org/x/sys/unix"

const (
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	sysClockAdjtime = unix.SYS_CLOCK_ADJTIME
)
