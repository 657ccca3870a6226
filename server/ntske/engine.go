package ntske

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"time"

	"noonmark/internal/liveness"
	"noonmark/server/nts"
)

// maxOctets is how many octets of a client are read, the handshake included. With a
// post-quantum key share, a client sends about 2 kB.
const maxOctets = 16 << 10

// mostOctets is how many octets of a client are received, read or not. A client that
// has sent too much may send a little more before it reads the answer. Whoever sends
// without end must not keep the engine from others.
const mostOctets = 2 * maxOctets

// steps is how many handshakes go on between two looks at the network.
const steps = 4

// transport brings connections, and octets of their clients. When the context that it
// was made with ends, it takes no more connections, and wait returns. It is for one
// goroutine.
type transport interface {
	// wait reports what happens, at the latest after d; negative: no limit.
	wait(d time.Duration, happened func(event)) error
	// send sends octets in the order of the calls. What cannot be sent at once is sent
	// later, and then wait reports a sent event.
	send(c *conn, b []byte) (done bool, err error)
	// close closes a connection; nothing more is reported of it.
	close(c *conn)
	// end frees what the transport has.
	end()
}

// event is what happens to a connection.
type event struct {
	kind eventKind
	c    *conn
	data []byte // of received; valid during the call
	err  error  // of ended: io.EOF, or why the connection is lost
}

type eventKind uint8

const (
	accepted eventKind = iota // there is a new connection
	received                  // the client has sent octets
	ended                     // the client sends no more
	sent                      // all octets have been sent
)

// peer is a connection as its transport knows it.
type peer interface {
	local() netip.AddrPort // the address that the client has connected to
}

// conn is one connection.
type conn struct {
	remote netip.AddrPort
	link   peer

	group   *group
	phase   phase
	since   time.Time // of the phase
	until   time.Time // the deadline of the exchange, in phase forClose of closing
	byAge   link[conn]
	byPhase link[conn]

	got     int    // octets received
	buf     []byte // received before the session has begun
	look    int    // octets in buf from which on it may have the whole ClientHello
	run     *runner
	session *session
	unsent  bool // the transport has octets to send
	counted bool // by Server.done
}

// engine serves the connections of one transport. Everything happens on one
// goroutine, so the load of one processor is the limit of what strangers can cause.
type engine struct {
	s       *Server
	net     transport
	places  *places
	all     *bucket
	each    *bucketTable
	runners runners
	scratch nts.Scratch // of all sessions, which run one at a time
	now     time.Time
	working liveness.Work
}

func newEngine(s *Server, t transport) *engine {
	e := &engine{
		s: s, net: t, all: newBucket(s.cfg.Rate), each: newBucketTable(s.cfg.RatePerIP),
		places: newPlaces(s.cfg.MaxConns, s.cfg.MaxPerAddr, s.cfg.Prefix4, s.cfg.Prefix6),
	}
	e.runners.exchange = s.exchange
	return e
}

// run serves until ctx ends and all exchanges that have begun are complete.
func (e *engine) run(ctx context.Context) error {
	defer e.finish()
	for ctx.Err() == nil || e.places.all.n > 0 {
		e.now = time.Now()
		d := e.patience()
		e.working.End()
		if err := e.net.wait(d, e.happened); err != nil {
			return err
		}
		e.working.Begin()
		e.now = time.Now()
		e.expire()
		for range steps {
			if !e.step() {
				break
			}
		}
	}
	return nil
}

// finish ends what is left.
func (e *engine) finish() {
	for e.places.open.first() != nil {
		e.abort(e.places.open.first(), ConnectionLost, errStopped)
	}
	for e.places.closing.first() != nil {
		e.close(e.places.closing.first())
	}
	e.runners.end()
	e.net.end()
}

// patience is how long the engine may wait for the network.
func (e *engine) patience() time.Duration {
	p := e.places
	if p.answered() != nil {
		return 0
	}
	d := time.Duration(-1)
	until := func(x time.Duration) {
		if x = max(x, 0); d < 0 || x < d {
			d = x
		}
	}
	if p.waits() {
		until(e.all.wait(e.now))
	}
	if c := p.open.first(); c != nil {
		until(c.until.Sub(e.now))
	}
	if c := p.closing.first(); c != nil {
		until(c.until.Sub(e.now))
	}
	return d
}

// expire ends connections whose time is up.
func (e *engine) expire() {
	for c := e.places.open.first(); c != nil && !e.now.Before(c.until); c = e.places.open.first() {
		switch {
		case c.phase == forHello && e.all != nil:
			e.abort(c, RateLimited, nil) // it waited for its turn
		case c.session == nil:
			e.abort(c, TimedOut, os.ErrDeadlineExceeded)
		default: // a client that still listens gets an answer
			c.session.inErr = os.ErrDeadlineExceeded
			e.resume(c)
		}
	}
	for c := e.places.closing.first(); c != nil && !e.now.Before(c.until); c = e.places.closing.first() {
		e.close(c)
	}
}

// happened handles an event of the transport.
func (e *engine) happened(v event) {
	c := v.c
	e.working.Begin()
	e.now = time.Now()
	switch v.kind {
	case accepted:
		e.accept(c)
	case received:
		e.received(c, v.data)
	case ended:
		switch {
		case c.phase == forClose && c.unsent && errors.Is(v.err, io.EOF):
			c.session.inErr = v.err // it may still read
		case c.phase == forClose && c.unsent:
			e.abort(c, ConnectionLost, v.err)
		case c.phase == forClose:
			e.close(c)
		case c.session != nil:
			e.input(c, nil, v.err)
		case errors.Is(v.err, io.EOF):
			e.abort(c, HandshakeFailed, v.err)
		default:
			e.abort(c, ConnectionLost, v.err)
		}
	case sent:
		if c.unsent = false; c.phase == forClose {
			e.complete(c)
		}
	}
}

func (e *engine) accept(c *conn) {
	from := c.remote.Addr().Unmap()
	c.remote = netip.AddrPortFrom(from, c.remote.Port())
	if denied := e.s.cfg.Denied; denied != nil && denied(from.WithZone("")) {
		e.refuse(c, AccessDenied)
		return
	}
	c.until = e.now.Add(e.s.cfg.Timeout)
	c.byAge.of, c.byPhase.of = c, c
	displaced, r := e.places.admit(c, e.now)
	if displaced != nil {
		e.count(displaced, Displaced, nil)
		e.drop(displaced)
	}
	if r != Served {
		e.refuse(c, r)
		return
	}
	e.s.counters.open.Add(1)
}

// refuse closes a connection that has no place.
func (e *engine) refuse(c *conn, r Reason) {
	e.count(c, r, nil)
	e.net.close(c)
}

// received handles octets of the client.
func (e *engine) received(c *conn, data []byte) {
	c.got += len(data)
	switch {
	case c.got > mostOctets && c.phase == forClose:
		e.close(c)
		return
	case c.got > mostOctets:
		e.abort(c, MessageTooLong, ErrTooLong)
		return
	case c.phase == forClose:
		return
	}
	var tooLong error
	if c.got > maxOctets {
		tooLong = ErrTooLong
		data = data[:max(0, len(data)-(c.got-maxOctets))]
	}
	if c.session != nil {
		e.input(c, data, tooLong)
		return
	}
	c.buf = append(c.buf, data...)
	if c.phase != forClient {
		return // what follows the hello waits with it
	}
	if len(c.buf) < c.look && tooLong == nil {
		return
	}
	h := readHello(c.buf, maxOctets)
	c.look = len(c.buf) + h.missing
	switch {
	case h.tooLong, tooLong != nil && !h.complete:
		e.abort(c, MessageTooLong, nil)
	case !h.complete:
	case !e.each.take(c.group.prefix, e.now):
		e.abort(c, RateLimited, nil)
	default:
		e.places.move(c, forHello, e.now)
	}
}

// input gives octets, or their end, to a session that waits for them.
func (e *engine) input(c *conn, data []byte, err error) {
	x := c.session
	if x.inErr != nil {
		return
	}
	x.in = append(x.in, data...)
	x.inErr = err
	if c.phase == forClient {
		e.places.move(c, forAnswer, e.now)
	}
}

// step lets one handshake go on and reports whether there was one. Those that are
// nearly complete come first, because they free a place.
func (e *engine) step() bool {
	if c := e.places.answered(); c != nil {
		e.places.move(c, forClient, e.now)
		e.resume(c)
		return true
	}
	if !e.places.waits() || !e.all.take(e.now) {
		return false
	}
	c := e.places.turn()
	e.places.move(c, forClient, e.now)
	c.session = &session{c: c, scratch: &e.scratch, tls: e.s.configFor(readHello(c.buf, maxOctets)), in: c.buf}
	if c.got > maxOctets {
		c.session.inErr = ErrTooLong
	}
	c.buf = nil
	c.run = e.runners.take(c.session)
	e.resume(c)
	return true
}

// resume runs a session until it needs more octets or ends.
func (e *engine) resume(c *conn) {
	x := c.session
	ended, _ := c.run.next()
	if ended {
		e.runners.put(c.run)
		c.run = nil
	}
	if len(x.out) > 0 {
		done, err := e.net.send(c, x.out)
		if err != nil {
			e.abort(c, ConnectionLost, err)
			return
		}
		x.out, c.unsent = x.out[:0], !done
	}
	if ended {
		c.until = e.now.Add(min(linger, e.s.cfg.Timeout))
		e.places.move(c, forClose, e.now)
		if !c.unsent {
			e.complete(c)
		}
	}
}

// complete counts an exchange whose last octets are sent. The client closes first:
// if the server did while octets are unread, it would reset the connection, and the
// answer might be lost.
func (e *engine) complete(c *conn) {
	x := c.session
	e.count(c, x.reason, x.err)
	if x.inErr != nil || !x.reason.answered() {
		e.drop(c)
	}
}

// abort ends a connection before its exchange is complete.
func (e *engine) abort(c *conn, r Reason, err error) {
	e.count(c, r, err)
	e.drop(c)
}

// close ends a connection whose exchange is complete, or whose client has not
// received the answer in time.
func (e *engine) close(c *conn) {
	if c.unsent {
		e.count(c, TimedOut, os.ErrDeadlineExceeded)
	}
	e.drop(c)
}

// count counts a connection once.
func (e *engine) count(c *conn, r Reason, err error) {
	if !c.counted {
		c.counted = true
		e.s.done(c.remote, r, err)
	}
}

// drop closes a connection and frees what it has.
func (e *engine) drop(c *conn) {
	if c.run != nil {
		c.session.inErr, c.session.in = errStopped, nil
		for ended := false; !ended; {
			ended, _ = c.run.next()
		}
		e.runners.put(c.run)
		c.run = nil
	}
	if c.phase != gone {
		e.places.leave(c)
	}
	e.s.counters.open.Add(-1)
	e.net.close(c)
}
