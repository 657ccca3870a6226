package ntsclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Stamp is a reading of the local clock at the passage of a packet.
type Stamp struct {
	Real   int64 // CLOCK_REALTIME, ns since the POSIX epoch
	Kernel bool  // taken by the kernel beside the wire, else by this program around its call
}

// Conn is a datagram socket connected to one server, which stamps what passes.
type Conn interface {
	// Send sends one packet. The stamp is taken before.
	Send(b []byte) (Stamp, error)
	// Sent returns the kernel's stamp of the last packet sent, if there is one;
	// it may come as late as the answer.
	Sent() (Stamp, bool)
	// Receive reads one packet into b and cuts off what does not fit. It ends with
	// os.ErrDeadlineExceeded at the deadline.
	Receive(b []byte, deadline time.Time) (int, Stamp, error)
	RemoteAddr() net.Addr
	Close() error
}

// dialUDP connects to the server; network is "udp", "udp4" or "udp6".
func dialUDP(ctx context.Context, network, address string) (Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("dial %s %s: not a datagram socket", network, address)
	}
	return newUDP(u), nil
}

// dialTCP returns a dial function for key exchange over one network, "tcp",
// "tcp4" or "tcp6".
func dialTCP(network string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// remote returns the peer's address and port, the zero value if the socket has
// none of that kind.
func remote(c Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.UDPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
