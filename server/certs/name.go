package certs

import (
	"fmt"
	"net/netip"
	"strings"
)

// cleanName checks a DNS name or an IP address and returns it in the form of
// certificates: lower case, without final dot.
func cleanName(n string) (string, error) {
	if a, err := netip.ParseAddr(n); err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	s := strings.ToLower(strings.TrimSuffix(n, "."))
	labels := strings.Split(strings.TrimPrefix(s, "*."), ".")
	ok := len(s) <= 253
	for _, l := range labels {
		ok = ok && len(l) > 0 && len(l) <= 63 && l[0] != '-' && l[len(l)-1] != '-' &&
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	}
	if last := labels[len(labels)-1]; ok && strings.Trim(last, "0123456789") == "" {
		ok = false // an invalid address, as 10.0.0.256
	}
	if !ok {
		return "", fmt.Errorf("%q is not a host name or an address (write other scripts in the xn-- form)", n)
	}
	return s, nil
}
