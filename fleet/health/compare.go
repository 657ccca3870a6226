package health

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// deviatesAfter is how many comparisons in a row must show a deviation before a node
// drains itself: one may be a queue on the path.
const deviatesAfter = 3

// exchangeTimeout limits a key exchange with a witness; on terrestrial paths its three
// round trips take less than 2.1 s.
const exchangeTimeout = 6 * time.Second

// Comparison compares the time that this node serves with that of its witnesses, by
// NTS. It is for one goroutine; the caller calls it once a minute, for instance.
type Comparison struct {
	Own     netip.AddrPort // where ntsserve of this node answers NTP
	Roots   *x509.CertPool // of the witnesses' certificates; nil: those of the system
	Timeout time.Duration  // for one answer; 0: that of ntsclient

	clients map[Peer]*asked
	inARow  int
}

// asked is the client of a witness, and how often in a row it got no answer.
type asked struct {
	*ntsclient.Client
	failed int
}

// freshAfter is how many comparisons without an answer end a client: its own intervals
// grow to days, and what a witness had lost it may have again. So it is asked for keys
// every 17 min at least.
const freshAfter = 16

// Compared is the result of a comparison.
type Compared struct {
	Own      error // why this node's own ntsserve gave no valid answer
	Readings []Reading
	Failed   map[string]error // witnesses without a valid answer
	Deviates string           // and how, after deviatesAfter comparisons in a row
	Agrees   bool             // a majority confirms the time of this node
}

// Compare asks ntsserve of this node and the witnesses. Both are measured against the
// system clock within moments, so that its own error cancels.
func (c *Comparison) Compare(ctx context.Context, peers []Peer) Compared {
	r := Compared{Failed: map[string]error{}}
	own, err := ntsclient.New(ntsclient.Config{Host: c.Own.Addr().String(), Port: int(c.Own.Port()), Plain: true, Timeout: c.Timeout})
	if err != nil {
		r.Own = err
		return r
	}
	defer own.Close()
	c.forget(peers)
	for _, p := range peers {
		client, err := c.client(p)
		if err != nil {
			r.Failed[p.Name] = err
			continue
		}
		there, err := client.Query(ctx)
		if err != nil {
			r.Failed[p.Name] = err
			if client.failed++; client.failed >= freshAfter {
				client.Close()
				delete(c.clients, p)
			}
			continue
		}
		client.failed = 0
		here, err := own.Query(ctx)
		if err != nil {
			r.Own = err // one that is not synchronised deviates from nobody
			c.inARow = 0
			return r
		}
		r.Readings = append(r.Readings, Reading{
			Name: p.Name, Offset: there.Offset - here.Offset, Bound: there.RootDistance() + here.RootDistance(),
		})
	}
	r.Agrees = Agreement(len(peers), r.Readings)
	how, deviates := Deviation(len(peers), r.Readings)
	if !deviates {
		c.inARow = 0
		return r
	}
	if c.inARow++; c.inARow >= deviatesAfter {
		r.Deviates = how
	}
	return r
}

func (c *Comparison) client(p Peer) (*asked, error) {
	if x := c.clients[p]; x != nil {
		return x, nil
	}
	cfg, err := c.config(p)
	if err != nil {
		return nil, fmt.Errorf("address of witness %s: %w", p.Name, err)
	}
	x, err := ntsclient.New(cfg)
	if err != nil {
		return nil, err
	}
	if c.clients == nil {
		c.clients = map[Peer]*asked{}
	}
	c.clients[p] = &asked{Client: x}
	return c.clients[p], nil
}

// config is that of the client of a witness. What the witness has in etcd is input.
func (c *Comparison) config(p Peer) (ntsclient.Config, error) {
	cfg := ntsclient.Config{RootCAs: c.Roots, Timeout: c.Timeout}
	var err error
	if cfg.Host, cfg.Port, err = hostPort(p.Address); err != nil {
		return cfg, err
	}
	if p.NTP != "" {
		if cfg.NTPServer, cfg.NTPPort, err = hostPort(p.NTP); err != nil {
			return cfg, err
		}
	}
	if p.TLS != "" {
		cfg.Exchange = func(ctx context.Context) (*ntske.Session, error) {
			return ntske.Exchange(ctx, ntske.ClientConfig{Host: cfg.Host, Port: cfg.Port, ServerName: p.TLS, RootCAs: c.Roots, Timeout: exchangeTimeout})
		}
	}
	return cfg, nil
}

func hostPort(text string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err == nil && (n == 0 || host == "") {
		err = fmt.Errorf("%q is not HOST:PORT", text)
	}
	return host, int(n), err
}

// forget closes the clients of those that are no witnesses any more.
func (c *Comparison) forget(peers []Peer) {
	for p, x := range c.clients {
		if !slices.Contains(peers, p) {
			x.Close()
			delete(c.clients, p)
		}
	}
}

// Close closes all clients.
func (c *Comparison) Close() { c.forget(nil) }
