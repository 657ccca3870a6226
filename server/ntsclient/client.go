// Package ntsclient queries an NTPv4 server (RFC 5905), with NTS (RFC 8915) or
// without, in basic or interleaved mode (RFC 9769). It measures the offset of the
// local clock and checks the answer; it does not set the clock. ntsquery uses it,
// and refclockd to check its reference against other servers.
package ntsclient

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// Defaults and limits.
const (
	DefaultPort    = 123             // UDP, NTP
	DefaultTimeout = 2 * time.Second // for one answer; terrestrial paths take less than 0.7 s
	keTimeout      = 3               // timeouts for a key exchange, which has three round trips

	// The first wait, its growth and its limits, after a failed key exchange (the
	// numbers of RFC 8915, section 4.2) and after a kiss code RATE (RFC 5905, section
	// 7.4, requires a longer interval).
	firstWait   = 10 * time.Second
	waitGrowth  = 1.5
	maxKEWait   = 5 * 24 * time.Hour
	maxRateWait = 24 * time.Hour

	// After maxLost requests without answer, the server's name is resolved again.
	// With NTS the cookies are used up by then, which leads to a new key exchange.
	maxLost = 8

	maxDistance = 16 * time.Second       // MAXDISP of RFC 5905
	stepSlack   = 10 * time.Millisecond  // two local clocks are not read at the same instant
	stampSlack  = 100 * time.Microsecond // a server that predicts its transmit timestamp may be late
	refSlack    = time.Second            // another process may write the reference timestamp
)

// Config describes the server. Only Host is required.
type Config struct {
	Host    string // NTS-KE server; with Plain, NTP server
	Port    int    // its port; 0: 4460, with Plain 123
	Plain   bool   // NTP without NTS
	Network string // "udp4" or "udp6" for one address family; default "udp"

	NTPServer string // overrides the one of NTS-KE
	NTPPort   int    // overrides the one of NTS-KE

	RootCAs     *x509.CertPool // nil: those of the system
	AEADs       []aead.ID      // in order of preference; nil: all of ntske
	Interleaved bool           // request precise transmit timestamps
	Timeout     time.Duration  // for one answer; 0: DefaultTimeout

	// For tests; nil: the real ones.
	Exchange func(context.Context) (*ntske.Session, error)
	Dial     func(ctx context.Context, network, address string) (Conn, error)
	Lookup   func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Now      func() time.Time
	Rand     func([]byte)
}

// Client queries one server. It is for one goroutine at a time.
type Client struct {
	cfg     Config
	conn    Conn   // nil: not connected
	address string // of the NTP server, host and port
	peers   addresses
	session *session // nil without NTS or before the first key exchange
	renew   bool     // the server no longer knows the session
	prev    *Reading // the last exchange, for interleaved mode
	buf     [2048]byte
	out     []byte
	counts  Counters
	lost    int // consecutive requests without answer

	keRetry, ask backoff // of key exchanges and of requests
	denied       error   // a kiss code that forbids further requests
}

// New returns a client. It sends nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Host == "" {
		return nil, errors.New("no host to query")
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
		if cfg.Lookup == nil {
			cfg.Lookup = net.DefaultResolver.LookupNetIP
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = func(b []byte) { rand.Read(b) } // never fails: it ends the program instead
	}
	return &Client{cfg: cfg}, nil
}

// Close closes the socket and deletes the keys.
func (c *Client) Close() {
	c.drop()
	c.session = nil
}

// Counters returns the number of received packets by Reason.
func (c *Client) Counters() Counters { return c.counts }

// Query sends one request and waits for its answer. With NTS it first exchanges
// keys if it has none, if the cookies are used up, and after ErrNAK.
//
// A nil error means that the Reading is valid: authenticated (with NTS), from a
// synchronised server, and consistent. With ErrUnsynchronised and ErrInsane, the
// Reading has what the server sent. Other errors are those of this package and of
// the network.
func (c *Client) Query(ctx context.Context) (Reading, error) {
	now := c.cfg.Now()
	if c.denied != nil {
		return Reading{}, c.denied
	}
	if now.Before(c.ask.next) {
		return Reading{}, fmt.Errorf("%w: the server requests a lower rate, wait %v", ErrHoldOff, c.ask.next.Sub(now).Round(time.Millisecond))
	}
	if err := c.ready(ctx, now); err != nil {
		return Reading{}, err
	}
	for {
		r, err := c.exchange(ctx)
		if err == nil {
			return r, nil
		}
		if unreachable(err) && c.peers.left > 0 && ctx.Err() == nil {
			if c.dial(ctx) == nil {
				continue
			}
		}
		return r, fmt.Errorf("query %s: %w", c.cfg.Host, err)
	}
}

// ready makes sure that there are a session and a socket.
func (c *Client) ready(ctx context.Context, now time.Time) error {
	if c.cfg.Plain {
		c.address = c.target(c.cfg.Host, c.cfg.Port)
		return c.dial(ctx)
	}
	usable := c.session != nil && c.session.jar.n > 0
	if wait := c.keRetry.next.Sub(now); !usable && wait > 0 {
		return fmt.Errorf("%w: the last key exchange failed, wait %v", ErrHoldOff, wait.Round(time.Millisecond))
	} else if !usable || c.renew && wait <= 0 {
		// Remaining cookies stay in use until an exchange succeeds (RFC 8915, section
		// 5.7).
		if err := c.exchangeKeys(ctx); err != nil && (!usable || ctx.Err() != nil) {
			return err
		}
	}
	return c.dial(ctx)
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

// drop closes the socket; the next Query opens another, perhaps to another of
// the server's addresses.
func (c *Client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	c.prev = nil
}
