//go:build !linux

package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"noonmark/server/transport"
)

// Conn is one socket. Receive, Compose, Transmit and TxStamps are for one
// goroutine; Stop may be called from any.
type Conn struct {
	c        *net.UDPConn
	stopped  atomic.Bool
	batch    []transport.Packet
	in, out  [transport.MaxPacket + 1]byte
	from, to int // composed
}

// Listen opens one socket, whatever cfg.Sockets is: sharing an address is not
// portable.
func Listen(cfg Config) ([]*Conn, error) {
	if cfg.Stamps == Hardware {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, ErrNoHardware)
	}
	network := "udp6"
	if cfg.Addr.Addr().Is4() {
		network = "udp4"
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(cfg.Addr))
	if err != nil {
		return nil, err
	}
	return []*Conn{{c: c}}, nil
}

// Addr returns the address the socket is bound to.
func (c *Conn) Addr() netip.AddrPort { return c.c.LocalAddr().(*net.UDPAddr).AddrPort() }

// Cards returns the cards with a clock: none are known here.
func (c *Conn) Cards() *Cards { return newCards(Config{}, nil) }

// Bound returns 0: binding to an interface is not portable.
func (c *Conn) Bound() int { return 0 }

// Receive blocks until there is a datagram. After Stop it returns ErrClosed. It
// ignores gather, because it receives one datagram at a time.
func (c *Conn) Receive(p []transport.Packet, _ time.Duration) (int, error) {
	n, src, err := c.c.ReadFromUDPAddrPort(c.in[:])
	if c.stopped.Load() {
		return 0, transport.ErrClosed
	}
	if err != nil {
		return 0, err
	}
	p[0] = transport.Packet{
		Req: c.in[:min(n, transport.MaxPacket)], Truncated: n > transport.MaxPacket, PHC: -1, Out: c.out[:0:transport.MaxPacket],
		Src: netip.AddrPortFrom(src.Addr().Unmap(), src.Port()),
	}
	c.batch = p[:1]
	return 1, nil
}

// Compose prepares the answers of the packets from to to-1 of the last batch.
func (c *Conn) Compose(from, to int) { c.from, c.to = from, to }

// Transmit sends what was composed and returns how many answers were sent.
func (c *Conn) Transmit() (sent int, err error) {
	for i := c.from; i < c.to; i++ {
		p := &c.batch[i]
		p.WantStamp = false
		if len(p.Out) == 0 {
			continue
		}
		if _, e := c.c.WriteToUDPAddrPort(p.Out, p.Src); e == nil {
			sent++
		} else if err == nil {
			err = e
		}
	}
	return sent, err
}

// TxStamps returns 0: there are no transmit timestamps here.
func (c *Conn) TxStamps([]transport.TxStamp) int { return 0 }

// Stop makes Receive return ErrClosed, now and always. Call Close after the
// worker has ended.
func (c *Conn) Stop() {
	c.stopped.Store(true)
	_ = c.c.SetReadDeadline(time.Unix(1, 0)) // fails only if closed
}

// Close frees the socket, which must not be in use.
func (c *Conn) Close() error { return c.c.Close() }

// MeasureSend returns zeros: there are no timestamps to measure with.
func MeasureSend() (warm, cold SendCost) { return SendCost{}, SendCost{} }
