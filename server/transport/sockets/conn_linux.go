package sockets

import (
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/server/transport"
)

// Conn is one socket and the working memory of the worker that uses it. Receive,
// Compose, Transmit and TxStamps are for one goroutine; Stop may be called from
// any.
type Conn struct {
	fd        int
	addr      netip.AddrPort
	bound     int    // index of the only interface that it receives from; 0: all
	shared    *Cards // beneath all sockets of the address
	cards     []Card // the same, as of the current batch
	rxLatency int64  // ns from the wire to a hardware receive timestamp
	txLatency int64  // ns from a hardware transmit timestamp to the wire
	stopped   atomic.Bool

	batch  []transport.Packet // as Receive filled it
	rx     rxMemory
	tx     txMemory
	stamps txStamping
}

const (
	wordSize = int(unsafe.Sizeof(uintptr(0))) // octets of a C long

	controlIn  = 192 // pktinfo 40, timestamps 64, their pktinfo 32, extended error up to 56
	controlOut = 72  // pktinfo 40, timestamp request 24
)

// rxMemory is what recvmmsg(2) fills: header i points to element i of the others.
type rxMemory struct {
	headers [transport.BatchLen]unix.Mmsghdr
	vectors [transport.BatchLen]unix.Iovec
	data    [transport.BatchLen][transport.MaxPacket]byte
	sources [transport.BatchLen]unix.RawSockaddrInet6 // large enough for IPv4 too
	control [transport.BatchLen][controlIn]byte
	used    int // headers that the last call changed

	// The address each datagram was sent to, and its interface.
	dest          [transport.BatchLen]netip.Addr
	destInterface [transport.BatchLen]uint32
}

// txMemory is what sendmmsg(2) reads. Header k is of answer packet[k].
type txMemory struct {
	headers  [transport.BatchLen]unix.Mmsghdr
	vectors  [transport.BatchLen]unix.Iovec
	data     [transport.BatchLen][transport.MaxPacket]byte
	control  [transport.BatchLen][controlOut]byte
	packet   [transport.BatchLen]int // index in batch
	composed int                     // number of headers to send
}

// init connects the headers with the memory they point to.
func (c *Conn) init() {
	for i := range c.rx.headers {
		h := &c.rx.headers[i].Hdr
		c.rx.vectors[i].Base = &c.rx.data[i][0]
		c.rx.vectors[i].SetLen(transport.MaxPacket)
		h.Name = (*byte)(unsafe.Pointer(&c.rx.sources[i]))
		h.Iov = &c.rx.vectors[i]
		h.SetIovlen(1)
		h.Control = &c.rx.control[i][0]
		c.tx.headers[i].Hdr.Iov = &c.tx.vectors[i]
		c.tx.headers[i].Hdr.SetIovlen(1)
	}
	c.rx.used = len(c.rx.headers)
	c.stamps.init()
}

// Addr returns the address the socket is bound to.
func (c *Conn) Addr() netip.AddrPort { return c.addr }

// Cards returns the cards that the socket receives from. All sockets of an address
// have the same.
func (c *Conn) Cards() *Cards { return c.shared }

// Bound returns the index of the only interface that the socket receives from; 0: it
// receives from all. An interface that is made anew gets another index.
func (c *Conn) Bound() int { return c.bound }

// Receive blocks until there is at least one datagram and fills p with those
// that have come. With gather > 0 it first lets datagrams gather for so long. It
// returns their number, and after Stop ErrClosed.
func (c *Conn) Receive(p []transport.Packet, gather time.Duration) (int, error) {
	if gather > 0 {
		t := unix.NsecToTimespec(int64(gather))
		_ = unix.Nanosleep(&t, nil) // a signal may shorten it
	}
	for i := range c.rx.used {
		h := &c.rx.headers[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlIn)
	}
	c.rx.used = 0
	room := uintptr(min(len(p), transport.BatchLen))
	for {
		r, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.rx.headers[0])), room, unix.MSG_WAITFORONE, 0, 0)
		if c.stopped.Load() {
			return 0, transport.ErrClosed
		}
		if e == 0 {
			c.rx.used = int(r)
			break
		}
		if e != unix.EINTR && e != unix.EAGAIN {
			return 0, os.NewSyscallError("recvmmsg", e)
		}
	}
	c.batch = p[:c.rx.used]
	c.takeCards()
	for i := range c.batch {
		c.unpack(i)
	}
	return len(c.batch), nil
}

// unpack fills packet i of the batch from its header and control messages.
func (c *Conn) unpack(i int) {
	h, p := &c.rx.headers[i], &c.batch[i]
	var ctl control
	if h.Hdr.Controllen > 0 {
		parseControl(c.rx.control[i][:min(uint64(h.Hdr.Controllen), controlIn)], wordSize, &ctl)
	}
	c.rx.dest[i], c.rx.destInterface[i] = ctl.local, ctl.localIf
	*p = transport.Packet{
		Req: c.rx.data[i][:min(int(h.Len), transport.MaxPacket)], Truncated: h.Hdr.Flags&unix.MSG_TRUNC != 0,
		Src: source(&c.rx.sources[i], h.Hdr.Namelen), Out: c.tx.data[i][:0],
		SoftStamp: ctl.soft, HardStamp: ctl.hard, PHC: -1, NotToUs: !ctl.toUs,
	}
	if p.HardStamp != 0 {
		p.HardStamp -= c.rxLatency
	}
	for k := range c.cards {
		card := &c.cards[k]
		tag, ok := card.match(&ctl)
		if !ok {
			continue
		}
		p.PHC, p.StampsTx = card.PHC, card.Transmit
		if p.HardStamp != 0 && card.link != nil {
			p.HardStamp += card.link.frameTime(frameLen(&ctl, p) + tag)
		}
	}
}

// takeCards takes the cards as the last look has found them.
func (c *Conn) takeCards() {
	if c.shared == nil {
		return
	}
	c.cards = c.shared.List()
	c.stamps.cardStamps = false
	for k := range c.cards {
		c.stamps.cardStamps = c.stamps.cardStamps || c.cards[k].Transmit
	}
}

// frameLen returns the length of the frame a datagram came in, without its check
// sequence, in octets.
func frameLen(ctl *control, p *transport.Packet) int64 {
	switch {
	case ctl.length != 0 && ctl.length < 1<<16:
		return int64(ctl.length)
	case p.Src.Addr().Is6():
		return headers6 + int64(len(p.Req))
	}
	return headers4 + int64(len(p.Req))
}

// source reads a socket address. It returns the zero AddrPort if there is none.
func source(sa *unix.RawSockaddrInet6, n uint32) netip.AddrPort {
	switch {
	case sa.Family == unix.AF_INET && n >= unix.SizeofSockaddrInet4:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), ntohs(v4.Port))
	case sa.Family == unix.AF_INET6 && n >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), ntohs(sa.Port))
	}
	return netip.AddrPort{}
}

func ntohs(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// Compose prepares the answers of the packets from to to-1 of the last batch for
// sending, each from the address its request was sent to. Their octets may still
// change, their lengths may not.
func (c *Conn) Compose(from, to int) {
	k := 0
	for i := from; i < to; i++ {
		p := &c.batch[i]
		if len(p.Out) == 0 {
			continue
		}
		c.tx.vectors[k].Base = &p.Out[0]
		c.tx.vectors[k].SetLen(len(p.Out))
		h := &c.tx.headers[k].Hdr
		h.Name, h.Namelen = c.rx.headers[i].Hdr.Name, c.rx.headers[i].Hdr.Namelen
		ctl := c.tx.control[k][:0]
		if c.rx.dest[i].IsValid() {
			ctl = appendPktinfo(ctl, wordSize, c.rx.dest[i], c.rx.destInterface[i])
		}
		if p.WantStamp = p.WantStamp && c.stamps.txFlags != 0; p.WantStamp {
			ctl = appendStampRequest(ctl, wordSize, c.stamps.request())
		}
		h.Control = nil
		if h.SetControllen(len(ctl)); len(ctl) > 0 {
			h.Control = &c.tx.control[k][0]
		}
		c.tx.packet[k] = i
		k++
	}
	c.tx.composed = k
}

// Transmit sends what was composed and returns how many answers were sent. If
// the system refuses some (no route, full queue, source port 0), it sends the
// others, and err is the first refusal.
func (c *Conn) Transmit() (sent int, err error) {
	n := c.tx.composed
	for at := 0; at < n; {
		r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.tx.headers[at])), uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		if e == unix.EINTR {
			continue
		}
		done := int(r)
		if e != 0 {
			done = 0
		}
		for k := at; k < at+done; k++ {
			if p := &c.batch[c.tx.packet[k]]; p.WantStamp {
				p.ID = c.stamps.nextID()
			}
		}
		sent += done
		at += done
		if e != 0 {
			if err == nil {
				err = os.NewSyscallError("sendmmsg", e)
			}
			if p := &c.batch[c.tx.packet[at]]; p.WantStamp {
				// Kernels differ in whether the refused one was counted.
				p.WantStamp = false
				c.restartIDs()
			}
			at++
		}
	}
	return sent, err
}

// Stop makes Receive return ErrClosed, now and always. Call Close after the
// worker has ended.
func (c *Conn) Stop() {
	c.stopped.Store(true)
	// On a socket that is not connected this returns ENOTCONN and nevertheless
	// wakes readers (inet_shutdown, net/ipv4/af_inet.c).
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

// Close frees the socket, which must not be in use.
func (c *Conn) Close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }
