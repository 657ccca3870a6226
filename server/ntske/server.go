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

	"noonmark/internal/retry"
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
	MaxPerAddr int           // simultaneous connections from one IPv4 address or IPv6 /64; 0 = 16
	Rate       float64       // new connections per second, on average; 0 = unlimited
	RatePerIP  float64       // new connections per second from one IPv4 address or IPv6 /64; 0 = unlimited

	// Done, if set, is called after each exchange with the client's address, the
	// outcome, and details for the log. It is called from the exchange's goroutine
	// and must not block. It must limit what it logs, because strangers cause it.
	Done func(remote net.Addr, r Reason, err error)
}

// Defaults of Config.
const (
	defaultCookies    = 8
	defaultTimeout    = 5 * time.Second
	defaultMaxConns   = 512
	defaultMaxPerAddr = 16
	// linger is how long a served client may take to close its side. If the server
	// closed first while octets are unread, it would reset the connection, and the
	// answer might be lost.
	linger = time.Second
	// burstSeconds is the burst of the rate limits, in seconds of their rate.
	burstSeconds = 2
)

// Server establishes keys. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	tls      *tls.Config
	counters Counters
	all      *bucket
	each     *bucketTable

	mu    sync.Mutex // guards the following fields
	open  map[netip.Prefix]int
	conns int
}

// NewServer returns a server. The error is about cfg.
func NewServer(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("nts-ke server: %w", err)
	}
	return &Server{
		cfg:  cfg,
		tls:  secure(cfg.TLS),
		all:  newBucket(cfg.Rate),
		each: newBucketTable(cfg.RatePerIP),
		open: make(map[netip.Prefix]int),
	}, nil
}

// complete checks c and sets the defaults.
func (c *Config) complete() error {
	if c.Ring == nil {
		return errors.New("no cookie keys")
	}
	if c.TLS == nil || len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		return errors.New("no certificate")
	}
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
	if c.AEADs == nil {
		c.AEADs = []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV, aead.AESSIVCMAC512}
	}
	for _, id := range c.AEADs {
		if !id.Supported() {
			return fmt.Errorf("%v is not supported", id)
		}
	}
	c.Cookies = orElse(c.Cookies, defaultCookies)
	c.Timeout = orElse(c.Timeout, defaultTimeout)
	c.MaxConns = orElse(c.MaxConns, defaultMaxConns)
	c.MaxPerAddr = orElse(c.MaxPerAddr, defaultMaxPerAddr)
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
// that have begun (each ends within Config.Timeout), and returns nil. Serve may
// be called for several listeners at once; they share the limits.
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
			// No free file descriptor, or the peer left before accept: try again.
			wait = min(max(2*wait, time.Millisecond), time.Second)
			retry.Sleep(ctx, wait)
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

// done counts an exchange.
func (s *Server) done(remote net.Addr, r Reason, err error) {
	s.counters.add(r)
	if s.cfg.Done != nil {
		s.cfg.Done(remote, r, err)
	}
}
