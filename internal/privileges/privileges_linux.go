package privileges

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

// permitted returns the permitted capabilities. All threads have the same.
func permitted() (uint64, error) {
	h := capHeader{version: capVersion3}
	var d capData
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0); e != 0 {
		return 0, os.NewSyscallError("capget", e)
	}
	return uint64(d[0].permitted) | uint64(d[1].permitted)<<32, nil
}

// retain drops all capabilities but those of keep, on all threads. A capability
// that is not permitted is not ambient either, so child processes get none.
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

// become changes user and group, leaves all supplementary groups, and keeps the
// capabilities that are needed until work has begun: binding low ports and
// raising the priority of threads.
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

// drop drops all capabilities. With keepLowPorts it keeps CAP_NET_BIND_SERVICE if
// the process has it. Neither this process nor its children can gain capabilities
// afterwards. It returns what was kept, for the log.
func drop(keepLowPorts bool) (kept string, err error) {
	have, err := permitted()
	if err != nil {
		return "", err
	}
	var keep uint64
	if keepLowPorts {
		keep = have & (1 << capNetBindService)
	}
	if err := retain(keep); err != nil {
		return "", err
	}
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return "", os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", e)
	}
	if keep != 0 {
		return "CAP_NET_BIND_SERVICE to bind low ports again", nil
	}
	return "none", nil
}

// PortNeedsCapability reports whether binding a port needs CAP_NET_BIND_SERVICE.
func PortNeedsCapability(port uint16) bool {
	start := 1024
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		fmt.Fscan(strings.NewReader(string(b)), &start)
	}
	return int(port) < start
}
