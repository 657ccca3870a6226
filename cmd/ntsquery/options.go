package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/command"
	"noonmark/server/certs/cafile"
	"noonmark/server/nts/aead"
	"noonmark/server/ntsclient"
)

// Limits that protect servers.
const (
	maxCount = 1000
	maxHosts = 64
)

// options is the command line.
type options struct {
	json, plain, watch bool
	count              int
	interval           time.Duration
	client             ntsclient.Config // without Host and Port
	hosts              []target

	ca        string
	aeads     aeadList
	four, six bool
}

// target is a server on the command line.
type target struct {
	name string // as written
	host string
	port int // 0: the default
}

// config returns the client's configuration for a server.
func (o *options) config(t target) ntsclient.Config {
	c := o.client
	c.Host, c.Port = t.host, t.port
	return c
}

// parse reads the command line behind the flags, and completes the options.
func (o *options) parse(fs *flag.FlagSet, args []string) error {
	for _, a := range args {
		t, err := parseTarget(a)
		if err != nil {
			return command.Usagef("%w", err)
		}
		o.hosts = append(o.hosts, t)
	}
	if err := o.check(isSet(fs, "n")); err != nil {
		return command.Usagef("%w", err)
	}
	o.setDefaults(isSet(fs, "interval"))
	if o.watch && o.interval < time.Second && o.count == 0 {
		return command.Usagef("-watch without -n needs an -interval of 1s or more")
	}
	return o.readCA()
}

// flags declares the flags.
func (o *options) flags(fs *flag.FlagSet) {
	fs.BoolVar(&o.json, "json", false, "print one JSON object, with -watch one per line; times in ns")
	fs.BoolVar(&o.plain, "plain", false, "NTP without NTS: anybody on the path can forge the answer")
	fs.BoolVar(&o.watch, "watch", false, "query several servers repeatedly, one line per reading")
	fs.IntVar(&o.count, "n", 0, "number of readings; the one with the least delay is shown; default 1, with -watch no limit")
	fs.DurationVar(&o.interval, "interval", 0, "time between two requests to a server; default 1s, with -watch 16s")
	fs.DurationVar(&o.client.Timeout, "timeout", ntsclient.DefaultTimeout, "time to wait for one answer; a key exchange may take three times as long")
	fs.BoolVar(&o.client.Interleaved, "interleaved", false, "request precise transmit timestamps (RFC 9769), after one or two exchanges that do not count")
	fs.StringVar(&o.ca, "ca", "", "trust the certificates in this PEM `FILE` instead of those of the system")
	fs.Var(&o.aeads, "aead", "AEAD `15|17|30` to offer, may be repeated, in order of preference; default all")
	fs.StringVar(&o.client.NTPServer, "server", "", "NTP server `HOST`, overrides the one of NTS-KE")
	fs.IntVar(&o.client.NTPPort, "port", 0, "UDP port of the NTP server, overrides the one of NTS-KE")
	fs.BoolVar(&o.four, "4", false, "IPv4 only")
	fs.BoolVar(&o.six, "6", false, "IPv6 only")
}

// check returns what is wrong with the options. countSet: -n was given.
func (o *options) check(countSet bool) error {
	switch {
	case len(o.hosts) == 0:
		return errors.New("a HOST is missing")
	case len(o.hosts) > 1 && !o.watch:
		return errors.New("several HOSTs need -watch")
	case len(o.hosts) > maxHosts:
		return fmt.Errorf("more than %d hosts", maxHosts)
	case o.count < 0 || o.count > maxCount || o.count == 0 && countSet:
		return fmt.Errorf("-n must be from 1 to %d", maxCount)
	case o.interval < 0:
		return errors.New("-interval must not be negative")
	case o.client.Timeout <= 0 || o.client.Timeout > time.Minute:
		return errors.New("-timeout must be above 0 and at most 1m")
	case o.client.NTPPort < 0 || o.client.NTPPort > 65535:
		return errors.New("-port must be from 1 to 65535")
	case o.four && o.six:
		return errors.New("-4 and -6 exclude each other")
	case o.plain && (o.ca != "" || len(o.aeads) > 0):
		return errors.New("-ca and -aead are for NTS, -plain is without NTS")
	}
	return nil
}

// setDefaults completes the options. intervalSet: -interval was given.
func (o *options) setDefaults(intervalSet bool) {
	if o.count == 0 && !o.watch {
		o.count = 1
	}
	if !intervalSet {
		o.interval = time.Second
		if o.watch {
			o.interval = 16 * time.Second
		}
	}
	o.client.Plain, o.client.AEADs = o.plain, o.aeads
	switch {
	case o.four:
		o.client.Network = "udp4"
	case o.six:
		o.client.Network = "udp6"
	}
}

// readCA reads the file of -ca, if there is one.
func (o *options) readCA() (err error) {
	if o.client.RootCAs, err = cafile.Read(o.ca); err != nil {
		return fmt.Errorf("%w: %w", errCA, err)
	}
	return nil
}

// isSet reports whether a flag was given.
func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// parseTarget reads HOST, HOST:PORT, an IPv6 address, or one in brackets with or
// without port.
func parseTarget(s string) (target, error) {
	t := target{name: s, host: s}
	if host, port, err := net.SplitHostPort(s); err == nil {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p == 0 {
			return t, fmt.Errorf("%q: the port must be a number from 1 to 65535", s)
		}
		t.host, t.port = host, int(p)
	} else if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		t.host = s[1 : n-1]
	}
	if t.host == "" || strings.ContainsAny(t.host, "[]/@ ") || strings.Contains(t.host, ":") && net.ParseIP(strings.Split(t.host, "%")[0]) == nil {
		return t, fmt.Errorf("%q is not a host", s)
	}
	return t, nil
}

// aeadList is a flag that may be repeated.
type aeadList []aead.ID

func (l *aeadList) String() string { return "" }

func (l *aeadList) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || !aead.ID(n).Supported() {
		return errors.New("must be 15, 17 or 30")
	}
	*l = append(*l, aead.ID(n))
	return nil
}
