package ntsserve

import (
	"fmt"
	"net/netip"
	"time"

	"noonmark/internal/config"
	"noonmark/server"
	"noonmark/server/transport/sockets"
)

// maxLatency is more than a card needs between its stamps and the wire.
const maxLatency = 100 * time.Microsecond

func (s *Settings) checkEndpoints(c *config.Checker) {
	c.Require(len(s.Endpoint) > 0, "endpoint", "there is none; want at least\n[[endpoint]]\naddress = \"0.0.0.0:123\"")
	seen := map[string]int{}
	for i, e := range s.Endpoint {
		key := fmt.Sprintf("endpoint[%d]", i)
		ep := s.endpoint(c, key, e)
		id := e.Address.String() + "%" + e.Interface
		if j, ok := seen[id]; ok && e.Address.Port() != 0 {
			c.Refuse(key+".address", "endpoint[%d] has it already; want another address, port or interface", j)
		}
		seen[id] = i
		s.Endpoints = append(s.Endpoints, ep)
		if s.NTPPort == 0 && e.NTS != "off" && s.KE.Server == "" {
			s.NTPPort = int(e.Address.Port())
		}
	}
	if s.KE.Port != 0 {
		s.NTPPort = s.KE.Port
	}
}

// endpoint checks one endpoint; key is that of its table.
func (s *Settings) endpoint(c *config.Checker, key string, e Endpoint) server.Endpoint {
	c.Require(e.Address.IsValid(), key+".address", "is missing; want %s", config.AddrPort{}.Expect())
	c.Require(!e.Address.Addr().Is4In6(), key+".address", "%v is an IPv4 address in the form of IPv6; want %v", e.Address, netip.AddrPortFrom(e.Address.Addr().Unmap(), e.Address.Port()))
	c.Require(!e.Address.Addr().IsMulticast(), key+".address", "%v is a multicast address; want one of this host, or 0.0.0.0 or [::] for all", e.Address)
	c.Require(e.Workers >= 0 && e.Workers <= 256, key+".workers", "%d is not a number of workers; want 1 to 256, or 0 for one a processor", e.Workers)
	c.Require(e.DSCP >= 0 && e.DSCP <= 63, key+".dscp", "%d is not a code point; want 0 to 63", e.DSCP)
	c.Within(key+".receive_latency", e.ReceiveLatency, 0, maxLatency)
	c.Within(key+".transmit_latency", e.TransmitLatency, 0, maxLatency)
	c.Require(!e.Smear || s.Source.Type == "snapshot", key+".smear",
		"a clock of source.type = %q executes its leap seconds itself; want type = \"snapshot\", or no smearing", s.Source.Type)
	return server.Endpoint{
		Policy: s.policy(c, key+".nts", e.NTS) | s.BadMAC, Smear: e.Smear,
		Socket: sockets.Config{
			Addr: e.Address.AddrPort, Interface: e.Interface, Stamps: stamps(c, key+".timestamps", e.Timestamps), Sockets: e.Workers, DSCP: uint8(e.DSCP),
			ReceiveLatency: e.ReceiveLatency.Duration, TransmitLatency: e.TransmitLatency.Duration,
		},
	}
}

// policy reads the key nts of an endpoint.
func (s *Settings) policy(c *config.Checker, key, value string) server.Policy {
	var everybody server.Policy
	if value == "" || !c.OneOf(key, value, "allow", "only", "off") {
		return everybody
	}
	switch value {
	case "only":
		c.Require(s.OpensCookies, key, "there are no cookie keys, so no request would be answered; want ke.certificate and ke.key, [acme], or keys.file shared with the NTS-KE server")
		return server.NoPlain
	case "off":
		return server.NoNTS
	}
	return everybody
}

// stamps reads the key timestamps of an endpoint.
func stamps(c *config.Checker, key, value string) sockets.Mode {
	if value == "" {
		return sockets.Auto
	}
	m, err := sockets.ParseMode(value)
	if err != nil {
		c.OneOf(key, value, "auto", "hardware", "software", "off")
	}
	return m
}
