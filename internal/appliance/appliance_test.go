package appliance

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
)

func TestCertificatesAreForLocalhostOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	site, err := Write(dir, Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	defer site.Close()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in ca.pem")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "example.org"}); err == nil {
		t.Error("the certificate is valid for example.org")
	}
	if fi, err := os.Stat(filepath.Join(dir, "server.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("server.key: %v, %v", fi.Mode(), err)
	}
}

// Each program accepts its configuration.
func TestConfigurationsAreGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begin := time.Date(2016, 12, 31, 23, 0, 0, 0, time.UTC)
	site, err := Write(dir, Options{Seed: 7, Start: begin, Oscillator: "crystal", HoldoverLimit: "3us", Faults: AntennaUnplugged(time.Minute, time.Second)})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	defer site.Close()
	if s, err := refclockd.Load(site.Config("refclockd")); err != nil || s.Sim.Seed != 7 || s.RuntimeDir != dir || !s.SimStart.Equal(begin) || len(s.SimFaults) != 3 || s.Discipline.HoldoverLimit.Duration != 3*time.Microsecond {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ntsserve.Load(site.Config("ntsserve")); err != nil || len(s.Warnings) > 0 || !s.ServesKE || s.NTPPort != site.NTP {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := refclockweb.Load(site.Config("refclockweb")); err != nil || int(s.Listen.Port()) != site.Page || s.Exposed() {
		t.Errorf("%+v, %v", s, err)
	}
}
