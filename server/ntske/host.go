package ntske

import (
	"net/netip"
	"strings"
)

// ValidServer reports whether s can name an NTP server (RFC 8915, section 4.1.7):
// an IPv4 address, an IPv6 address without zone, or a domain name (labels in other
// scripts as A-labels).
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
	// A name with a numeric last label is an invalid address, as 10.0.0.256.
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// hostLetters are the characters of host names, and the underscore, which is in
// use although it is not one of them.
const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// fqdn returns a server's name with a final dot, so that no resolver appends
// search domains. An address stays as it is, and so does a name of one label:
// localhost is in the hosts file without dot.
func fqdn(s string) string {
	if _, err := netip.ParseAddr(s); err == nil || !strings.Contains(s, ".") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// sameHost reports whether two texts are the same address, or the same name.
func sameHost(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, yerr := netip.ParseAddr(b)
	if err == nil || yerr == nil {
		return err == nil && yerr == nil && x.Unmap() == y.Unmap()
	}
	return a != "" && strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// withoutZone returns an IPv6 address without its zone, which has a meaning on this
// host only. Other texts stay as they are.
func withoutZone(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.WithZone("").String()
	}
	return s
}
