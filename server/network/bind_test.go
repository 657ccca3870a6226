package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// What the unit forbids is not what a capability would permit.
func TestRefusedBindHasItsRemedy(t *testing.T) {
	t.Parallel()
	of := func(call string, err error) error {
		return fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError(call, err)})
	}
	for _, c := range []struct {
		name     string
		err      error
		protocol string
		want     string // empty: nothing is added
	}{
		{"another error", of("bind", syscall.EADDRINUSE), "tcp", ""},
		{"forbidden by the unit", of("bind", syscall.EPERM), "tcp", "SocketBindAllow=tcp:853 "},
		{"of UDP", of("bind", syscall.EPERM), "udp", "SocketBindAllow=udp:853 "},
		{"no capability", of("bind", syscall.EACCES), "tcp", "CAP_NET_BIND_SERVICE"},
		{"an interface, on an old kernel", of("setsockopt SO_BINDTODEVICE", syscall.EPERM), "udp", "CAP_NET_BIND_SERVICE"},
	} {
		got := ExplainBind(c.err, c.protocol, 853)
		if !errors.Is(got, c.err) || (got == c.err) != (c.want == "") || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
	}
	if err := ExplainBind(nil, "tcp", 853); err != nil {
		t.Errorf("no error: %v", err)
	}
}
