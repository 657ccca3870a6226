package config

import (
	"fmt"
	"net/netip"
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
		return fmt.Errorf("%q is not a duration; want %s", b, d.Expect())
	}
	d.Duration = v
	return nil
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
		return fmt.Errorf("%q is not an address with a port; want %s", b, a.Expect())
	}
	a.AddrPort = v
	return nil
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
