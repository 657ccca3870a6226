package ntske

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch is how many connections are accepted between two looks at those that
	// are open.
	acceptBatch = 64
	// acceptPause is the wait after a failure to accept, such as too many open files.
	acceptPause = 50 * time.Millisecond
	eventBatch  = 128
)

// epollTransport is a transport for TCP that waits in one system call for everything
// and has no goroutines. The Go runtime's own network poller needs several system
// calls and two changes of threads more for an exchange: a tenth of its cost.
type epollTransport struct {
	ctx       context.Context
	listener  *os.File // nil: closed
	wake      *os.File // an eventfd that is written when the context ends
	cancel    func() bool
	more      bool      // connections may wait to be accepted
	resumes   time.Time // no accept before
	fd        int
	conns     []*conn // by file descriptor
	events    [eventBatch]unix.EpollEvent
	buf       [16 << 10]byte
	listening int // file descriptor of listener
	waking    int // file descriptor of wake
}

// socket is a connection of an epollTransport.
type socket struct {
	fd       int
	out      []byte // what the kernel had no room for
	writable bool   // its event for writing is enabled
}

func newTransport(ctx context.Context, l net.Listener) (transport, error) {
	tl, ok := l.(*net.TCPListener)
	if !ok {
		return newConnTransport(ctx, l), nil
	}
	// A copy of the file descriptor, which the runtime's poller does not know.
	f, err := tl.File()
	if err != nil {
		return nil, err
	}
	l.Close()
	t := &epollTransport{ctx: ctx, listener: f, listening: int(f.Fd()), fd: -1, more: true}
	if err := t.open(); err != nil {
		t.end()
		return nil, err
	}
	t.cancel = context.AfterFunc(ctx, func() { t.wake.Write(binary.NativeEndian.AppendUint64(nil, 1)) })
	return t, nil
}

func (t *epollTransport) open() error {
	if err := unix.SetNonblock(t.listening, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	// Connections inherit it.
	if err := unix.SetsockoptInt(t.listening, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// Connections are accepted with their first octets, or a second later. One that is
	// reset before costs the server nothing.
	if err := unix.SetsockoptInt(t.listening, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	var err error
	if t.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	w, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	t.wake, t.waking = os.NewFile(uintptr(w), "eventfd"), w
	for _, fd := range [...]int{t.listening, t.waking} {
		if err := t.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// watch enables events of a file descriptor, edge-triggered.
func (t *epollTransport) watch(op, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(t.fd, op, fd, &ev))
}

func (t *epollTransport) wait(d time.Duration, happened func(event)) error {
	if t.more && t.listener != nil {
		if pause := time.Until(t.resumes); pause <= 0 {
			d = 0
		} else if d < 0 || pause < d {
			d = pause
		}
	}
	ms := -1
	if d >= 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(t.fd, t.events[:], ms)
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	for i := range max(n, 0) {
		switch fd := int(t.events[i].Fd); {
		case fd == t.listening:
			t.more = true
		case fd == t.waking:
			t.stop()
		default:
			t.ready(fd, t.events[i].Events, happened)
		}
	}
	if t.more && t.listener != nil && !time.Now().Before(t.resumes) {
		return t.accept(happened)
	}
	return nil
}

// stop closes the listener.
func (t *epollTransport) stop() {
	var b [8]byte
	unix.Read(t.waking, b[:])
	if t.listener != nil {
		// Another process may have the socket too, and then closing does not end its events.
		unix.EpollCtl(t.fd, unix.EPOLL_CTL_DEL, t.listening, nil)
		t.listener.Close()
		t.listener = nil
	}
}

// accept reports new connections.
func (t *epollTransport) accept(happened func(event)) error {
	for range acceptBatch {
		fd, sa, err := unix.Accept4(t.listening, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			t.more = false
			return nil
		case unix.ECONNABORTED, unix.EINTR, unix.EPROTO, unix.ENETDOWN, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPERM:
			continue // of one connection
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			t.resumes = time.Now().Add(acceptPause)
			return nil
		default:
			return os.NewSyscallError("accept4", err)
		}
		c := &conn{remote: sockaddr(sa), link: &socket{fd: fd}}
		for len(t.conns) <= fd {
			t.conns = append(t.conns, nil)
		}
		t.conns[fd] = c
		happened(event{kind: accepted, c: c})
		if t.conns[fd] == c {
			t.ready(fd, unix.EPOLLIN, happened)
		}
		if t.conns[fd] != c {
			continue // closed
		}
		if err := t.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
			happened(event{kind: ended, c: c, err: err})
		}
	}
	return nil
}

// sockaddr returns the address of a client.
func sockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// ready handles the events of one connection.
func (t *epollTransport) ready(fd int, events uint32, happened func(event)) {
	c := t.conns[fd]
	if c == nil {
		return // closed by an event before this one
	}
	s := c.link.(*socket)
	if s.writable && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		t.flush(c, s, happened)
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return
	}
	for t.conns[fd] == c {
		n, err := unix.Read(fd, t.buf[:])
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			happened(event{kind: ended, c: c, err: os.NewSyscallError("read", err)})
			return
		case n == 0:
			happened(event{kind: ended, c: c, err: io.EOF})
			return
		}
		happened(event{kind: received, c: c, data: t.buf[:n]})
		if n < len(t.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return // that was all
		}
	}
}

// flush sends what the kernel had no room for.
func (t *epollTransport) flush(c *conn, s *socket, happened func(event)) {
	rest := s.out
	s.out = nil
	switch done, err := t.send(c, rest); {
	case err != nil:
		happened(event{kind: ended, c: c, err: err})
	case done:
		happened(event{kind: sent, c: c})
	}
}

func (t *epollTransport) send(c *conn, b []byte) (done bool, err error) {
	s := c.link.(*socket)
	if len(s.out) == 0 {
		n, err := unix.Write(s.fd, b)
		if err != nil && err != unix.EAGAIN {
			return false, os.NewSyscallError("write", err)
		}
		b = b[max(n, 0):]
	}
	if s.out = append(s.out, b...); len(s.out) == 0 {
		return true, nil
	}
	s.writable = true
	return false, t.watch(unix.EPOLL_CTL_MOD, s.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT)
}

func (t *epollTransport) close(c *conn) {
	fd := c.link.(*socket).fd
	t.conns[fd] = nil
	unix.Close(fd)
}

func (t *epollTransport) end() {
	if t.cancel != nil {
		t.cancel()
	}
	for _, c := range t.conns {
		if c != nil {
			t.close(c)
		}
	}
	if t.listener != nil {
		t.listener.Close()
	}
	if t.wake != nil {
		t.wake.Close()
	}
	if t.fd >= 0 {
		unix.Close(t.fd)
	}
}

// local returns the address that the client has connected to.
func (s *socket) local() netip.AddrPort {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return sockaddr(sa)
}
