package sockets

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"noonmark/server/transport"
)

// txStamping is the state of transmit timestamps: identifiers, and the memory
// for reading the socket's error queue, where they come back.
type txStamping struct {
	flags   int    // of SO_TIMESTAMPING; 0 = off
	txFlags uint32 // of a request; 0 = not available
	// cardStamps: a card beneath the socket timestamps what it sends.
	cardStamps bool
	next       uint32 // the kernel's next identifier
	restarts   uint32 // how often identifiers began at 0 again

	headers [8]unix.Mmsghdr
	control [8][controlIn]byte
}

// An identifier is the kernel's counter and, above it, the number of restarts,
// so that a timestamp from before a restart matches no answer from after it.
const (
	idBits = 24
	idMask = 1<<idBits - 1
)

// request returns the flags of a request. Hardware timestamps are not asked of cards
// that have none switched on.
func (s *txStamping) request() uint32 {
	if s.cardStamps {
		return s.txFlags
	}
	return s.txFlags &^ unix.SOF_TIMESTAMPING_TX_HARDWARE
}

func (s *txStamping) init() {
	for i := range s.headers {
		s.headers[i].Hdr.Control = &s.control[i][0]
	}
}

// nextID returns the identifier of the answer that was just sent.
func (s *txStamping) nextID() uint32 {
	id := s.next&idMask | s.restarts<<idBits
	s.next++
	return id
}

// restartIDs makes the kernel's identifiers begin at 0 again. What is on the
// error queue is from before, and dropped.
func (c *Conn) restartIDs() {
	s := &c.stamps
	var old [16]transport.TxStamp
	for c.TxStamps(old[:]) > 0 {
	}
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, s.flags&^unix.SOF_TIMESTAMPING_OPT_ID)
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, s.flags) != nil {
		s.txFlags = 0
	}
	s.next = 0
	s.restarts++
}

// TxStamps moves the transmit timestamps that have come to dst, without waiting,
// and returns their number. An answer with both kinds of timestamp gives two.
func (c *Conn) TxStamps(dst []transport.TxStamp) int {
	s := &c.stamps
	n := 0
	for n < len(dst) {
		m := min(len(s.headers), len(dst)-n)
		for i := range m {
			s.headers[i].Hdr.SetControllen(controlIn)
		}
		r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&s.headers[0])), uintptr(m), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 || r == 0 {
			break
		}
		for i := range int(r) {
			var ctl control
			parseControl(s.control[i][:min(uint64(s.headers[i].Hdr.Controllen), controlIn)], wordSize, &ctl)
			if t, ok := c.txStamp(&ctl); ok {
				dst[n] = t
				n++
			}
		}
		if int(r) < m {
			break
		}
	}
	return n
}

// txStamp makes a timestamp of one entry of the error queue.
func (c *Conn) txStamp(ctl *control) (transport.TxStamp, bool) {
	t := transport.TxStamp{ID: ctl.id&idMask | c.stamps.restarts<<idBits, Soft: ctl.soft, Hard: ctl.hard}
	if t.Hard != 0 {
		t.Hard += c.txLatency
	}
	return t, ctl.isID && (t.Soft != 0 || t.Hard != 0)
}
