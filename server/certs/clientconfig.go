package certs

import (
	"net/netip"
	"strings"
)

// Client is an NTP client and how it is configured to trust a private authority
// for one server and no other.
type Client struct {
	Name string // of the program
	File string // the configuration file that the lines belong to
	CA   string // where AuthorityCert is put on the client

	lines string // of the configuration; HOST and CA are replaced by the server and the CA
	// only4: a client that takes an IPv6 address for a name, and then cannot look
	// it up to ask it for keys.
	only4 bool
}

// Clients returns the clients whose configuration is known: chrony, ntpd-rs and
// NTPsec.
func Clients() []Client {
	return []Client{
		{Name: "chrony", File: "/etc/chrony/conf.d/noonmark.conf", CA: "/etc/chrony/noonmark-ca.pem",
			lines: "ntstrustedcerts 1 CA\nserver HOST nts certset 1 iburst\n"},
		{Name: "ntpd-rs", File: "/etc/ntpd-rs/ntp.toml", CA: "/etc/ntpd-rs/noonmark-ca.pem", only4: true, // 1.4
			lines: "[[source]]\nmode = \"nts\"\naddress = \"HOST\"\ncertificate-authority = \"CA\"\n"},
		{Name: "NTPsec", File: "/etc/ntpsec/ntp.conf", CA: "/etc/ntpsec/noonmark-ca.pem", only4: true, // 1.2
			lines: "server HOST nts ca CA iburst\n"},
	}
}

// Host returns the first of a certificate's names by which the client can ask a
// server. A wildcard becomes the name "time" below it. ok is false if there is
// none.
func (c *Client) Host(names []string) (host string, ok bool) {
	for _, n := range names {
		if a, err := netip.ParseAddr(n); c.only4 && err == nil && a.Is6() {
			continue
		}
		return strings.Replace(n, "*", "time", 1), true
	}
	return "", false
}

// Lines returns the lines for File, for a server and the path of the authority's
// certificate.
func (c *Client) Lines(host, ca string) string {
	return strings.NewReplacer("HOST", host, "CA", ca).Replace(c.lines)
}
