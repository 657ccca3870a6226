package sockets

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	word = int(unsafe.Sizeof(uintptr(0))) // octets of a C long

	controlIn  = 192 // pktinfo 40, stamps 64, stamps' pktinfo 32, extended error up to 56
	controlOut = 72  // pktinfo 40, stamp request 24

	// rcvBuf holds some 1500 plain requests with the kernel's overhead, 5 ms of
	// a flood; more would make them late rather than lost. A larger default of
	// the system's stays.
	rcvBuf = 1 << 20
)

// Transmit stamps are requested per datagram, by a control message; these flags
// of the socket only say how they come back: with an identifier and without the
// datagram.
const (
	flagsSoft = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
		unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY
	flagsHard = unix.SOF_TIMESTAMPING_RX_HARDWARE | unix.SOF_TIMESTAMPING_RAW_HARDWARE |
		unix.SOF_TIMESTAMPING_OPT_PKTINFO | unix.SOF_TIMESTAMPING_OPT_TX_SWHW
)

// Conn is one socket. Recv, Send and Departures are for one goroutine; Stop may
// be called from any.
type Conn struct {
	fd      int
	addr    netip.AddrPort
	stopped atomic.Bool
	flags   int        // of SO_TIMESTAMPING, 0 = off
	txFlags uint32     // of a transmit stamp request, 0 = cannot
	cards   []Stamping // interfaces with a clock
	rxLate  int64      // ns from the wire to a hardware receive stamp
	txEarly int64      // ns from a hardware transmit stamp to the wire
	next    uint32     // the kernel's next stamp identifier
	rev     uint32     // distinguishes identifiers from before a resynchronisation
	err     errSys
}

// batchSys is what the system calls need of a Batch: headers that point to
// names, vectors and control messages.
type batchSys struct {
	rx, tx   [BatchLen]unix.Mmsghdr
	rxv, txv [BatchLen]unix.Iovec
	name     [BatchLen]unix.RawSockaddrInet6 // large enough for IPv4 too
	ctl      [BatchLen][controlIn]byte
	ctlOut   [BatchLen][controlOut]byte
	local    [BatchLen]netip.Addr
	localIf  [BatchLen]uint32
	sent     [BatchLen]int // index in Packets of what tx has
	in, out  [BatchLen][MaxPacket]byte
	composed int // how many tx has
	used     int // headers that the last Recv changed
}

// errSys reads the error queue.
type errSys struct {
	hdr [8]unix.Mmsghdr
	ctl [8][controlIn]byte
}

// NewBatch returns the memory for one worker.
func NewBatch() *Batch {
	b := new(Batch)
	s := &b.sys
	for i := range b.Packets {
		s.rxv[i].Base = &s.in[i][0]
		s.rxv[i].SetLen(MaxPacket)
		s.rx[i].Hdr.Name = (*byte)(unsafe.Pointer(&s.name[i]))
		s.rx[i].Hdr.Iov = &s.rxv[i]
		s.rx[i].Hdr.SetIovlen(1)
		s.rx[i].Hdr.Control = &s.ctl[i][0]
		s.tx[i].Hdr.Iov = &s.txv[i]
		s.tx[i].Hdr.SetIovlen(1)
		b.Packets[i].Out = s.out[i][:0]
	}
	s.used = BatchLen
	return b
}

// Listen opens the sockets of an address. Each interface that can stamp in
// hardware and is concerned is told to, if the process may; Cards tells.
// Errors keep what the system said.
func Listen(cfg Config) ([]*Conn, error) {
	n := max(1, cfg.Sockets)
	cards, err := setupCards(cfg)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	var conns []*Conn
	addr := cfg.Addr
	for i := range n {
		c, err := listen(cfg, addr, cards, i > 0)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
		}
		conns = append(conns, c)
		addr = c.addr // port 0 is chosen once
		if i == 0 && n > 1 {
			// Only now, so that an address in use is found in use, whoever uses
			// it: two sockets may share one only if both say so.
			if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
				c.Close()
				return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, os.NewSyscallError("setsockopt SO_REUSEPORT", err))
			}
		}
	}
	if n > 1 {
		if err := steer(conns[0].fd, addr.Addr().Is4(), n); err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
		}
	}
	return conns, nil
}

func listen(cfg Config, addr netip.AddrPort, cards []Stamping, reuse bool) (_ *Conn, err error) {
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &Conn{fd: fd, cards: cards, rxLate: int64(cfg.ReceiveLatency), txEarly: int64(cfg.TransmitLatency)}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	set := func(level, opt, v int, name string) {
		if err == nil {
			if e := unix.SetsockoptInt(fd, level, opt, v); e != nil {
				err = os.NewSyscallError("setsockopt "+name, e)
			}
		}
	}
	if reuse {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT")
	}
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY")
		set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(cfg.DSCP)<<2, "IPV6_TCLASS")
		set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER")
	} else {
		// Answers are no longer than requests and need no fragments; a datagram
		// that may not be fragmented also needs no identifier, which the kernel
		// draws from a table that all processors write to. What ICMP says of a
		// path's MTU is not believed: anybody can say it.
		set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER")
		set(unix.IPPROTO_IP, unix.IP_TOS, int(cfg.DSCP)<<2, "IP_TOS")
	}
	hard := slices.ContainsFunc(cards, func(s Stamping) bool { return s.Receive || s.Transmit })
	if addr.Addr().IsUnspecified() || hard {
		if family == unix.AF_INET6 {
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO")
		} else {
			set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1, "IP_PKTINFO")
		}
	}
	if err != nil {
		return nil, err
	}
	if n, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); e == nil && n < rcvBuf {
		// As large as the system lets us: a smaller buffer is no error.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvBuf)
	}
	if cfg.Interface != "" {
		if err := unix.BindToDevice(fd, cfg.Interface); err != nil {
			return nil, fmt.Errorf("bind to interface %s: %w", cfg.Interface, os.NewSyscallError("setsockopt SO_BINDTODEVICE", err))
		}
	}
	if cfg.Stamps != Off {
		c.flags, c.txFlags = flagsSoft, unix.SOF_TIMESTAMPING_TX_SOFTWARE
		if hard {
			c.flags |= flagsHard
			c.txFlags |= unix.SOF_TIMESTAMPING_TX_HARDWARE
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, c.flags); err != nil {
			if cfg.Stamps != Auto { // Linux before 5.1
				return nil, os.NewSyscallError("setsockopt SO_TIMESTAMPING", err)
			}
			c.flags, c.txFlags = 0, 0
		}
	}
	var sa unix.Sockaddr
	if family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		a6 := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
		if z := addr.Addr().Zone(); z != "" {
			ifi, err := net.InterfaceByName(z)
			if err != nil {
				return nil, fmt.Errorf("zone %s: %w", z, err)
			}
			a6.ZoneId = uint32(ifi.Index)
		}
		sa = a6
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	c.addr = addr
	if addr.Port() == 0 {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return nil, os.NewSyscallError("getsockname", err)
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			c.addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
		case *unix.SockaddrInet6:
			c.addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
		}
	}
	for i := range c.err.hdr {
		c.err.hdr[i].Hdr.Control = &c.err.ctl[i][0]
	}
	return c, nil
}

// skfNetOff makes a classic BPF load count from the IP header
// (SKF_NET_OFF, include/uapi/linux/filter.h).
const skfNetOff = 0xfff00000

// steer makes the kernel choose one of n sockets by the source address alone,
// so that each client always meets the same worker: its limits and its
// interleaved answers need no memory that workers share.
func steer(fd int, v4 bool, n int) error {
	ld := uint16(unix.BPF_LD | unix.BPF_W | unix.BPF_ABS)
	alu := func(op int, k uint32) unix.SockFilter {
		return unix.SockFilter{Code: uint16(unix.BPF_ALU | op | unix.BPF_K), K: k}
	}
	prog := []unix.SockFilter{{Code: ld, K: skfNetOff + 12}} // saddr
	if !v4 {
		// The first 64 bits of the source address, which a client cannot choose.
		prog = []unix.SockFilter{
			{Code: ld, K: skfNetOff + 8},
			{Code: uint16(unix.BPF_MISC | unix.BPF_TAX)},
			{Code: ld, K: skfNetOff + 12},
			{Code: uint16(unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X)},
		}
	}
	prog = append(prog,
		alu(unix.BPF_MUL, 0x9e3779b1), // 2^32 divided by the golden ratio
		alu(unix.BPF_RSH, 16),
		alu(unix.BPF_MOD, uint32(n)),
		unix.SockFilter{Code: uint16(unix.BPF_RET | unix.BPF_A)},
	)
	fp := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fp); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
	}
	return nil
}

// Addr is the address the socket is bound to.
func (c *Conn) Addr() netip.AddrPort { return c.addr }

// Cards lists the interfaces that could stamp what the socket gets; those with
// Receive do.
func (c *Conn) Cards() []Stamping { return c.cards }

// Recv blocks until at least one datagram is there, fills b with what has come
// and returns how many. After Stop it returns ErrClosed.
func (c *Conn) Recv(b *Batch) (int, error) {
	s := &b.sys
	for i := range s.used {
		h := &s.rx[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlIn)
	}
	s.used = 0
	var n int
	for {
		r, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&s.rx[0])), BatchLen, unix.MSG_WAITFORONE, 0, 0)
		if c.stopped.Load() {
			return 0, ErrClosed
		}
		if e == 0 {
			n = int(r)
			break
		}
		if e != unix.EINTR && e != unix.EAGAIN {
			return 0, os.NewSyscallError("recvmmsg", e)
		}
	}
	s.used = n
	for i := range n {
		c.unpack(b, i)
	}
	return n, nil
}

// Linger waits, and lets datagrams gather.
func (c *Conn) Linger(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, which does no harm
}

func (c *Conn) unpack(b *Batch, i int) {
	s, p := &b.sys, &b.Packets[i]
	h := &s.rx[i]
	p.Req = s.in[i][:min(int(h.Len), MaxPacket)]
	p.Truncated = h.Hdr.Flags&unix.MSG_TRUNC != 0
	p.Out, p.Stamp, p.ID = s.out[i][:0], false, 0
	p.Soft, p.Hard, p.PHC, p.Transmits = 0, 0, -1, false
	p.Src = source(&s.name[i], h.Hdr.Namelen)
	var ctl control
	if h.Hdr.Controllen > 0 {
		parseControl(s.ctl[i][:min(uint64(h.Hdr.Controllen), controlIn)], word, &ctl)
	}
	p.Soft, p.Hard = ctl.soft, ctl.hard
	s.local[i], s.localIf[i] = ctl.local, ctl.localIf
	if ctl.hard != 0 {
		p.Hard -= c.rxLate
	}
	for k := range c.cards {
		card := &c.cards[k]
		if uint32(card.Index) != ctl.ifindex {
			continue
		}
		p.PHC, p.Transmits = card.PHC, card.Transmit
		if p.Hard != 0 && card.link != nil {
			p.Hard += card.link.lasts(frameLen(&ctl, p))
		}
	}
}

// frameLen is the length of the frame a datagram came in, without its check
// sequence.
func frameLen(ctl *control, p *Packet) int64 {
	switch {
	case ctl.length != 0 && ctl.length < 1<<16:
		return int64(ctl.length)
	case p.Src.Addr().Is6():
		return headers6 + int64(len(p.Req))
	}
	return headers4 + int64(len(p.Req))
}

// source reads a socket address; the zero AddrPort stands for one that is none.
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

// Compose gets the answers of the packets from to to-1 ready to be sent, each
// from the address its request was sent to. Their octets may still change, not
// their lengths.
func (c *Conn) Compose(b *Batch, from, to int) {
	s := &b.sys
	k := 0
	for i := from; i < to; i++ {
		p := &b.Packets[i]
		if len(p.Out) == 0 {
			continue
		}
		s.txv[k].Base = &p.Out[0]
		s.txv[k].SetLen(len(p.Out))
		h := &s.tx[k].Hdr
		h.Name, h.Namelen = s.rx[i].Hdr.Name, s.rx[i].Hdr.Namelen
		ctl := s.ctlOut[k][:0]
		if s.local[i].IsValid() {
			ctl = appendPktinfo(ctl, word, s.local[i], s.localIf[i])
		}
		if p.Stamp = p.Stamp && c.txFlags != 0; p.Stamp {
			ctl = appendStampRequest(ctl, word, c.txFlags)
		}
		h.Control = nil
		if h.SetControllen(len(ctl)); len(ctl) > 0 {
			h.Control = &s.ctlOut[k][0]
		}
		s.sent[k] = i
		k++
	}
	s.composed = k
}

// Transmit sends what was composed, and returns how many answers left. The
// others were refused by the system (no route, full queue, a source port of 0):
// the error is the first such refusal, and no reason to stop.
func (c *Conn) Transmit(b *Batch) (sent int, err error) {
	s := &b.sys
	k := s.composed
	for at := 0; at < k; {
		r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&s.tx[at])), uintptr(k-at), unix.MSG_DONTWAIT, 0, 0)
		if e == unix.EINTR {
			continue
		}
		done := int(r)
		if e != 0 {
			done = 0
		}
		for j := at; j < at+done; j++ {
			if p := &b.Packets[s.sent[j]]; p.Stamp {
				p.ID = c.next&idMask | c.rev<<idBits
				c.next++
			}
		}
		sent += done
		at += done
		if e != 0 {
			if err == nil {
				err = os.NewSyscallError("sendmmsg", e)
			}
			if p := &b.Packets[s.sent[at]]; p.Stamp {
				// Kernels differ in whether this one counted: count from new.
				p.Stamp = false
				c.resync()
			}
			at++
		}
	}
	return sent, err
}

// An identifier is a counter and, above it, the number of resynchronisations,
// so that a stamp from before one is not taken for one from after it.
const (
	idBits = 24
	idMask = 1<<idBits - 1
)

// resync makes the kernel's identifiers begin at 0 again. What is on the error
// queue is from before, and dropped.
func (c *Conn) resync() {
	var scrap [16]Departure
	for c.Departures(scrap[:]) > 0 {
	}
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, c.flags&^unix.SOF_TIMESTAMPING_OPT_ID)
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, c.flags) != nil {
		c.txFlags = 0
	}
	c.next = 0
	c.rev++
}

// Departures reads the transmit stamps that have come, without waiting, and
// returns how many. A datagram with both kinds of stamp gives two.
func (c *Conn) Departures(dst []Departure) int {
	n := 0
	for n < len(dst) {
		e := &c.err
		m := min(len(e.hdr), len(dst)-n)
		for i := range m {
			e.hdr[i].Hdr.SetControllen(controlIn)
		}
		r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&e.hdr[0])), uintptr(m), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 || r == 0 {
			break
		}
		for i := range int(r) {
			var ctl control
			parseControl(e.ctl[i][:min(uint64(e.hdr[i].Hdr.Controllen), controlIn)], word, &ctl)
			if d, ok := c.departure(&ctl); ok {
				dst[n] = d
				n++
			}
		}
		if int(r) < m {
			break
		}
	}
	return n
}

// departure makes one of what the error queue told.
func (c *Conn) departure(ctl *control) (Departure, bool) {
	d := Departure{ID: ctl.id&idMask | c.rev<<idBits, Soft: ctl.soft, Hard: ctl.hard}
	if d.Hard != 0 {
		d.Hard += c.txEarly
	}
	return d, ctl.isID && (d.Soft != 0 || d.Hard != 0)
}

// Stop ends Recv, now and for ever. The caller waits for the worker and then
// calls Close.
func (c *Conn) Stop() {
	c.stopped.Store(true)
	// On a socket that is not connected this says ENOTCONN and wakes readers
	// all the same (inet_shutdown, net/ipv4/af_inet.c).
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

// Close frees the socket. Nobody may be using it.
func (c *Conn) Close() error {
	if err := unix.Close(c.fd); err != nil {
		return os.NewSyscallError("close", err)
	}
	return nil
}
