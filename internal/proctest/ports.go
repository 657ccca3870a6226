package proctest

import (
	"fmt"
	"net"
	"testing"
)

// FreePorts returns n ports of 127.0.0.1 that are free now, for TCP and UDP.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for len(ports) < n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Skipf("no socket: %v", err)
		}
		defer l.Close() // all at the end, so that no port comes twice
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody has it for UDP
		}
		defer u.Close()
		ports = append(ports, port)
	}
	return ports
}
