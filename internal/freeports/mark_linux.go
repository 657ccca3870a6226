package freeports

import (
	"fmt"
	"io"
	"net"
)

// mark reserves a port among the programs that ask this package. The mark is an abstract
// socket (unix(7)): it belongs to the network namespace, as ports do, and ends with the process.
func mark(port int) (io.Closer, error) {
	c, err := net.ListenPacket("unixgram", fmt.Sprintf("@noonmark-test-port-%d", port))
	if err != nil {
		return nil, fmt.Errorf("port %d %w: %w", port, errTaken, err)
	}
	return c, nil
}
