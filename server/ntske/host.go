package ntske

import (
	"net/netip"
	"strings"
)

// ValidServer reports whether s can be an NTP server (RFC 8915, section
// 4.1.7): an IPv4 address in dotted decimal, an IPv6 address without a zone, or a
// domain name, of which labels in other scripts are A-labels.
func ValidServer(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 { // RFC 1035, section 2.3.4, without the length of the root
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, hostLetters) != "" {
			return false
		}
	}
	// An all-numeric last label would be an address that is none, as 10.0.0.256.
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// hostLetters may be in a host name. An underscore is none of them, but is in use.
const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// fqdn returns a server's name so that nobody tries search domains on it; an
// address stays as it is, and so does a name of one label: localhost is looked up
// in the host's own table, which knows it only without a dot.
func fqdn(s string) string {
	if _, err := netip.ParseAddr(s); err == nil || !strings.Contains(s, ".") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// sameHost reports whether two texts are one address, or one name.
func sameHost(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, yerr := netip.ParseAddr(b)
	if err == nil || yerr == nil {
		return err == nil && yerr == nil && x.Unmap() == y.Unmap()
	}
	return a != "" && strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
