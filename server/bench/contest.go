package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"noonmark/server/bench/stage"
)

// server is one contestant.
type server struct {
	name    string
	version string
	args    []string
	env     []string
	wait    time.Duration // until it certainly listens
	only    string        // the one case it can serve, or all

	realtime bool // started as a real-time process, because it cannot raise its own priority
}

// contestants writes certificate and configurations and returns the servers.
func contestants(o options, dir string) ([]server, error) {
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := stage.Certificate(cert, key, net.IPv4(10, 8, 0, 2)); err != nil {
		return nil, err
	}
	ours := filepath.Join(dir, "ntsserve.toml")
	priority, order := "high", []string{}
	if o.realtime {
		priority, order = "realtime", []string{"-P", "1"}
	}
	conf := fmt.Sprintf(`priority = %q
[source]
type = "snapshot"
path = %q
[[endpoint]]
address = "10.8.0.2:123"
workers = 1
[ke]
listen = "10.8.0.2:4460"
certificate = %q
key = %q
[keys]
file = %q
`, priority, filepath.Join(dir, "status"), cert, key, filepath.Join(dir, "keys"))
	if err := os.WriteFile(ours, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s := []server{{name: "ntsserve", version: "this tree, " + runtime.Version(), args: []string{o.bin + "/ntsserve", "-config", ours}, wait: time.Second}}
	if o.echo {
		s = append(s, server{name: "go-echo", version: "recvmmsg, batch 64", args: []string{o.bin + "/goecho", "-b", "64", "mmsg"}, wait: 500 * time.Millisecond, only: "ntp", realtime: true})
	}
	if o.chronyd == "" {
		fmt.Fprintln(os.Stderr, "bench: no chronyd found (server/interop/peers fetches one; set NOONMARK_PEERS to what it prints): ratios are left out")
		return s, nil
	}
	chrony := filepath.Join(dir, "chrony.conf")
	conf = fmt.Sprintf(`bindaddress 10.8.0.2
allow
local stratum 1
ntsservercert %s
ntsserverkey %s
ntsdumpdir %s
cmdport 0
bindcmdaddress /
pidfile %s/chronyd.pid
`, cert, key, dir, dir)
	if err := os.WriteFile(chrony, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	// -x: without control of the host's clock; -n: no daemon
	return append(s, server{name: "chronyd", version: stage.Version(o.chronyd), args: append([]string{o.chronyd, "-x", "-n", "-U", "-u", "root", "-f", chrony}, order...), wait: 1500 * time.Millisecond}), nil
}
