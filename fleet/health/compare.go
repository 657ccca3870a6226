package health

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"noonmark/server/ntsclient"
)

// deviatesAfter is how many comparisons in a row must show a deviation before a node
// drains itself: one may be a queue on the path.
const deviatesAfter = 3

// Comparison compares the time that this node serves with that of its witnesses, by
// NTS. It is for one goroutine; the caller calls it once a minute, for instance.
type Comparison struct {
	Own     netip.AddrPort // where ntsserve of this node answers NTP
	Roots   *x509.CertPool // of the witnesses' certificates; nil: those of the system
	Timeout time.Duration  // for one answer; 0: that of ntsclient

	clients map[Peer]*ntsclient.Client
	inARow  int
}

// Compared is the result of a comparison.
type Compared struct {
	Own      error // why this node's own ntsserve gave no valid answer
	Readings []Reading
	Failed   map[string]error // witnesses without a valid answer
	Deviates string           // and how, after deviatesAfter comparisons in a row
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
			continue
		}
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

func (c *Comparison) client(p Peer) (*ntsclient.Client, error) {
	if x := c.clients[p]; x != nil {
		return x, nil
	}
	host, text, err := net.SplitHostPort(p.Address)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err = errors.Join(err, perr); err != nil {
		return nil, fmt.Errorf("address of witness %s: %w", p.Name, err)
	}
	x, err := ntsclient.New(ntsclient.Config{Host: host, Port: int(port), RootCAs: c.Roots, Timeout: c.Timeout})
	if err != nil {
		return nil, err
	}
	if c.clients == nil {
		c.clients = map[Peer]*ntsclient.Client{}
	}
	c.clients[p] = x
	return x, nil
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
