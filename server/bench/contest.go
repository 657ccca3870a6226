package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// server is one contestant.
type server struct {
	name    string
	version string
	args    []string
	env     []string
	wait    time.Duration // until it surely listens
	only    string        // the one case it can serve, or all
}

// findChronyd returns the newest chronyd: the last root of NOONMARK_PEERS that
// has one, else that of PATH.
func findChronyd() string {
	p, _ := exec.LookPath("chronyd")
	if _, err := os.Stat("/usr/sbin/chronyd"); p == "" && err == nil {
		p = "/usr/sbin/chronyd"
	}
	for _, d := range filepath.SplitList(os.Getenv("NOONMARK_PEERS")) {
		if f := filepath.Join(d, "usr/sbin/chronyd"); d != "" {
			if _, err := os.Stat(f); err == nil {
				p = f
			}
		}
	}
	return p
}

// contestants writes certificate and configurations and returns the servers.
func contestants(o options, dir string) ([]server, error) {
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := certificate(cert, key); err != nil {
		return nil, err
	}
	ours := filepath.Join(dir, "ntsserve.toml")
	conf := fmt.Sprintf(`[source]
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
`, filepath.Join(dir, "status"), cert, key, filepath.Join(dir, "keys"))
	if err := os.WriteFile(ours, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s := []server{{name: "ntsserve", version: "this tree, " + runtime.Version(), args: []string{o.bin + "/ntsserve", "-config", ours}, wait: time.Second}}
	if o.echo {
		s = append(s, server{name: "go-echo", version: "recvmmsg, batch 64", args: []string{o.bin + "/goecho", "-b", "64", "mmsg"}, wait: 500 * time.Millisecond, only: "ntp"})
	}
	if o.chronyd == "" {
		fmt.Fprintln(os.Stderr, "bench: no chronyd found (server/interop/peers fetches one; set NOONMARK_PEERS to what it prints): ratios are left out")
		return s, nil
	}
	out, _ := exec.Command(o.chronyd, "--version").CombinedOutput()
	version := strings.TrimSpace(string(out))
	if f := strings.Fields(version); len(f) > 3 {
		version = f[3]
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
	// -x: the host's clock is nobody's business here; -n: no daemon
	return append(s, server{name: "chronyd", version: version, args: []string{o.chronyd, "-x", "-n", "-U", "-u", "root", "-f", chrony}, wait: 1500 * time.Millisecond}), nil
}

// certificate writes a self-signed certificate of one day for bench.test.
func certificate(cert, key string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench.test"}, DNSNames: []string{"bench.test"},
		IPAddresses: []net.IP{net.IPv4(10, 8, 0, 2)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		return err
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// publish keeps a healthy snapshot that passes the system clock off as a
// disciplined one: the benchmark is about the answer path, not the clock.
func publish(path string) (stop func(), err error) {
	w, err := status.Create(path)
	if err != nil {
		return nil, err
	}
	write := func() {
		mono, now := phc.MonoRaw(), time.Now()
		t := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), 37)
		w.Write(&status.Snapshot{
			State: status.Locked, Kind: status.SystemClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1,
			Mono: mono, Clock: t, LineErr: 100, Bound: time.Microsecond, BoundRate: 50, Limit: 100 * time.Millisecond,
			TAIOffset: 37, RefTime: t, Reason: "benchmark", ClockDev: "CLOCK_REALTIME",
		})
	}
	write()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				write()
			}
		}
	}()
	return func() { close(done); <-ended; w.Close() }, nil
}
