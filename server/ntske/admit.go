package ntske

import (
	"net"
	"net/netip"
	"time"
)

// prefix returns what the limits per address count: an IPv4 address, or the /64
// from which an IPv6 host can choose addresses. Other kinds of addresses (a pipe
// in a test) share the zero prefix.
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

// admit reserves a place for a connection and returns Served, or why there is
// none.
func (s *Server) admit(from netip.Prefix, now time.Time) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[from] >= s.cfg.MaxPerAddr:
		return AddressCap
	case s.conns >= s.cfg.MaxConns:
		return ConnectionCap
	case !s.each.take(from, now) || !s.all.take(now):
		return RateLimited
	}
	s.open[from]++
	s.conns++
	s.counters.open.Add(1)
	return Served
}

// leave frees the place of a connection.
func (s *Server) leave(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
	s.conns--
	s.counters.open.Add(-1)
}
