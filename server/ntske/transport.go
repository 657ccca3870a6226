package ntske

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"noonmark/internal/retry"
)

// connTransport is a transport for any listener, with two goroutines a connection.
// Linux has a faster one for TCP.
type connTransport struct {
	ctx    context.Context
	events chan event
	over   chan struct{} // closed at the end
	all    sync.WaitGroup
	timer  *time.Timer
}

// connPeer is a connection of a connTransport. Its fields are for the engine's
// goroutine.
type connPeer struct {
	net.Conn
	closed chan struct{}
	out    []byte // to be written after what is being written
	busy   bool   // something is being written
}

func newConnTransport(ctx context.Context, l net.Listener) *connTransport {
	t := &connTransport{ctx: ctx, events: make(chan event), over: make(chan struct{}), timer: time.NewTimer(time.Hour)}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	t.all.Go(func() {
		defer stop()
		defer l.Close()
		t.accept(l)
	})
	return t
}

// accept reports connections until the listener is closed.
func (t *connTransport) accept(l net.Listener) {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err != nil && (t.ctx.Err() != nil || errors.Is(err, net.ErrClosed)) {
			t.report(event{kind: ended, err: err})
			return
		}
		if err != nil {
			// No free file descriptor, or the peer left before accept: try again.
			wait = min(max(2*wait, time.Millisecond), time.Second)
			retry.Sleep(t.ctx, wait)
			continue
		}
		wait = 0
		p := &connPeer{Conn: c, closed: make(chan struct{})}
		if !t.report(event{kind: accepted, c: &conn{remote: addrPort(c.RemoteAddr()), link: p}}) {
			c.Close()
		}
	}
}

// addrPort returns the zero value for an address of another kind.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

func (p *connPeer) local() netip.AddrPort { return addrPort(p.LocalAddr()) }

// report hands an event to wait and reports whether it was taken.
func (t *connTransport) report(v event) bool {
	var closed chan struct{}
	if v.c != nil {
		closed = v.c.link.(*connPeer).closed
	}
	select {
	case t.events <- v:
		return true
	case <-closed:
	case <-t.over:
	}
	return false
}

// read reports what a client sends.
func (t *connTransport) read(c *conn) {
	p := c.link.(*connPeer)
	buf := make([]byte, 4<<10)
	for {
		n, err := p.Read(buf)
		if n > 0 && !t.report(event{kind: received, c: c, data: append([]byte(nil), buf[:n]...)}) {
			return
		}
		if err != nil {
			t.report(event{kind: ended, c: c, err: err})
			return
		}
	}
}

// wait handles one event.
func (t *connTransport) wait(d time.Duration, happened func(event)) error {
	var late <-chan time.Time
	if d >= 0 {
		t.timer.Reset(d)
		late = t.timer.C
	}
	select {
	case <-late:
	case v := <-t.events:
		if v.c == nil { // the listener is closed
			if t.ctx.Err() == nil {
				return v.err
			}
			return nil
		}
		select {
		case <-v.c.link.(*connPeer).closed: // meanwhile
		default:
			t.take(v, happened)
		}
	}
	return nil
}

func (t *connTransport) take(v event, happened func(event)) {
	p := v.c.link.(*connPeer)
	switch v.kind {
	case accepted:
		happened(v)
		t.all.Go(func() { t.read(v.c) })
		return
	case sent:
		p.busy = false
		if v.err != nil {
			v.kind = ended
		} else if len(p.out) > 0 {
			t.write(v.c, p)
			return
		}
	}
	happened(v)
}

func (t *connTransport) send(c *conn, b []byte) (bool, error) {
	p := c.link.(*connPeer)
	p.out = append(p.out, b...)
	if !p.busy {
		t.write(c, p)
	}
	return false, nil
}

// write writes what waits for it.
func (t *connTransport) write(c *conn, p *connPeer) {
	out := p.out
	p.out, p.busy = nil, true
	t.all.Go(func() {
		_, err := p.Write(out)
		t.report(event{kind: sent, c: c, err: err})
	})
}

func (t *connTransport) close(c *conn) {
	p := c.link.(*connPeer)
	close(p.closed)
	p.Close()
}

func (t *connTransport) end() {
	close(t.over)
	t.all.Wait()
}
