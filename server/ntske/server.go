package ntske

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// Config says how a Server works. TLS, with a certificate or GetCertificate,
// and Ring are required.
type Config struct {
	TLS  *tls.Config // cloned; version, ALPN and tickets are set by the server
	Ring *nts.Ring

	NTPServer string // host or address that clients should ask for time; empty = the one they asked for keys
	NTPPort   int    // UDP port of the NTP service; 0 = 123

	AEADs       []aead.ID // offered; nil = all that are supported
	ServerOrder bool      // AEADs is in order of our preference, which overrules the client's

	Cookies    int           // per exchange, 1 to 8; 0 = 8 (RFC 8915 section 4.1.6)
	Timeout    time.Duration // for a whole exchange, handshake included; 0 = 5 s
	MaxConns   int           // connections at once; 0 = 512
	MaxPerAddr int           // connections at once from one IPv4 address or IPv6 /64; 0 = 16
	Rate       float64       // new connections a second, on average; 0 = unlimited
	RatePerIP  float64       // the same for one IPv4 address or IPv6 /64; 0 = unlimited

	// Done, if set, is told of each exchange: where from, how it ended and, for
	// people, why. It is called from the exchange's goroutine and must not
	// block; what it logs it must limit, since strangers cause it.
	Done func(remote net.Addr, r Reason, err error)
}

// Defaults of Config.
const (
	defaultCookies    = 8
	defaultTimeout    = 5 * time.Second
	defaultMaxConns   = 512
	defaultMaxPerAddr = 16
	// linger is how long a served client may take to close its side. Closing
	// first, with octets of it unread, would reset the connection and could
	// destroy the answer on its way.
	linger = time.Second
	// burst of the rate limits, in seconds of their rate.
	burstSeconds = 2
)

// Server establishes keys. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	tls      *tls.Config
	counters Counters
	all      *bucket
	each     *bucketTable

	mu   sync.Mutex // guards what follows
	open map[netip.Prefix]int
	n    int
}

// NewServer checks cfg.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Ring == nil {
		return nil, errors.New("nts-ke server: no key ring")
	}
	if cfg.TLS == nil || len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetCertificate == nil && cfg.TLS.GetConfigForClient == nil {
		return nil, errors.New("nts-ke server: no certificate")
	}
	if cfg.NTPServer != "" && !ValidServer(cfg.NTPServer) {
		return nil, fmt.Errorf("nts-ke server: %q is no address or host name", cfg.NTPServer)
	}
	if cfg.NTPPort < 0 || cfg.NTPPort > 0xffff {
		return nil, fmt.Errorf("nts-ke server: %d is no port", cfg.NTPPort)
	}
	if cfg.Cookies < 0 || cfg.Cookies > defaultCookies {
		return nil, fmt.Errorf("nts-ke server: %d cookies: want 1 to %d", cfg.Cookies, defaultCookies)
	}
	if cfg.Timeout < 0 || cfg.MaxConns < 0 || cfg.MaxPerAddr < 0 || cfg.Rate < 0 || cfg.RatePerIP < 0 {
		return nil, errors.New("nts-ke server: a limit is negative")
	}
	if cfg.AEADs == nil {
		cfg.AEADs = []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV, aead.AESSIVCMAC512}
	}
	for _, id := range cfg.AEADs {
		if !id.Supported() {
			return nil, fmt.Errorf("nts-ke server: %v is not supported", id)
		}
	}
	cfg.Cookies = orElse(cfg.Cookies, defaultCookies)
	cfg.Timeout = orElse(cfg.Timeout, defaultTimeout)
	cfg.MaxConns = orElse(cfg.MaxConns, defaultMaxConns)
	cfg.MaxPerAddr = orElse(cfg.MaxPerAddr, defaultMaxPerAddr)
	return &Server{
		cfg:  cfg,
		tls:  secure(cfg.TLS),
		all:  newBucket(cfg.Rate),
		each: newBucketTable(cfg.RatePerIP),
		open: make(map[netip.Prefix]int),
	}, nil
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Counters returns the server's counts.
func (s *Server) Counters() *Counters { return &s.counters }

// Serve answers on l until ctx ends; then it closes l, lets the exchanges that
// have begun end (each within Config.Timeout), and returns nil. Any other end
// is an error. Several listeners may be served at once; they share the limits.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	var wg sync.WaitGroup
	defer func() {
		stop()
		l.Close()
		wg.Wait()
	}()
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept nts-ke connection: %w", err)
			}
			// Out of descriptors, or a peer that left between SYN and accept:
			// both pass.
			wait = min(max(2*wait, time.Millisecond), time.Second)
			if !sleep(ctx, wait) {
				return nil
			}
			continue
		}
		wait = 0
		from := prefix(c.RemoteAddr())
		if r := s.admit(from, time.Now()); r != Served {
			c.Close()
			s.done(c.RemoteAddr(), r, nil)
			continue
		}
		wg.Go(func() {
			defer s.leave(from)
			r, err := s.exchange(c)
			s.done(c.RemoteAddr(), r, err)
		})
	}
}

// sleep waits and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *Server) done(remote net.Addr, r Reason, err error) {
	s.counters.add(r)
	if s.cfg.Done != nil {
		s.cfg.Done(remote, r, err)
	}
}

// prefix is what the limits per address count: an IPv4 address, or the /64 that
// an IPv6 host can choose addresses from. Addresses that are neither (a pipe in
// a test) share the zero prefix.
func prefix(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// admit takes a place for a connection, or says why there is none.
func (s *Server) admit(from netip.Prefix, now time.Time) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[from] >= s.cfg.MaxPerAddr:
		return AddressCap
	case s.n >= s.cfg.MaxConns:
		return ConnectionCap
	case !s.each.take(from, now) || !s.all.take(now):
		return RateLimited
	}
	s.open[from]++
	s.n++
	s.counters.open.Add(1)
	return Served
}

func (s *Server) leave(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
	s.n--
	s.counters.open.Add(-1)
}

// exchange does one connection from handshake to close.
func (s *Server) exchange(c net.Conn) (Reason, error) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return ConnectionLost, err
	}
	t := tls.Server(c, s.tls)
	if err := t.Handshake(); err != nil {
		return lost(err, HandshakeFailed), err
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		return NoALPN, nil
	}
	recs, err := ReadMessage(t, maxRequest)
	r := Served
	switch {
	case err == nil:
	case errors.Is(err, ErrTooLong):
		r = MessageTooLong
	case errors.Is(err, ErrEnd):
		r = BadRequest
	default:
		// A request that is not complete, or not in time, is a bad one (RFC 8915,
		// section 4.1.3). Whoever still listens is told, and not waited for.
		if c.SetWriteDeadline(time.Now().Add(min(linger, s.cfg.Timeout))) == nil {
			if _, werr := t.Write(refusal(BadRequest)); werr == nil {
				t.CloseWrite()
			}
		}
		return lost(err, ConnectionLost), err
	}
	answer, r, err := s.answer(recs, r, state.ExportKeyingMaterial, here(c, state.ServerName))
	if _, werr := t.Write(answer); werr != nil {
		return lost(werr, ConnectionLost), werr
	}
	if t.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(min(linger, s.cfg.Timeout))) == nil {
		io.Copy(io.Discard, io.LimitReader(c, maxRequest))
	}
	return r, err
}

// here is what the client can call this host: the address it has connected to,
// and the name by which it found it.
func here(c net.Conn, name string) []string {
	names := []string{name}
	if host, _, err := net.SplitHostPort(c.LocalAddr().String()); err == nil {
		names = append(names, host)
	}
	return names
}

// lost tells a deadline that passed from other ends of a connection.
func lost(err error, otherwise Reason) Reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return TimedOut
	}
	return otherwise
}

// answer makes the message for a request whose reading ended with r. here has
// the names that the client can know this host by.
func (s *Server) answer(recs []Record, r Reason, export exporter, here []string) ([]byte, Reason, error) {
	var q request
	var id aead.ID
	if r == Served {
		q, r = parseRequest(recs)
	}
	if r == Served {
		id, r = q.choose(s.cfg.AEADs, s.cfg.ServerOrder)
	}
	var err error
	if r == Served {
		var cookies []Record
		if cookies, err = s.cookies(id, q.compliant, export); err == nil {
			server := s.cfg.NTPServer
			if server == "" && q.server != "" && slices.ContainsFunc(here, func(h string) bool { return sameHost(h, q.server) }) {
				server = q.server // its wish, which happens to be ours (section 4.1.7)
			}
			return s.success(id, q.compliant, server, cookies), Served, nil
		}
		r = InternalError
	}
	return refusal(r), r, err
}

func (s *Server) cookies(id aead.ID, compliant bool, export exporter) ([]Record, error) {
	keys, err := exportKeys(export, id, contextAEAD(id, compliant))
	if err != nil {
		return nil, fmt.Errorf("export session keys: %w", err)
	}
	var scratch nts.Scratch
	ring := s.cfg.Ring.Load()
	recs := make([]Record, s.cfg.Cookies)
	for i := range recs {
		recs[i].Type = RecordCookie
		if recs[i].Body, err = ring.SealCookie(nil, &keys, &scratch); err != nil {
			return nil, fmt.Errorf("seal cookie: %w", err)
		}
	}
	return recs, nil
}

// success has Next Protocol, AEAD, chrony's record where the client sent it and
// it matters, server and port where they differ from what a client assumes, and
// cookies.
func (s *Server) success(id aead.ID, compliant bool, server string, cookies []Record) []byte {
	recs := []Record{
		{Critical: true, Type: RecordNextProtocol, Body: put16(protocolNTPv4)},
		{Critical: true, Type: RecordAEAD, Body: put16(uint16(id))},
	}
	if compliant && id == aead.AES128GCMSIV {
		recs = append(recs, Record{Type: RecordCompliantGCMSIV})
	}
	// Critical: a client that does not understand these would ask the wrong
	// server.
	if server != "" {
		recs = append(recs, Record{Critical: true, Type: RecordServer, Body: []byte(server)})
	}
	if s.cfg.NTPPort != 0 && s.cfg.NTPPort != ntpPort {
		recs = append(recs, Record{Critical: true, Type: RecordPort, Body: put16(uint16(s.cfg.NTPPort))})
	}
	return appendMessage(nil, append(recs, cookies...)...)
}

// refusal is the answer without cookies for a reason that has one.
func refusal(r Reason) []byte {
	switch r {
	case NoCommonProtocol: // section 4.1.2: an empty list
		return appendMessage(nil, Record{Critical: true, Type: RecordNextProtocol})
	case NoCommonAEAD: // section 4.1.5: likewise
		return appendMessage(nil,
			Record{Critical: true, Type: RecordNextProtocol, Body: put16(protocolNTPv4)},
			Record{Critical: true, Type: RecordAEAD})
	}
	code := CodeBadRequest
	switch r {
	case UnknownCritical:
		code = CodeUnrecognizedCritical
	case InternalError:
		code = CodeInternal
	}
	return appendMessage(nil, Record{Critical: true, Type: RecordError, Body: put16(code)})
}
