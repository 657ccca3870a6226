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
	capVersion3 = 0x20080522

	prSetKeepCaps   = 8
	prSetNoNewPrivs = 38
	prCapAmbient    = 47
	prAmbientClear  = 4 // PR_CAP_AMBIENT_CLEAR_ALL
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

// become changes user and group, leaves all supplementary groups, and keeps no other
// capabilities than these.
func become(uid, gid int, keep uint64) error {
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
	return retain(have & keep)
}

// keepFromChildren empties the ambient set.
func keepFromChildren() error {
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prCapAmbient, prAmbientClear, 0, 0, 0, 0); e != 0 {
		return os.NewSyscallError("prctl PR_CAP_AMBIENT", e)
	}
	return nil
}

// drop drops all capabilities but those of keep that the process has, and that of low
// ports where a filter of the service manager forbids capset. Neither this process nor
// its children can gain capabilities afterwards. It returns what was kept, for the log.
func drop(keep uint64) (kept string, err error) {
	have, err := permitted()
	if err != nil {
		return "", err
	}
	keep &= have
	kept = names(keep)
	if have != keep {
		err := retain(keep)
		// Without a filter, capset(2) lets everybody drop what he has.
		if errors.Is(err, syscall.EPERM) && have == set([]Capability{NetBindService}) {
			kept, err = "CAP_NET_BIND_SERVICE, because the unit's filter forbids to drop it", nil
		}
		if err != nil {
			return "", err
		}
	}
	if err := keepFromChildren(); err != nil {
		return "", err
	}
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return "", os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", e)
	}
	return kept, nil
}

// keepNetAdmin becomes a user, unless uid is negative, and drops all capabilities but
// CAP_NET_ADMIN.
func keepNetAdmin(uid, gid int) error {
	keep := set([]Capability{NetAdmin})
	if uid >= 0 {
		if err := become(uid, gid, keep); err != nil {
			return err
		}
	}
	have, err := permitted()
	if err == nil {
		err = retain(have & keep)
	}
	if err != nil {
		return err
	}
	if _, _, e := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", e)
	}
	return nil
}

// Has reports whether the process has a capability, or could not look.
func Has(c Capability) bool {
	have, err := permitted()
	return err != nil || have&(1<<c) != 0
}

// PortNeedsCapability reports whether binding a port needs CAP_NET_BIND_SERVICE.
func PortNeedsCapability(port uint16) bool {
	start := 1024
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		fmt.Fscan(strings.NewReader(string(b)), &start)
	}
	return int(port) < start
}
