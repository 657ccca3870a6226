package proctest

import (
	"fmt"
	"net"
	"os"
)

// systemPorts are the least and the greatest port that the system gives to sockets without
// one of their own choice (ip(7)).
func systemPorts() (low, high int, ok bool) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, false
	}
	n, _ := fmt.Sscan(string(b), &low, &high)
	return low, high, n == 2
}

// claimPort keeps a port from other tests until release is called. The mark is a name of
// an abstract socket (unix(7)): as ports, those belong to the network namespace, and one
// of a process that was killed is gone.
func claimPort(port int) (release func(), ok bool) {
	c, err := net.ListenPacket("unixgram", fmt.Sprintf("@noonmark-test-port-%d", port))
	if err != nil {
		return nil, false
	}
	return func() { c.Close() }, true
}
