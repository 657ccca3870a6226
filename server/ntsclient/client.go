// Package ntsclient asks a server for the time over NTPv4 (RFC 5905), with NTS
// (RFC 8915) or without, in basic or interleaved mode (RFC 9769). It serves
// ntsquery and, as a witness, refclockd: it measures and judges, and leaves the
// local clock alone.
package ntsclient

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// Defaults and limits.
const (
	DefaultPort    = 123             // UDP, NTP
	DefaultTimeout = 2 * time.Second // for one answer; on earth one takes less than 0.7 s
	keTimeout      = 3               // a key exchange may take so many times as long: it has as many round trips

	// After a key exchange that did not succeed, and after a kiss code RATE: the
	// first wait, its growth, and where it ends (RFC 8915, section 4.2 has these
	// numbers for key exchanges; RFC 5905, section 7.4 asks for a longer interval).
	firstWait   = 10 * time.Second
	waitGrowth  = 1.5
	maxKEWait   = 5 * 24 * time.Hour
	maxRateWait = 24 * time.Hour

	// After so many requests without an answer the server's name is looked up
	// anew. With NTS a jar is empty by then, which leads to a new key exchange.
	maxLost = 8

	maxDistance = 16 * time.Second       // MAXDISP of RFC 5905: nobody that far off knows the time
	stepSlack   = 10 * time.Millisecond  // between two readings of local clocks that don't happen at once
	stampSlack  = 100 * time.Microsecond // a server that predicts its transmit stamp may overshoot
	refSlack    = time.Second            // a reference timestamp is written by another process than the transmit one
)

// Config says whom to ask and how. Host is the only field that must be set.
type Config struct {
	Host    string // of the NTS-KE server; with Plain, of the NTP server
	Port    int    // of the same; 0 for 4460, with Plain for 123
	Plain   bool   // NTP without NTS
	Network string // "udp4" or "udp6" for one family only; default "udp"

	NTPServer string // overrides what NTS-KE says
	NTPPort   int    // overrides what NTS-KE says

	RootCAs     *x509.CertPool // nil for the system's
	AEADs       []aead.ID      // in order of preference; nil for all that ntske offers
	Interleaved bool           // ask for precise transmit stamps
	Timeout     time.Duration  // for one answer; 0 for DefaultTimeout

	// Seams for tests; nil for the real thing.
	Exchange func(context.Context) (*ntske.Session, error)
	Dial     func(ctx context.Context, network, address string) (Conn, error)
	Now      func() time.Time
	Rand     func([]byte)
}

// Client asks one server. It is for one goroutine at a time.
type Client struct {
	cfg     Config
	conn    Conn     // nil: to be dialled
	address string   // of the NTP server
	session *session // nil without NTS or before the first key exchange
	renew   bool     // the server knows the session no more
	prev    *Reading // the exchange right before, for interleaved mode
	buf     [2048]byte
	out     []byte
	counts  Counters
	lost    int // requests without an answer in a row

	keRetry, ask backoff
	denied       error
}

// backoff holds the next moment at which something may be tried.
type backoff struct {
	wait time.Duration
	next time.Time
}

func (b *backoff) extend(now time.Time, least, most time.Duration) {
	if b.wait == 0 {
		b.wait = firstWait
	} else {
		b.wait = time.Duration(float64(b.wait) * waitGrowth)
	}
	b.wait = min(max(b.wait, least), most)
	b.next = now.Add(b.wait)
}

// New returns a client. It sends nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Host == "" {
		return nil, errors.New("no host to ask")
	}
	for _, id := range cfg.AEADs {
		if !id.Supported() {
			return nil, fmt.Errorf("%v is not supported", id)
		}
	}
	for _, p := range []int{cfg.Port, cfg.NTPPort} {
		if p < 0 || p > 65535 {
			return nil, fmt.Errorf("port %d is out of range", p)
		}
	}
	if cfg.Network == "" {
		cfg.Network = "udp"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Exchange == nil {
		cfg.Exchange = func(ctx context.Context) (*ntske.Session, error) {
			return ntske.Exchange(ctx, ntske.ClientConfig{Host: cfg.Host, Port: cfg.Port, RootCAs: cfg.RootCAs,
				AEADs: cfg.AEADs, Timeout: keTimeout * cfg.Timeout, Dial: dialTCP("tcp" + strings.TrimPrefix(cfg.Network, "udp"))})
		}
	}
	if cfg.Dial == nil {
		cfg.Dial = dialUDP
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = func(b []byte) { rand.Read(b) } // never fails: the program ends instead
	}
	return &Client{cfg: cfg}, nil
}

// Close ends the client and forgets its keys.
func (c *Client) Close() {
	c.drop()
	c.session = nil
}

// Counters returns the packets seen so far by what became of them.
func (c *Client) Counters() Counters { return c.counts }

// Query sends one request and waits for its answer. With NTS it exchanges keys
// first when it has none, when the cookies are used up, and after ErrNAK.
//
// A nil error means that the Reading is valid: genuine (authenticated, with
// NTS), from a synchronised server, and consistent in itself. With
// ErrUnsynchronised and ErrInsane the Reading is what the server said.
// Other errors are those of this package and of the network.
func (c *Client) Query(ctx context.Context) (Reading, error) {
	now := c.cfg.Now()
	if c.denied != nil {
		return Reading{}, c.denied
	}
	if now.Before(c.ask.next) {
		return Reading{}, fmt.Errorf("%w: server asked for fewer requests, wait %v", ErrHoldOff, c.ask.next.Sub(now).Round(time.Millisecond))
	}
	if err := c.ready(ctx, now); err != nil {
		return Reading{}, err
	}
	r, err := c.exchange(ctx)
	if err != nil {
		return r, fmt.Errorf("query %s: %w", c.cfg.Host, err)
	}
	return r, nil
}

// ready sees to a session and a socket.
func (c *Client) ready(ctx context.Context, now time.Time) error {
	if c.cfg.Plain {
		c.address = c.target(c.cfg.Host, c.cfg.Port)
		return c.dial(ctx)
	}
	usable := c.session != nil && c.session.jar.n > 0
	if wait := c.keRetry.next.Sub(now); !usable && wait > 0 {
		return fmt.Errorf("%w: the last key exchange brought nothing, wait %v", ErrHoldOff, wait.Round(time.Millisecond))
	} else if !usable || c.renew && wait <= 0 {
		// Where old cookies are left they stay in use until an exchange succeeds
		// (RFC 8915, section 5.7).
		if err := c.exchangeKeys(ctx); err != nil && (!usable || ctx.Err() != nil) {
			return err
		}
	}
	return c.dial(ctx)
}

// exchangeKeys replaces the session by a new one if it succeeds, and leaves it
// alone if not.
func (c *Client) exchangeKeys(ctx context.Context) error {
	ke, s, err := c.newSession(ctx)
	if err == nil || ctx.Err() == nil {
		c.keRetry.extend(c.cfg.Now(), 0, maxKEWait) // until an answer proves that the keys are good for something
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyExchange, err)
	}
	c.drop()
	c.session, c.renew = s, false
	host := ke.Server
	if host == "" {
		host = c.cfg.Host
	}
	c.address = c.target(host, ke.Port)
	return nil
}

func (c *Client) newSession(ctx context.Context) (*ntske.Session, *session, error) {
	ctx, cancel := context.WithTimeout(ctx, keTimeout*c.cfg.Timeout)
	defer cancel()
	ke, err := c.cfg.Exchange(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &session{alt: ke.AltKeys}
	if err := s.init(&ke.Keys); err != nil {
		return nil, nil, err
	}
	for _, cookie := range ke.Cookies {
		s.jar.put(cookie)
	}
	if s.jar.n == 0 {
		return nil, nil, errors.New("server gave no usable cookie")
	}
	return ke, s, nil
}

// target joins host and port; the configuration overrides both.
func (c *Client) target(host string, port int) string {
	if c.cfg.NTPServer != "" {
		host = c.cfg.NTPServer
	}
	if c.cfg.NTPPort != 0 {
		port = c.cfg.NTPPort
	}
	if port == 0 {
		port = DefaultPort
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// dial connects the socket unless it is there.
func (c *Client) dial(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	conn, err := c.cfg.Dial(ctx, c.cfg.Network, c.address)
	if err != nil {
		return err
	}
	c.conn, c.lost = conn, 0
	return nil
}

// drop closes the socket; the next Query opens another, perhaps to another of
// the server's addresses.
func (c *Client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	c.prev = nil
}

// exchange sends one request and takes the first acceptable answer.
func (c *Client) exchange(ctx context.Context) (Reading, error) {
	q := request{transmit: nonce(c.cfg.Rand)}
	prev := c.prev
	c.prev = nil // a lost answer leads back to basic mode
	if c.cfg.Interleaved && prev != nil {
		q.origin = prev.ServerRx
		for q.receive = nonce(c.cfg.Rand); q.receive == q.transmit; {
			q.receive = nonce(c.cfg.Rand)
		}
	}
	if c.out = q.append(c.out[:0], c.session, c.cfg.Rand); c.out == nil {
		return Reading{}, errors.New("no cookie left")
	}
	begin := c.cfg.Now()
	deadline := begin.Add(c.cfg.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	sent, err := c.conn.Send(c.out)
	if err != nil {
		c.drop()
		return Reading{}, err
	}
	begun := c.cfg.Now()
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if !stop() {
			c.drop()
		}
	}()
	ignored := NoAnswerError{Waited: deadline.Sub(begin)}
	var a answer
	for {
		n, received, err := c.conn.Receive(c.buf[:], deadline)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return Reading{}, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			if c.lost++; c.lost >= maxLost {
				c.drop()
			}
			if q.nak {
				c.renew = !c.session.switchKeys()
				return Reading{}, ErrNAK
			}
			if q.kiss != nil && obeyed(q.kiss.RefID) {
				// It has the identifier of this request, so that who sent it reads the
				// path, and could as well suppress answers (RFC 8915, section 5.7).
				return c.kissed(&answer{h: *q.kiss}, c.cfg.Now())
			}
			return Reading{}, &ignored
		default: // connection refused and the like
			c.drop()
			return Reading{}, err
		}
		reason := q.judge(c.buf[:n], c.session, &a)
		c.counts[reason]++
		if reason != Accepted {
			ignored.Ignored[reason]++
			continue
		}
		end := c.cfg.Now()
		c.lost, c.keRetry = 0, backoff{}
		// Wall clock and monotonic clock must agree on how long it took since it was
		// sent, between begin and begun.
		took := time.Duration(end.UnixNano() - sent.Real)
		stepped := took > end.Sub(begin)+stepSlack || took < end.Sub(begun)-stepSlack
		if s, ok := c.conn.Sent(); ok && s.Real >= sent.Real && s.Real <= received.Real {
			sent = s
		}
		if a.kiss {
			return c.kissed(&a, end)
		}
		if stepped {
			return Reading{}, ErrStepped
		}
		return c.read(&a, prev, sent, received)
	}
}

// read turns an answer into a Reading and judges its content. prev is the
// exchange whose transmit stamp an interleaved answer brings.
func (c *Client) read(a *answer, prev *Reading, sent, received Stamp) (Reading, error) {
	h := &a.h
	r := Reading{
		Server: remote(c.conn), Interleaved: a.interleaved,
		Sent: sent, Received: received, ServerRx: h.Receive, ServerTx: h.Transmit,
		RootDelay: h.RootDelay.Duration(), RootDispersion: h.RootDisp.Duration(),
		Stratum: h.Stratum, Leap: h.Leap, RefID: h.RefID, RefTime: h.RefTime,
		Poll: h.Poll, Precision: h.Precision, Version: h.Version,
	}
	if c.session != nil {
		r.Authenticated, r.AEAD, r.Cookies = true, c.session.id, c.session.jar.n
	}
	next := r // as the next interleaved answer will need it
	if a.interleaved {
		r.Sent, r.Received, r.ServerRx = prev.Sent, prev.Received, prev.ServerRx
	}
	r.Offset, r.Delay = measure(r.Sent.Real, r.ServerRx, r.ServerTx, r.Received.Real)
	err := r.check(h)
	if r.Delay < 0 { // by so much the stamps are in doubt
		r.Delay = -r.Delay
	}
	if err == nil {
		c.prev, c.ask = &next, backoff{}
	}
	return r, err
}

// check reports what is wrong with the content of a genuine answer.
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

// kissed obeys a kiss code (RFC 5905, section 7.4).
func (c *Client) kissed(a *answer, now time.Time) (Reading, error) {
	e := &KissError{Code: printable(a.h.RefID), Authenticated: a.vouched}
	switch e.Code {
	case "DENY", "RSTR":
		c.denied = e
	case "RATE":
		c.ask.extend(now, time.Duration(1)<<min(max(a.h.Poll, 0), 17)*time.Second, maxRateWait)
	}
	return Reading{}, e
}

// obeyed reports whether a kiss code asks for anything.
func obeyed(code [4]byte) bool {
	switch string(code[:]) {
	case "DENY", "RSTR", "RATE":
		return true
	}
	return false
}
