//go:build !linux

package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Conn is one socket. Recv, Send and Departures are for one goroutine; Stop may
// be called from any.
type Conn struct {
	c       *net.UDPConn
	stopped atomic.Bool
}

type batchSys struct {
	in, out  [MaxPacket + 1]byte
	from, to int
}

// NewBatch returns the memory for one worker.
func NewBatch() *Batch { return new(Batch) }

// Listen opens one socket, whatever cfg.Sockets says: sharing an address is
// not portable.
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

// Addr is the address the socket is bound to.
func (c *Conn) Addr() netip.AddrPort { return c.c.LocalAddr().(*net.UDPAddr).AddrPort() }

// Cards lists the interfaces whose stamps the socket gets: none here.
func (c *Conn) Cards() []Stamping { return nil }

// LookAtLinks does nothing: no card's stamps are known here.
func (c *Conn) LookAtLinks() {}

// Recv blocks until a datagram is there. After Stop it returns ErrClosed.
func (c *Conn) Recv(b *Batch) (int, error) {
	n, src, err := c.c.ReadFromUDPAddrPort(b.sys.in[:])
	if c.stopped.Load() {
		return 0, ErrClosed
	}
	if err != nil {
		return 0, err
	}
	b.Packets[0] = Packet{
		Req: b.sys.in[:min(n, MaxPacket)], Truncated: n > MaxPacket, PHC: -1, Out: b.sys.out[:0:MaxPacket],
		Src: netip.AddrPortFrom(src.Addr().Unmap(), src.Port()),
	}
	return 1, nil
}

// Compose gets the answers of the packets from to to-1 ready to be sent.
func (c *Conn) Compose(b *Batch, from, to int) { b.sys.from, b.sys.to = from, to }

// Transmit sends what was composed, and returns how many answers left.
func (c *Conn) Transmit(b *Batch) (sent int, err error) {
	for i := b.sys.from; i < b.sys.to; i++ {
		p := &b.Packets[i]
		p.Stamp = false
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

// Linger does nothing: a datagram at a time is received here anyway.
func (c *Conn) Linger(time.Duration) {}

// Departures has no transmit stamps here.
func (c *Conn) Departures([]Departure) int { return 0 }

// Stop ends Recv, now and for ever. The caller waits for the worker and then
// calls Close.
func (c *Conn) Stop() {
	c.stopped.Store(true)
	_ = c.c.SetReadDeadline(time.Unix(1, 0)) // fails only once closed
}

// Close frees the socket. Nobody may be using it.
func (c *Conn) Close() error { return c.c.Close() }

// Interfaces tells what the interfaces stamp: nothing that is known here.
func Interfaces(string) ([]Stamping, error) { return nil, nil }

// SendTime has nothing to tell here: there are no stamps.
func SendTime() (warm, cold Sending) { return Sending{}, Sending{} }
