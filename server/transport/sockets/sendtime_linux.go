package sockets

import (
	"math"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendTime measures on the loopback interface how long a datagram takes at least
// from a reading of the clock before the system call that sends it to its
// departure, and by how much the making of a software transmit stamp delays the
// departures of those that are stamped, with warm caches and after pauses. A
// real interface has more on the way, never less. All is 0 where it cannot be
// measured: then that is the least that is known. It takes 60 ms.
func SendTime() (warm, cold Sending) {
	conns, err := Listen(Config{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), Stamps: Software})
	if err != nil {
		return Sending{}, Sending{}
	}
	c := conns[0]
	defer c.Close()
	b := NewBatch()
	c.loop(b)
	for range 5 { // the kernel begins to stamp some time after the first socket asked for it
		if warm = c.sendTime(b, 64, 0); warm.Least > 0 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	cold = c.sendTime(b, 12, 2*time.Millisecond)
	cold.Least = warm.Least // the least of few is not so little
	cold.Stamping = max(cold.Stamping, warm.Stamping)
	return warm, cold
}

// sendTime is SendTime for so many datagrams with stamps and as many without.
func (c *Conn) sendTime(b *Batch, rounds int, pause time.Duration) Sending {
	const none = int64(math.MaxInt64)
	// From the clock's reading: to the transmit stamp, and to the arrival of a
	// datagram with and without one.
	sent, with, without := none, none, none
	var d [4]Departure
	ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	for i := range 2*rounds + 2 { // the first two for the caches
		p := &b.Packets[0]
		p.Out, p.Stamp = p.Out[:1], i%2 == 1
		if pause > 0 {
			time.Sleep(pause)
		}
		c.Compose(b, 0, 1)
		start := time.Now().UnixNano()
		if n, _ := c.Transmit(b); n != 1 {
			return Sending{}
		}
		stamped := p.Stamp
		if n, err := unix.Poll(ready, 100); n != 1 || err != nil || ready[0].Revents&unix.POLLIN == 0 {
			return Sending{} // a filter may be in the way
		}
		if n, err := c.Recv(b); n != 1 || err != nil {
			return Sending{}
		}
		n := c.Departures(d[:])
		if i < 2 {
			continue
		}
		if soft := b.Packets[0].Soft; soft != 0 {
			if stamped {
				with = min(with, soft-start)
			} else {
				without = min(without, soft-start)
			}
		}
		for k := range n {
			sent = min(sent, d[k].Soft-start)
		}
	}
	if sent == none || with == none || without == none {
		return Sending{}
	}
	cost := min(max(0, with-without), max(0, sent))
	return Sending{Least: time.Duration(max(0, sent-cost)), Stamping: time.Duration(cost)}
}

// loop makes the next Send of the batch's first packet go to the socket itself.
func (c *Conn) loop(b *Batch) {
	s := &b.sys
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name[0])) = unix.RawSockaddrInet4{
		Family: unix.AF_INET, Port: ntohs(c.addr.Port()), Addr: c.addr.Addr().As4(),
	}
	s.rx[0].Hdr.Namelen = unix.SizeofSockaddrInet4
}
