package network

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ExplainBind adds what to do about a port that this process may not bind; other errors
// stay as they are. protocol is "tcp" or "udp". A missing capability is EACCES. EPERM of
// the same call comes from a BPF program of the control group, by which systemd implements
// SocketBindDeny=.
func ExplainBind(err error, protocol string, port uint16) error {
	var call *os.SyscallError
	switch {
	case errors.Is(err, syscall.EPERM) && errors.As(err, &call) && call.Syscall == "bind":
		return fmt.Errorf("%w; SocketBindDeny= of the unit forbids the port: add SocketBindAllow=%s:%d with systemctl edit, and restart the unit", err, protocol, port)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; a port below 1024 needs CAP_NET_BIND_SERVICE: run under a unit that gives it, or setcap cap_net_bind_service+ep on the program", err)
	}
	return err
}
