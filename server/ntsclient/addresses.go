package ntsclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// addresses are those of a server's name. After a loss the client continues with the
// next one.
type addresses struct {
	of   string   // host and port, as they were resolved
	list []string // address and port
	at   int      // in use
	left int      // not tried since they were resolved
}

// resolve looks up the addresses of host and port if it is time to.
func (a *addresses) resolve(ctx context.Context, hostPort, network string, lookup lookupFunc) error {
	if a.of == hostPort && a.left > 0 {
		return nil
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return err
	}
	*a = addresses{of: hostPort, list: []string{hostPort}}
	if _, err := netip.ParseAddr(host); err != nil && lookup != nil {
		ips, err := lookup(ctx, "ip"+strings.TrimPrefix(network, "udp"), host)
		if err != nil {
			a.of = ""
			return err
		}
		a.list = nil
		for _, ip := range ips {
			a.list = append(a.list, net.JoinHostPort(ip.Unmap().String(), port))
		}
	}
	a.left = len(a.list)
	return nil
}

// next turns to the next address.
func (a *addresses) next() {
	if len(a.list) > 0 {
		a.at = (a.at + 1) % len(a.list)
	}
	a.left--
}

// lookupFunc is net.Resolver.LookupNetIP.
type lookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// dial connects the socket to the first address that can be had, if there is none.
func (c *Client) dial(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	if err := c.peers.resolve(ctx, c.address, c.cfg.Network, c.cfg.Lookup); err != nil {
		return err
	}
	for {
		conn, err := c.cfg.Dial(ctx, c.cfg.Network, c.peers.list[c.peers.at])
		if err == nil {
			c.conn, c.lost = conn, 0
			return nil
		}
		if c.peers.next(); c.peers.left <= 0 || ctx.Err() != nil {
			return err
		}
	}
}

// leave closes the socket, and another address is next.
func (c *Client) leave() {
	c.drop()
	c.peers.next()
}

// unreachable reports whether the system refused to send, or the address refused to
// receive: another address may work.
func unreachable(err error) bool { return errors.As(err, new(syscall.Errno)) }

// noNetwork reports whether a network is missing on this side: nobody was asked, so
// trying again is no burden to a server.
func noNetwork(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	for _, e := range [...]error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
