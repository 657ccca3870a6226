package ntske

import (
	"crypto/tls"
	"errors"
	"iter"
	"net"
	"time"

	"noonmark/server/nts"
)

// session is the TLS side of one connection: a net.Conn whose other end is memory.
// Where TLS would wait for octets, the session pauses, and the engine goes on with
// other connections.
type session struct {
	c       *conn
	tls     *tls.Config
	scratch *nts.Scratch

	in    []byte // received, not yet read
	inErr error  // what follows in
	out   []byte // written, not yet sent

	pause  func()
	reason Reason // how it has ended
	err    error
}

// errStopped is what a session reads when the engine ends.
var errStopped = errors.New("the server stops")

// Read implements net.Conn.
func (x *session) Read(b []byte) (int, error) {
	for len(x.in) == 0 {
		if x.inErr != nil {
			return 0, x.inErr
		}
		x.pause()
	}
	n := copy(b, x.in)
	x.in = x.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (x *session) Write(b []byte) (int, error) {
	x.out = append(x.out, b...)
	return len(b), nil
}

// Close implements net.Conn. The engine closes the connection.
func (x *session) Close() error { return nil }

// LocalAddr implements net.Conn.
func (x *session) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(x.c.link.local()) }

// RemoteAddr implements net.Conn.
func (x *session) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(x.c.remote) }

// SetDeadline implements net.Conn. The engine keeps the deadlines.
func (x *session) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (x *session) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (x *session) SetWriteDeadline(time.Time) error { return nil }

// runner runs sessions, one after the other, as a coroutine: it changes between
// engine and session without the scheduler, and its stack has grown already.
type runner struct {
	x    *session
	next func() (ended, ok bool)
	stop func()
}

func newRunner(exchange func(*session) (Reason, error)) *runner {
	r := &runner{}
	r.next, r.stop = iter.Pull(func(yield func(ended bool) bool) {
		more := true
		pause := func() {
			if more = more && yield(false); !more {
				r.x.inErr = errStopped
			}
		}
		for more && r.x != nil {
			r.x.pause = pause
			r.x.reason, r.x.err = exchange(r.x)
			more = more && yield(true)
		}
	})
	return r
}

// idleRunners is how many coroutines are kept for the next handshakes.
const idleRunners = 64

// runners are coroutines without a session.
type runners struct {
	exchange func(*session) (Reason, error)
	idle     []*runner
}

// take returns a coroutine for a session.
func (p *runners) take(x *session) *runner {
	var r *runner
	if n := len(p.idle); n > 0 {
		r, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		r = newRunner(p.exchange)
	}
	r.x = x
	return r
}

// put takes a coroutine back.
func (p *runners) put(r *runner) {
	r.x = nil
	if len(p.idle) < idleRunners {
		p.idle = append(p.idle, r)
		return
	}
	r.stop()
}

// end ends all idle coroutines.
func (p *runners) end() {
	for _, r := range p.idle {
		r.stop()
	}
	p.idle = nil
}
