package ntsclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"noonmark/server/ntp"
)

// times are those of one exchange.
type times struct {
	begin, end     time.Time // around sending, by Config.Now
	deadline       time.Time
	sent, received Stamp
}

// stepped reports whether the wall clock was stepped before now: it disagrees with
// the monotonic clock about the time since the request was sent, which was between
// begin and end.
func (t *times) stepped(now time.Time) bool {
	took := time.Duration(now.UnixNano() - t.sent.Real)
	return took > now.Sub(t.begin)+stepSlack || took < now.Sub(t.end)-stepSlack
}

// exchange sends one request and waits for the first acceptable answer.
func (c *Client) exchange(ctx context.Context) (Reading, error) {
	prev := c.prev
	c.prev = nil // a lost answer leads back to basic mode
	q := c.newRequest(prev)
	if c.out = q.append(c.out[:0], c.session, c.cfg.Rand); c.out == nil {
		return Reading{}, errors.New("no cookie left")
	}
	t := times{begin: c.cfg.Now()}
	t.deadline = t.begin.Add(c.cfg.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(t.deadline) {
		t.deadline = d
	}
	var err error
	if t.sent, err = c.conn.Send(c.out); err != nil {
		c.leave()
		return Reading{}, err
	}
	t.end = c.cfg.Now()
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if !stop() {
			c.drop()
		}
	}()
	a, err := c.await(ctx, &q, &t)
	if err != nil {
		return Reading{}, err
	}
	now := c.cfg.Now()
	c.lost, c.keRetry = 0, backoff{}
	stepped := t.stepped(now)
	if s, ok := c.conn.Sent(); ok && s.Real >= t.sent.Real && s.Real <= t.received.Real {
		t.sent = s
	}
	switch {
	case a.kiss:
		return Reading{}, c.obey(&a, now)
	case stepped:
		return Reading{}, ErrStepped
	}
	return c.read(&a, prev, &t)
}

// newRequest makes a request, in interleaved mode if prev is not nil.
func (c *Client) newRequest(prev *Reading) request {
	q := request{transmit: nonce(c.cfg.Rand)}
	if c.cfg.Interleaved && prev != nil {
		q.origin = prev.ServerRx
		for q.receive = nonce(c.cfg.Rand); q.receive == q.transmit; {
			q.receive = nonce(c.cfg.Rand)
		}
	}
	return q
}

// await receives packets until one is the answer to q, and sets t.received.
func (c *Client) await(ctx context.Context, q *request, t *times) (a answer, err error) {
	ignored := NoAnswerError{Waited: t.deadline.Sub(t.begin)}
	for {
		n, received, err := c.conn.Receive(c.buf[:], t.deadline)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return a, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return a, c.timedOut(q, &ignored)
		default: // connection refused and the like
			c.leave()
			return a, err
		}
		reason := q.check(c.buf[:n], c.session, &a)
		c.counts[reason]++
		if reason == Accepted {
			t.received = received
			return a, nil
		}
		ignored.Ignored[reason]++
	}
}

// timedOut returns the error for a request without acceptable answer, and obeys a
// NAK or kiss code that came instead.
func (c *Client) timedOut(q *request, ignored *NoAnswerError) error {
	switch c.lost++; {
	case q.nak || q.kiss != nil: // it is there
	case len(c.peers.list) > 1:
		c.leave()
	case c.lost >= maxLost:
		c.leave()
	}
	if q.nak {
		c.renew = !c.session.switchKeys()
		return ErrNAK
	}
	if q.kiss != nil && requires(q.kiss.RefID) {
		// It has the unique identifier of this request. Whoever can forge that can
		// read the path and could as well suppress answers (RFC 8915, section 5.7).
		return c.obey(&answer{h: *q.kiss}, c.cfg.Now())
	}
	return ignored
}

// read makes a Reading of an answer and checks its content. prev is the exchange
// whose transmit timestamp is in an interleaved answer.
func (c *Client) read(a *answer, prev *Reading, t *times) (Reading, error) {
	h := &a.h
	r := Reading{
		Server: remote(c.conn), Interleaved: a.interleaved,
		Sent: t.sent, Received: t.received, ServerRx: h.Receive, ServerTx: h.Transmit,
		RootDelay: h.RootDelay.Duration(), RootDispersion: h.RootDisp.Duration(),
		Stratum: h.Stratum, Leap: h.Leap, RefID: h.RefID, RefTime: h.RefTime,
		Poll: h.Poll, Precision: h.Precision, Version: h.Version,
	}
	if c.session != nil {
		r.Authenticated, r.AEAD, r.Cookies = true, c.session.id, c.session.jar.n
	}
	next := r // for the next interleaved answer
	if a.interleaved {
		r.Sent, r.Received, r.ServerRx = prev.Sent, prev.Received, prev.ServerRx
	}
	r.Offset, r.Delay = measure(r.Sent.Real, r.ServerRx, r.ServerTx, r.Received.Real)
	err := r.check(h)
	if r.Delay < 0 { // the timestamps are uncertain by so much
		r.Delay = -r.Delay
	}
	if err == nil {
		c.prev, c.ask = &next, backoff{}
	}
	return r, err
}

// check returns what is wrong with the content of an acceptable answer.
func (r *Reading) check(h *ntp.Header) error {
	switch {
	case r.Leap == ntp.LeapUnknown:
		return fmt.Errorf("%w: leap indicator 3, stratum %d", ErrUnsynchronised, r.Stratum)
	case r.Stratum == 0 || r.Stratum > 15:
		return fmt.Errorf("%w: stratum %d", ErrUnsynchronised, r.Stratum)
	case r.RootDelay/2+r.RootDispersion >= maxDistance:
		return fmt.Errorf("%w: root distance %v", ErrUnsynchronised, r.RootDelay/2+r.RootDispersion)
	case r.ServerRx == 0 || r.ServerTx == 0:
		return fmt.Errorf("%w: a timestamp is zero", ErrInsane)
	case r.ServerTx.Sub(r.ServerRx) < 0:
		return fmt.Errorf("%w: sent %v before it was received", ErrInsane, r.ServerRx.Sub(r.ServerTx))
	case r.RefTime != 0 && r.RefTime.Sub(h.Receive) > refSlack:
		return fmt.Errorf("%w: reference time %v in the future", ErrInsane, r.RefTime.Sub(h.Receive))
	case r.Delay < -stampSlack:
		return fmt.Errorf("%w: round trip of %v", ErrInsane, r.Delay)
	}
	return nil
}

// obey obeys a kiss code (RFC 5905, section 7.4) and returns it as an error.
func (c *Client) obey(a *answer, now time.Time) error {
	e := &KissError{Code: printable(a.h.RefID), Authenticated: a.authenticated}
	switch e.Code {
	case "DENY", "RSTR":
		c.denied = e
	case "RATE":
		c.ask.extend(now, time.Duration(1)<<min(max(a.h.Poll, 0), 17)*time.Second, maxRateWait)
	}
	return e
}

// requires reports whether a kiss code requires something of the client.
func requires(code [4]byte) bool {
	switch string(code[:]) {
	case "DENY", "RSTR", "RATE":
		return true
	}
	return false
}
