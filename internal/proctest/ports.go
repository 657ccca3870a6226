package proctest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

const (
	firstPort = 10000 // least that FreePorts returns
	lastPort  = 65535
	// fewPorts is how many ports must be left that the system does not hand out, for
	// FreePorts to choose among those alone.
	fewPorts = 1000
)

// FreePorts returns n ports of 127.0.0.1 that are free now, for TCP and UDP. Until the
// test ends, FreePorts gives them to no other test of this machine. Where the system leaves
// room for that, they are none that it gives to sockets without a port of their own
// choice, as clients are: it would take one before the test's program does.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	const tries = 100 // for each port
	for range n * tries {
		if len(ports) == n {
			return ports
		}
		port := candidate()
		if !isFree(t, port) {
			continue
		}
		if release, ok := claimPort(port); ok {
			t.Cleanup(release)
			ports = append(ports, port)
		}
	}
	if len(ports) < n {
		t.Fatalf("%d of %d ports are free after %d tries", len(ports), n, n*tries)
	}
	return ports
}

// candidate is a port at random that the system does not hand out, if it leaves any.
func candidate() int {
	low, high, ok := systemPorts()
	switch {
	case !ok:
	case low-firstPort >= fewPorts:
		return firstPort + rand.IntN(low-firstPort)
	case lastPort-high >= fewPorts:
		return high + 1 + rand.IntN(lastPort-high)
	}
	return firstPort + rand.IntN(lastPort+1-firstPort)
}

// isFree reports whether nobody has a port of 127.0.0.1.
func isFree(t testing.TB, port int) bool {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp4", address)
	if err != nil {
		if any, err := net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Skipf("no socket: %v", err)
		} else {
			any.Close()
		}
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp4", address)
	if err != nil {
		return false // somebody has it for UDP
	}
	u.Close()
	return true
}
