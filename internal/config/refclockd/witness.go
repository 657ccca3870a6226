package refclockd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/refclock/integrity"
	"noonmark/server/certs/cafile"
)

// Defaults and limits of a witness.
const (
	defaultWitnessOffset   = 50 * time.Millisecond
	defaultWitnessInterval = 64 * time.Second
	minWitnessInterval     = 16 * time.Second // servers answer with a kiss code below it
)

// WitnessServer is a checked [[witness]] with its defaults.
type WitnessServer struct {
	Name      string // as configured; in logs and metrics
	Host      string
	Port      int // 0: the protocol's own
	NTS       bool
	CA        string        // file of authorities; empty: the system's
	MaxOffset time.Duration // beyond what both report of their own errors
	Interval  time.Duration
	Required  bool
}

// Config is how the answers of the server are judged.
func (w *WitnessServer) Config() integrity.WitnessConfig {
	return integrity.WitnessConfig{Name: w.Name, MaxOffset: w.MaxOffset, Required: w.Required, Every: w.Interval}
}

func (c *check) witnesses() {
	for i := range c.Witness {
		prefix := fmt.Sprintf("witness[%d].", i)
		w, err := c.Witness[i].server(c.Checker.File, prefix)
		c.Add(err)
		if _, err := cafile.Read(w.CA); err != nil {
			c.warn("%v", c.Checker.File.Errorf(prefix+"ca", "%w; until then the witness is not asked", err))
		}
		twice := slices.ContainsFunc(c.Servers, func(v WitnessServer) bool { return v.Name == w.Name })
		c.Require(!twice, prefix+"address", "%q is named twice; want each server once", w.Name)
		c.Servers = append(c.Servers, w)
	}
}

// server checks the witness.
func (w *Witness) server(f *config.File, prefix string) (WitnessServer, error) {
	s := WitnessServer{Name: w.Address, NTS: w.NTS == nil || *w.NTS, MaxOffset: w.MaxOffset.Duration, Interval: w.Interval.Duration, Required: w.Required}
	if s.MaxOffset == 0 {
		s.MaxOffset = defaultWitnessOffset
	}
	if s.Interval == 0 {
		s.Interval = defaultWitnessInterval
	}
	var err error
	if s.Host, s.Port, err = hostPort(w.Address); err != nil {
		return s, f.Errorf(prefix+"address", "%w; want a server's name or address, such as \"time.example\" or \"192.0.2.1:4460\"", err)
	}
	if s.MaxOffset < time.Microsecond || s.MaxOffset > time.Second {
		return s, f.Errorf(prefix+"max_offset", "%v is out of range; want 1us to 1s", s.MaxOffset)
	}
	if s.Interval < minWitnessInterval || s.Interval > 24*time.Hour {
		return s, f.Errorf(prefix+"interval", "%v is out of range; want %v to 24h", s.Interval, minWitnessInterval)
	}
	if w.CA == "" {
		return s, nil
	}
	if !s.NTS {
		return s, f.Errorf(prefix+"ca", "is not used with nts = false; leave it out: plain NTP has no certificate")
	}
	s.CA = w.CA
	return s, nil
}

// hostPort splits an address whose port may be left out.
func hostPort(a string) (host string, port int, err error) {
	if a == "" {
		return "", 0, errors.New("is empty")
	}
	host, text, err := net.SplitHostPort(a)
	if err != nil { // without a port, or an IPv6 address without brackets
		if _, bad := netip.ParseAddr(a); bad != nil && strings.Contains(a, ":") {
			return "", 0, fmt.Errorf("%q is not an address", a)
		}
		return a, 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not an address", a)
	}
	return host, int(n), nil
}
