package main

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

// Witnesses and readers of the metrics may have any unicast address, so the unit's
// packet filter denies no other than multicast, broadcast and reserved addresses.
func TestUnitAllowsEveryUnicastAddress(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../systemd/refclockd.service")
	if err != nil {
		t.Fatal(err)
	}
	var allowed []netip.Prefix
	denied := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		denied = denied || line == "IPAddressDeny=any"
		list, _ := strings.CutPrefix(line, "IPAddressAllow=")
		if list == line {
			continue
		}
		for _, p := range strings.Fields(list) {
			allowed = append(allowed, netip.MustParsePrefix(p))
		}
	}
	if !denied {
		t.Error("the unit denies nothing")
	}
	for address, want := range map[string]bool{
		"224.0.0.0": false, "239.255.255.255": false, "240.0.0.0": false, "255.255.255.255": false, "ff00::": false, "ff02::1": false, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": false,
		"0.0.0.1": true, "127.0.0.1": true, "128.0.0.0": true, "191.255.255.255": true, "192.0.2.1": true, "223.255.255.255": true,
		"::1": true, "64:ff9b::c000:201": true, "7fff::": true, "8000::": true, "bfff::": true, "c000::": true, "e000::": true, "f000::": true, "f7ff::": true, "f800::": true,
		"fd00::1": true, "fe80::1": true, "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db8::1": true,
	} {
		a, got := netip.MustParseAddr(address), false
		for _, p := range allowed {
			got = got || p.Contains(a)
		}
		if got != want {
			t.Errorf("%s: allowed %v, want %v", address, got, want)
		}
	}
}

// Only a wrong command line (64) or configuration (78) ends a daemon for good: what the
// system denies now (77) it may grant later.
func TestUnitsAreStartedAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"refclockd", "ntsserve", "refclockweb", "noonmark-alert"} {
		b, err := os.ReadFile("../../systemd/" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"Restart=on-failure", "RestartPreventExitStatus=64 78", "StartLimitIntervalSec=0"} {
			if !strings.Contains(string(b), "\n"+line+"\n") {
				t.Errorf("%s.service has no line %s", name, line)
			}
		}
	}
}
