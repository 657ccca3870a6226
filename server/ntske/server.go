package ntske

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// Config describes a Server. TLS, with a certificate or GetCertificate, and Ring
// are required.
type Config struct {
	TLS  *tls.Config // cloned; the server sets version, ALPN and session tickets
	Ring *nts.Ring

	NTPServer string // NTP server that clients are sent to, a name or address; empty = the NTS-KE server
	NTPPort   int    // UDP port of the NTP server; 0 = 123

	AEADs       []aead.ID // accepted; nil = all that are supported
	ServerOrder bool      // choose by the order of AEADs instead of the client's order

	Cookies    int           // per exchange, 1 to 8; 0 = 8 (RFC 8915, section 4.1.6)
	Timeout    time.Duration // for an exchange including the handshake; 0 = 5 s
	MaxConns   int           // simultaneous connections; 0 = 512
	MaxPerAddr int           // simultaneous connections of one prefix; 0 = MaxConns
	Rate       float64       // handshakes per second, on average; those beyond wait; 0 = unlimited
	RatePerIP  float64       // handshakes per second of one prefix; those beyond are refused; 0 = unlimited
	Prefix4    int           // length of the IPv4 prefixes that are counted, bits; 0 = 32
	Prefix6    int           // length of the IPv6 prefixes; 0 = 56

	// Denied, if set, reports whether connections of an address are refused. It is
	// called from Serve's goroutine.
	Denied func(netip.Addr) bool

	// Done, if set, is called after each exchange with the client's address, the
	// outcome, and details for the log. It is called from Serve's goroutine and must
	// not block. It must limit what it logs, because strangers cause it.
	Done func(remote netip.AddrPort, r Reason, err error)
}

// Defaults of Config.
const (
	defaultCookies  = 8
	defaultTimeout  = 5 * time.Second
	DefaultMaxConns = 512
	// ConnMemory is what a connection needs at most, octets: received octets, the
	// state of TLS with a post-quantum exchange, a stack, and what the garbage
	// collector has not collected yet. BaseMemory is what the rest needs.
	ConnMemory     = 48 << 10
	BaseMemory     = 24 << 20
	defaultPrefix4 = 32
	defaultPrefix6 = 56
	// linger is how long a client may take to receive the answer and close its side.
	linger = time.Second
	// stuckAfter is much longer than the work on one event, a few handshakes, takes on
	// a slow and busy machine.
	stuckAfter = 10 * time.Second
	// burstSeconds is the burst of the rate limits, in seconds of their rate.
	burstSeconds = 2
)

// Server establishes keys. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	tls      *tls.Config
	tlsP256  *tls.Config // with this key exchange only
	counters Counters

	mu      sync.Mutex
	engines map[*engine]struct{} // those that run
}

// NewServer returns a server. The error is about cfg.
func NewServer(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("nts-ke server: %w", err)
	}
	s := &Server{cfg: cfg, tls: secure(cfg.TLS), engines: map[*engine]struct{}{}}
	s.tlsP256 = s.tls.Clone()
	s.tlsP256.CurvePreferences = []tls.CurveID{tls.CurveP256}
	return s, nil
}

// configFor returns the TLS configuration for a client. P-256 costs less than X25519
// in crypto/tls, which prefers the latter. It is chosen if the client has sent a key
// share for it and none for a post-quantum exchange.
func (s *Server) configFor(h hello) *tls.Config {
	if s.cfg.TLS.CurvePreferences != nil {
		return s.tls
	}
	c := s.tls
	for _, g := range h.shares() {
		switch g {
		case tls.X25519, tls.CurveP384, tls.CurveP521:
		case tls.CurveP256:
			c = s.tlsP256
		default: // post-quantum, or a value that means nothing
			if g == tls.X25519MLKEM768 || g == tls.SecP256r1MLKEM768 || g == tls.SecP384r1MLKEM1024 {
				return s.tls
			}
		}
	}
	return c
}

// complete checks c and sets the defaults.
func (c *Config) complete() error {
	if c.Ring == nil {
		return errors.New("no cookie keys")
	}
	if c.TLS == nil || len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		return errors.New("no certificate")
	}
	if err := c.Check(); err != nil {
		return err
	}
	if c.AEADs == nil {
		c.AEADs = []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV, aead.AESSIVCMAC512}
	}
	c.Cookies = orElse(c.Cookies, defaultCookies)
	c.Timeout = orElse(c.Timeout, defaultTimeout)
	c.MaxConns = orElse(c.MaxConns, DefaultMaxConns)
	c.Prefix4, c.Prefix6 = orElse(c.Prefix4, defaultPrefix4), orElse(c.Prefix6, defaultPrefix6)
	return nil
}

// Check returns an error if a value of c is impossible. It does not look at TLS and
// Ring.
func (c *Config) Check() error {
	if c.NTPServer != "" && !ValidServer(c.NTPServer) {
		return fmt.Errorf("%q is not an address or host name", c.NTPServer)
	}
	if c.NTPPort < 0 || c.NTPPort > 0xffff {
		return fmt.Errorf("port %d is out of range", c.NTPPort)
	}
	if c.Cookies < 0 || c.Cookies > defaultCookies {
		return fmt.Errorf("%d cookies are not from 1 to %d", c.Cookies, defaultCookies)
	}
	if c.Timeout < 0 || c.MaxConns < 0 || c.MaxPerAddr < 0 || c.Rate < 0 || c.RatePerIP < 0 {
		return errors.New("a limit is negative")
	}
	if c.Prefix4 < 0 || c.Prefix4 > 32 || c.Prefix6 < 0 || c.Prefix6 > 128 {
		return errors.New("a prefix length is out of range")
	}
	for _, id := range c.AEADs {
		if !id.Supported() {
			return fmt.Errorf("%v is not supported", id)
		}
	}
	return nil
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Counters returns the server's counts.
func (s *Server) Counters() *Counters { return &s.counters }

// Serve answers on l until ctx ends. Then it closes l, waits for the exchanges
// that have begun (each ends within Config.Timeout), and returns nil. It does all
// work on one goroutine. Serve may be called for several listeners at once; each has
// limits of its own.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	t, err := newTransport(ctx, l)
	if err != nil {
		l.Close()
		return fmt.Errorf("nts-ke server: %w", err)
	}
	e := newEngine(s, t)
	s.mu.Lock()
	s.engines[e] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.engines, e)
		s.mu.Unlock()
	}()
	if err := e.run(ctx); err != nil {
		return fmt.Errorf("accept nts-ke connection: %w", err)
	}
	return nil
}

// Stuck returns an error if a Serve hangs: it has been busy with one event for longer
// than any work takes.
func (s *Server) Stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.engines {
		if err := e.working.Stuck(stuckAfter); err != nil {
			return err
		}
	}
	return nil
}

// done counts an exchange.
func (s *Server) done(remote netip.AddrPort, r Reason, err error) {
	s.counters.add(r)
	if s.cfg.Done != nil {
		s.cfg.Done(remote, r, err)
	}
}
