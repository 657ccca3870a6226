package privileges

import (
	"syscall"
	"testing"
)

func TestForbidDumpsMakesTheProcessUndumpable(t *testing.T) {
	dumpable := func() uintptr {
		r, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prGetDumpable, 0, 0)
		if e != 0 {
			t.Fatal(e)
		}
		return r
	}
	was := dumpable()
	defer syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, was, 0)
	if err := ForbidDumps(); err != nil {
		t.Fatal(err)
	}
	if now := dumpable(); now != 0 {
		t.Errorf("dumpable %d, was %d", now, was)
	}
}
