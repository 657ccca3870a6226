package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// Of linux/capability.h and linux/prctl.h.
const (
	capNetBindService = 10
	capSysNice        = 23
	capVersion3       = 0x20080522

	prSetKeepCaps   = 8
	prSetNoNewPrivs = 38
)

type capHeader struct {
	version uint32
	pid     int32
}

// capData has the lower and the upper 32 capabilities.
type capData [2]struct{ effective, permitted, inheritable uint32 }

// permitted returns the capabilities of the calling thread; all threads have the
// same.
func permitted() (uint64, error) {
	h := capHeader{version: capVersion3}
	var d capData
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0); e != 0 {
		return 0, os.NewSyscallError("capget", e)
	}
	return uint64(d[0].permitted) | uint64(d[1].permitted)<<32, nil
}

// retain gives up all capabilities but those of keep, on all threads. What is not
// permitted is not ambient either, so that programs it starts have none.
func retain(keep uint64) error {
	h := capHeader{version: capVersion3}
	var d capData
	d[0].effective, d[1].effective = uint32(keep), uint32(keep>>32)
	d[0].permitted, d[1].permitted = uint32(keep), uint32(keep>>32)
	if _, _, e := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0); e != 0 {
		return os.NewSyscallError("capset", e)
	}
	return nil
}

// become changes user and group, without further groups, and keeps of root's
// capabilities those that are needed until work has begun.
func become(uid, gid int) error {
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetKeepCaps, 1, 0, 0, 0, 0); e != 0 {
		return os.NewSyscallError("prctl PR_SET_KEEPCAPS", e)
	}
	if err := errors.Join(os.NewSyscallError("setgroups", syscall.Setgroups(nil)),
		os.NewSyscallError("setgid", syscall.Setgid(gid)), os.NewSyscallError("setuid", syscall.Setuid(uid))); err != nil {
		return err
	}
	have, err := permitted()
	if err != nil {
		return err
	}
	return retain(have & (1<<capNetBindService | 1<<capSysNice))
}

// shed gives up all capabilities but, where lowly is set and it is there, that to
// bind ports below 1024; neither this process nor any that it starts can get more
// from here on. It returns what is left, for people.
func shed(lowly bool) (kept string, err error) {
	have, err := permitted()
	if err != nil {
		return "", err
	}
	var keep uint64
	if lowly {
		keep = have & (1 << capNetBindService)
	}
	if err := retain(keep); err != nil {
		return "", err
	}
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return "", os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", e)
	}
	if keep != 0 {
		return "CAP_NET_BIND_SERVICE for the ports of acme", nil
	}
	return "none", nil
}

// privileged reports whether only those with the right for it can bind a port.
func privileged(port uint16) bool {
	start := 1024
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		fmt.Fscan(strings.NewReader(string(b)), &start)
	}
	return int(port) < start
}
