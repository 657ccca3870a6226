// Package stage has what the benchmarks need besides a server: a certificate, a
// published clock, a description of the machine.
package stage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// Host is the name in the certificate.
const Host = "bench.test"

// Certificate writes a self-signed certificate of one day for Host and ip.
func Certificate(cert, key string, ip net.IP) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Host}, DNSNames: []string{Host},
		IPAddresses: []net.IP{ip}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
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

// TAIOffset is TAI - UTC in the published snapshots.
const TAIOffset = 37

// Publish publishes a healthy snapshot at an interval, with the system clock in
// place of a disciplined one: the benchmarks measure the answers, not the clock.
func Publish(path string, every time.Duration) (stop func(), err error) {
	w, err := status.Create(path)
	if err != nil {
		return nil, err
	}
	write := func() {
		real, mono := together()
		t := tai.FromUnix(real/1e9, real%1e9, TAIOffset)
		w.Write(&status.Snapshot{
			State: status.Locked, Kind: status.SystemClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1,
			Mono: mono, Clock: t, LineErr: 100, Bound: time.Microsecond, BoundRate: 50, Limit: 100 * time.Millisecond,
			TAIOffset: TAIOffset, RefTime: t, Reason: "benchmark", ClockDev: "CLOCK_REALTIME",
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
			case <-time.After(every):
				write()
			}
		}
	}()
	return func() { close(done); <-ended; w.Close() }, nil
}

// together reads CLOCK_REALTIME and CLOCK_MONOTONIC_RAW at the same instant: in the
// middle of the narrowest of 10 brackets.
func together() (real, mono int64) {
	best := int64(1 << 62)
	for range 10 {
		a := phc.MonoRaw()
		r := time.Now().UnixNano()
		if b := phc.MonoRaw(); b-a < best {
			best, real, mono = b-a, r, a+(b-a)/2
		}
	}
	return real, mono
}

// Chronyd returns the newest chronyd, "" if there is none: the last root of
// NOONMARK_PEERS that has one, else that of PATH; and its version.
func Chronyd() (path, version string) {
	path, _ = exec.LookPath("chronyd")
	if _, err := os.Stat("/usr/sbin/chronyd"); path == "" && err == nil {
		path = "/usr/sbin/chronyd"
	}
	for _, d := range filepath.SplitList(os.Getenv("NOONMARK_PEERS")) {
		if f := filepath.Join(d, "usr/sbin/chronyd"); d != "" {
			if _, err := os.Stat(f); err == nil {
				path = f
			}
		}
	}
	return path, Version(path)
}

// Version returns a chronyd's version.
func Version(chronyd string) string {
	if chronyd == "" {
		return ""
	}
	out, _ := exec.Command(chronyd, "--version").CombinedOutput()
	if f := strings.Fields(string(out)); len(f) > 3 {
		return f[3]
	}
	return strings.TrimSpace(string(out))
}
