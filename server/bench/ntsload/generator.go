package main

import (
	"crypto/cipher"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type mmsg struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

const (
	// batch is the largest number of frames sent at once.
	batch = 32
	// port is the clients' source port.
	port = 40000
)

// generator sends the requests of all clients in turn, again and again.
type generator struct {
	fd       int // AF_PACKET
	answers  int // UDP socket, for the answers that are verified
	msgs     []mmsg
	iov      []unix.Iovec
	requests []template
	byXmt    map[[8]byte]*template // by transmit timestamp
	pos      int                   // the next request
	counter  *counter
	pids     []string
	cpu      int // the server's
	verified atomic.Uint64
	invalid  atomic.Uint64
	lastErr  atomic.Value
}

// newGenerator composes the requests and opens the sockets; s is nil without NTS.
func newGenerator(o options, s *session, c2s cipher.AEAD) (*generator, error) {
	ifc, err := net.InterfaceByName(o.iface)
	if err != nil {
		return nil, err
	}
	g := &generator{cpu: o.serverCPU, pids: o.processes()}
	if err := g.compose(o, ifc, s, c2s); err != nil {
		return nil, err
	}
	minLen := 90
	if s != nil {
		minLen = 42 + 48 + 36 + 24 + len(s.cookies[0])
		fmt.Fprintf(os.Stderr, "# NTS-KE ok: aead %d, %d cookies of %d bytes, request %d bytes UDP payload\n", s.aead, len(s.cookies), len(s.cookies[0]), len(g.requests[0].frame)-42)
	}
	if g.counter, err = attachCounter(ifc.Index, minLen); err != nil {
		return nil, fmt.Errorf("tcx: %w", err)
	}
	return g, g.open(ifc)
}

// compose makes one request per client.
func (g *generator) compose(o options, ifc *net.Interface, s *session, c2s cipher.AEAD) error {
	dmac, err := net.ParseMAC(o.dmac)
	if err != nil {
		return err
	}
	src, dst := net.ParseIP(o.src), net.ParseIP(o.dst)
	g.requests, g.byXmt = make([]template, o.clients), make(map[[8]byte]*template, o.clients)
	for i := range g.requests {
		var cookie []byte
		if s != nil {
			cookie = s.cookies[i%len(s.cookies)]
		}
		p, uid := ntpPayload(s, c2s, cookie, o.placeholders)
		f := frame(dmac, ifc.HardwareAddr, src, dst, port, p, uint16(i+256))
		g.requests[i] = template{frame: f, uid: uid, xmt: p[40:48]}
		g.byXmt[[8]byte(p[40:48])] = &g.requests[i]
	}
	g.msgs = make([]mmsg, o.clients)
	g.iov = make([]unix.Iovec, o.clients)
	for i := range g.msgs {
		g.iov[i].Base = &g.requests[i].frame[0]
		g.iov[i].SetLen(len(g.requests[i].frame))
		g.msgs[i].hdr.Iov = &g.iov[i]
		g.msgs[i].hdr.SetIovlen(1)
	}
	return nil
}

// open opens the socket to send by and the one that receives the answers which
// the counter lets pass.
func (g *generator) open(ifc *net.Interface) (err error) {
	if g.answers, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
		return err
	}
	if err := unix.Bind(g.answers, &unix.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	if g.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
		return err
	}
	if err := unix.Bind(g.fd, &unix.SockaddrLinklayer{Ifindex: ifc.Index}); err != nil {
		return err
	}
	unix.SetsockoptInt(g.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	unix.SetsockoptInt(g.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	return nil
}

// send transmits up to n (at most batch) frames and returns how many went out.
func (g *generator) send(n int) (int, error) {
	n = min(n, len(g.msgs)-g.pos)
	r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[g.pos])), uintptr(n), 0, 0, 0)
	if e == unix.ENOBUFS || e == unix.EAGAIN {
		return 0, nil
	}
	if e != 0 {
		return 0, fmt.Errorf("sendmmsg: %w", e)
	}
	g.pos = (g.pos + int(r)) % len(g.msgs)
	return int(r), nil
}

// offer sends rate requests a second (0: as many as possible) for d.
func (g *generator) offer(rate float64, d time.Duration) (sent int, err error) {
	start := time.Now()
	for {
		elapsed := time.Since(start)
		if elapsed >= d {
			return sent, nil
		}
		n := batch
		if rate > 0 {
			due := int(rate*elapsed.Seconds()) - sent
			if due < 8 && float64(due) < rate/20000 || due <= 0 {
				continue
			}
			n = min(n, due)
		}
		out, err := g.send(n)
		if err != nil {
			return sent, err
		}
		sent += out
	}
}

// drain waits until no more answers arrive.
func (g *generator) drain() {
	prev, _ := g.counter.read()
	for i := range 30 {
		time.Sleep(10 * time.Millisecond)
		now, _ := g.counter.read()
		if now == prev && i > 2 {
			return
		}
		prev = now
	}
}

// verify verifies the answers that the counter lets pass.
func (g *generator) verify(s *session, s2c cipher.AEAD) {
	buf := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(g.answers, buf, 0)
		if err != nil {
			return
		}
		if n < 48 {
			g.invalid.Add(1)
			continue
		}
		t := g.byXmt[[8]byte(buf[24:32])] // the answer repeats the request's timestamp
		if t == nil {
			g.invalid.Add(1)
			g.lastErr.Store("unknown origin timestamp")
			continue
		}
		if err := checkReply(t, buf[:n], s, s2c); err != nil {
			g.invalid.Add(1)
			g.lastErr.Store(err.Error())
			continue
		}
		g.verified.Add(1)
	}
}
