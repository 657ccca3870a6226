package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as text: "1m30s", "250us", "-11.7us".
type Duration struct{ time.Duration }

// D makes a Duration, for defaults.
func D(d time.Duration) Duration { return Duration{d} }

// UnmarshalText reads time.ParseDuration's format.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		hint := "want " + d.Expect()
		if n, ok := durationMeant(string(b)); ok {
			hint = fmt.Sprintf("did you mean %q? %s", n, hint)
		}
		return fmt.Errorf("%q is not a duration; %s", b, hint)
	}
	d.Duration = v
	return nil
}

// durationMeant returns what probably was meant: a number with a space before its
// unit, or a number of days, for which there is no unit.
func durationMeant(text string) (string, bool) {
	if days, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16); err == nil && strings.HasSuffix(text, "d") {
		return fmt.Sprintf("%dh", days*24), true
	}
	short := strings.ReplaceAll(text, " ", "")
	_, err := time.ParseDuration(short)
	return short, err == nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Expect completes "want ...".
func (Duration) Expect() string { return `a duration in quotes such as "1m30s", "50ms" or "11.7us"` }

// Date is a day, written "2026-11-01"; the time is its midnight in UTC.
type Date struct{ time.Time }

// UnmarshalText reads YYYY-MM-DD.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return fmt.Errorf("%q is not a date; want %s", b, d.Expect())
	}
	d.Time = t
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.Format(time.DateOnly)), nil }

// Expect completes "want ...".
func (Date) Expect() string { return `a date in quotes such as "2026-11-01"` }

// Prefix is a network: "192.0.2.0/24", "2001:db8::/32", or one address. An
// IPv4-mapped IPv6 address becomes plain IPv4.
type Prefix struct{ netip.Prefix }

// UnmarshalText reads an address with or without a prefix length. Bits beyond
// the length are an error: the user meant another network or another length.
func (p *Prefix) UnmarshalText(b []byte) error {
	v, err := netip.ParsePrefix(string(b))
	if err != nil {
		a, aerr := netip.ParseAddr(string(b))
		if aerr != nil || a.Zone() != "" {
			return fmt.Errorf("%q is not a network; want %s", b, p.Expect())
		}
		a = a.Unmap()
		v = netip.PrefixFrom(a, a.BitLen())
	}
	if a := v.Addr(); a.Is4In6() {
		if v.Bits() < 96 {
			return fmt.Errorf("%q mixes IPv4 and IPv6; want %s", b, p.Expect())
		}
		v = netip.PrefixFrom(a.Unmap(), v.Bits()-96)
	}
	if m := v.Masked(); m != v {
		return fmt.Errorf("%q has bits beyond its length; want %q or %q", b, m, v.Addr())
	}
	p.Prefix = v
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Expect completes "want ...".
func (Prefix) Expect() string { return `a network in quotes such as "192.0.2.0/24" or "2001:db8::/32"` }

// AddrPort is an address to listen on or to send to; names are not resolved.
type AddrPort struct{ netip.AddrPort }

// UnmarshalText reads ADDRESS:PORT, an IPv6 address in brackets. The empty
// text is the zero AddrPort: off.
func (a *AddrPort) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		a.AddrPort = netip.AddrPort{}
		return nil
	}
	v, err := netip.ParseAddrPort(string(b))
	if err != nil {
		return fmt.Errorf("%q is not an address with a port; %s", b, addressMeant(string(b), a.Expect()))
	}
	a.AddrPort = v
	return nil
}

// addressMeant says what is right instead of a text that is no address with a port.
func addressMeant(text, expect string) string {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if _, err := netip.ParseAddr(text); err == nil {
			return "the port is missing; want " + expect
		}
		if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			host, port = "", text
		} else {
			return "want " + expect
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "want " + expect
	}
	switch host {
	case "", "*":
		return fmt.Sprintf("want \"0.0.0.0:%[1]s\" for every IPv4 address, \"[::]:%[1]s\" for every IPv6 address, or \"127.0.0.1:%[1]s\" for this machine only", port)
	case "localhost":
		return fmt.Sprintf("names are not looked up; want \"127.0.0.1:%[1]s\" or \"[::1]:%[1]s\"", port)
	}
	return "names are not looked up; want " + expect
}

// MarshalText writes what UnmarshalText reads.
func (a AddrPort) MarshalText() ([]byte, error) {
	if !a.IsValid() {
		return nil, nil
	}
	return []byte(a.String()), nil
}

// Expect completes "want ...".
func (AddrPort) Expect() string {
	return `an address and a port in quotes such as "0.0.0.0:123" or "[::1]:4460"`
}
