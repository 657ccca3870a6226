package sockets

import (
	"math"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/server/transport"
)

// MeasureSend measures on the loopback interface what sending a datagram costs,
// with warm caches and after pauses. A real interface adds delay and never
// removes any. The result is 0, which is a valid lower limit, where it cannot be
// measured. It takes 60 ms.
func MeasureSend() (warm, cold SendCost) {
	conns, err := Listen(Config{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), Stamps: Software})
	if err != nil {
		return SendCost{}, SendCost{}
	}
	c := conns[0]
	defer c.Close()
	packets := make([]transport.Packet, 1)
	c.addressSelf(packets)
	for range 5 { // the kernel starts to timestamp some time after the first socket asked for it
		if warm = c.measureSend(packets, 64, 0); warm.Least > 0 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	cold = c.measureSend(packets, 12, 2*time.Millisecond)
	cold.Least = warm.Least // twelve samples are too few for a minimum
	cold.Stamping = max(cold.Stamping, warm.Stamping)
	return warm, cold
}

// measureSend sends that many datagrams with transmit timestamps and as many
// without, from the socket to itself.
func (c *Conn) measureSend(packets []transport.Packet, rounds int, pause time.Duration) SendCost {
	const none = int64(math.MaxInt64)
	// The least times in ns from the clock's reading to the transmit timestamp,
	// and to the arrival of a datagram with and without one.
	sent, with, without := none, none, none
	var stamps [4]transport.TxStamp
	ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	p := &packets[0]
	for i := range 2*rounds + 2 { // the first two warm the caches
		p.Out, p.WantStamp = p.Out[:1], i%2 == 1
		if pause > 0 {
			time.Sleep(pause)
		}
		c.Compose(0, 1)
		start := time.Now().UnixNano()
		if n, _ := c.Transmit(); n != 1 {
			return SendCost{}
		}
		stamped := p.WantStamp
		if n, err := unix.Poll(ready, 100); n != 1 || err != nil || ready[0].Revents&unix.POLLIN == 0 {
			return SendCost{} // a packet filter may drop it
		}
		if n, err := c.Receive(packets, 0); n != 1 || err != nil {
			return SendCost{}
		}
		n := c.TxStamps(stamps[:])
		if i < 2 {
			continue
		}
		if p.SoftStamp != 0 {
			if stamped {
				with = min(with, p.SoftStamp-start)
			} else {
				without = min(without, p.SoftStamp-start)
			}
		}
		for _, s := range stamps[:n] {
			sent = min(sent, s.Soft-start)
		}
	}
	if sent == none || with == none || without == none {
		return SendCost{}
	}
	cost := min(max(0, with-without), max(0, sent))
	return SendCost{Least: time.Duration(max(0, sent-cost)), Stamping: time.Duration(cost)}
}

// addressSelf makes packets the batch, as if the socket had sent the first one
// to itself.
func (c *Conn) addressSelf(packets []transport.Packet) {
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&c.rx.sources[0])) = unix.RawSockaddrInet4{
		Family: unix.AF_INET, Port: ntohs(c.addr.Port()), Addr: c.addr.Addr().As4(),
	}
	c.rx.headers[0].Hdr.Namelen = unix.SizeofSockaddrInet4
	c.batch = packets
	packets[0].Out = c.tx.data[0][:0]
}
