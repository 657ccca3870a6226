package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"noonmark/server/nts/aead"
	"noonmark/server/ntsclient"
)

const usage = `usage: ntsquery [flags] HOST[:PORT]
       ntsquery [flags] -watch HOST[:PORT]...

Asks a server for the time and says how far the local clock is from it. The
clock is not touched. HOST is the NTS-KE server (port 4460) or, with -plain, the
NTP server (port 123). "offset" is local clock - server: + means that the local
clock is fast (the theta of RFC 5905, and ntpdig, have the opposite sign).

Exit code 0 for a valid answer only: authenticated (unless -plain), from a
synchronised server, consistent in itself. Else as in sysexits.h: 64 usage,
66 CA file, 69 no answer or server not synchronised, 75 server asks for fewer
requests, 76 the answer is not what the protocol allows or not authentic,
77 not permitted, here or by the server; 130 interrupted.

`

// Limits that keep the tool polite.
const (
	maxCount = 1000
	maxHosts = 64
)

type options struct {
	json, plain, watch bool
	version            bool // print it, ask nobody
	count              int
	interval           time.Duration
	client             ntsclient.Config // Host and Port are per host
	hosts              []target
}

type target struct {
	name string // as typed
	host string
	port int // 0 for the default
}

// errUsage marks what the user typed wrong.
var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	var ca string
	var ids aeadList
	var four, six bool
	fs := flag.NewFlagSet("ntsquery", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		io.WriteString(stderr, usage)
		fs.PrintDefaults()
	}
	fs.BoolVar(&o.json, "json", false, "print one JSON object (with -watch one a line); times in ns")
	fs.BoolVar(&o.plain, "plain", false, "NTP without NTS: anybody on the way can forge the answer")
	fs.BoolVar(&o.watch, "watch", false, "ask several servers again and again, one line a reading")
	fs.IntVar(&o.count, "n", 0, "number of readings, the one with the least delay is shown; default 1, with -watch without end")
	fs.DurationVar(&o.interval, "interval", 0, "time between two requests to a server; default 1s, with -watch 16s")
	fs.DurationVar(&o.client.Timeout, "timeout", ntsclient.DefaultTimeout, "how long to wait for one answer; three times as long for a key exchange")
	fs.BoolVar(&o.client.Interleaved, "interleaved", false, "ask for precise transmit timestamps (RFC 9769), after one or two exchanges that are not counted")
	fs.StringVar(&ca, "ca", "", "trust the certificates in this PEM `FILE` instead of the system's")
	fs.Var(&ids, "aead", "AEAD `number` to offer (15, 17, 30), repeatable, in order of preference; default all")
	fs.StringVar(&o.client.NTPServer, "server", "", "NTP server `HOST`, overrides what NTS-KE says")
	fs.IntVar(&o.client.NTPPort, "port", 0, "NTP server's UDP port, overrides what NTS-KE says")
	fs.BoolVar(&four, "4", false, "IPv4 only")
	fs.BoolVar(&six, "6", false, "IPv6 only")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	for { // flags may follow hosts
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: see -help", errUsage)
		}
		if o.version {
			return &o, nil
		}
		if fs.NArg() == 0 {
			break
		}
		t, err := parseTarget(fs.Arg(0))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		o.hosts = append(o.hosts, t)
		args = fs.Args()[1:]
	}
	bad := func(format string, args ...any) (*options, error) {
		return nil, fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
	}
	switch {
	case len(o.hosts) == 0:
		return bad("a HOST is missing; see -help")
	case len(o.hosts) > 1 && !o.watch:
		return bad("one HOST at a time, or -watch")
	case len(o.hosts) > maxHosts:
		return bad("at most %d hosts", maxHosts)
	case o.count < 0 || o.count > maxCount || o.count == 0 && isSet(fs, "n"):
		return bad("-n takes 1 to %d", maxCount)
	case o.interval < 0 || o.client.Timeout <= 0 || o.client.Timeout > time.Minute:
		return bad("-interval must not be negative, -timeout must be within 1ns and 1m")
	case o.client.NTPPort < 0 || o.client.NTPPort > 65535:
		return bad("-port takes 1 to 65535")
	case four && six:
		return bad("-4 and -6 exclude each other")
	case o.plain && (ca != "" || len(ids) > 0):
		return bad("-ca and -aead are for NTS, -plain is without")
	}
	if o.count == 0 && !o.watch {
		o.count = 1
	}
	if o.interval == 0 && !isSet(fs, "interval") {
		o.interval = time.Second
		if o.watch {
			o.interval = 16 * time.Second
		}
	}
	if o.watch && o.interval < time.Second && o.count == 0 {
		return bad("-watch without end needs an -interval of 1s or more")
	}
	o.client.Plain, o.client.AEADs = o.plain, ids
	switch {
	case four:
		o.client.Network = "udp4"
	case six:
		o.client.Network = "udp6"
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCA, err)
		}
		o.client.RootCAs = x509.NewCertPool()
		if !o.client.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate in PEM", errCA, ca)
		}
	}
	return &o, nil
}

var errCA = errors.New("read CA file")

func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// parseTarget reads HOST, HOST:PORT, an IPv6 address, or one in brackets with
// or without a port.
func parseTarget(s string) (target, error) {
	t := target{name: s, host: s}
	if host, port, err := net.SplitHostPort(s); err == nil {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p == 0 {
			return t, fmt.Errorf("%q: a port is a number from 1 to 65535", s)
		}
		t.host, t.port = host, int(p)
	} else if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		t.host = s[1 : n-1]
	}
	if t.host == "" || strings.ContainsAny(t.host, "[]/@ ") || strings.Contains(t.host, ":") && net.ParseIP(strings.Split(t.host, "%")[0]) == nil {
		return t, fmt.Errorf("%q is no host", s)
	}
	return t, nil
}

// aeadList is a repeatable flag.
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
