package ntsclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Stamp is the timestamp of a packet by the local clock.
type Stamp struct {
	Real   int64 // CLOCK_REALTIME, ns since the POSIX epoch
	Kernel bool  // by the kernel, else by this program around its system call
}

// Conn is a datagram socket that is connected to one server, with timestamps.
type Conn interface {
	// Send sends one packet. It returns the time before sending.
	Send(b []byte) (Stamp, error)
	// Sent returns the kernel's timestamp of the last sent packet, if there is one. It
	// may come as late as the answer.
	Sent() (Stamp, bool)
	// Receive reads one packet into b and truncates it if it does not fit. At the
	// deadline it returns os.ErrDeadlineExceeded.
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

// remote returns the address of the server, the zero value if it is not a UDP
// address.
func remote(c Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.UDPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
