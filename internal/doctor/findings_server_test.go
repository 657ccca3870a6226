package doctor

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"testing"
	"time"

	"noonmark/internal/keyexchange"
	"noonmark/server/certs"
)

func TestStampFindings(t *testing.T) {
	t.Parallel()
	full := Stamping{Interface: "eth0", All: true, Some: true, Transmit: true}
	with := func(change func(*Stamping)) Stamping { s := full; change(&s); return s }
	for _, x := range []struct {
		s       Stamping
		steered int
		want    kind
		text    string
	}{
		{Stamping{Interface: "eth0", Err: errors.New("refused")}, 0, stampsUnknown, "refused"},
		{Stamping{Interface: "eth0", PHC: -1}, 0, stampsNone, ""},
		{with(func(s *Stamping) { s.PHC = 1 }), 0, stampsOtherClock, "eth0 stamps by /dev/ptp1, but /dev/ptp0 is steered"},
		{with(func(s *Stamping) { s.All = false }), 0, stampsPTPOnly, "PTP packets only"},
		{with(func(s *Stamping) { s.PTPNow = true }), 0, stampsSetPTP, "by another program"},
		{with(func(s *Stamping) { s.Transmit = false }), 0, stampsNoTransmit, ""},
		{with(func(s *Stamping) { s.AllNow = true }), 0, stampsAllNow, ""},
		{full, 0, stampsAll, ""},
		{full, -1, stampsAll, ""},
	} {
		wants(t, stampFindings(&x.s, x.steered), x.want, x.text)
	}
}

func TestCertificateFindings(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	leaf := x509.Certificate{NotBefore: now, NotAfter: now.Add(100 * day), DNSNames: []string{"clock.example.org"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7)}}
	good := CertificateFacts{Path: "server.pem", Leaf: &leaf, Key: SecretFile{Path: "server.key", Mode: 0o600}}
	with := func(change func(*CertificateFacts)) CertificateFacts { c := good; change(&c); return c }
	nameless := leaf
	nameless.DNSNames, nameless.IPAddresses = nil, nil
	for _, x := range []struct {
		name    string
		c       CertificateFacts
		machine string
		at      time.Duration
		want    kind
		text    string
	}{
		{"missing", with(func(c *CertificateFacts) { c.Err = fs.ErrNotExist }), "clock", 0, certMissing, ""},
		{"not permitted", with(func(c *CertificateFacts) { c.Err = fs.ErrPermission }), "clock", 0, certDenied, ""},
		{"no certificate", with(func(c *CertificateFacts) { c.Err = errors.New("no PEM") }), "clock", 0, certUnusable, "no PEM"},
		{"expired", good, "clock", 101 * day, certExpired, "expired on 2030-04-11T00:00Z"},
		{"not yet", good, "clock", -day, certEarly, "not valid before 2030-01-01T00:00Z"},
		{"no name", with(func(c *CertificateFacts) { c.Leaf = &nameless }), "clock", 0, certNoName, ""},
		{"key for all", with(func(c *CertificateFacts) { c.Key.Mode = 0o644 }), "clock", 0, secretOpen, "server.key is mode 0644"},
		{"leaf without its issuer", with(func(c *CertificateFacts) { c.Concerns = []certs.Concern{certs.NoIssuer} }), "clock", 0, certNoIssuer, "server.pem: its file has no certificate of its issuer"},
		{"another issuer", with(func(c *CertificateFacts) { c.Concerns = []certs.Concern{certs.OtherIssuer} }), "clock", 0, certOtherIssuer, "did not sign"},
		{"short key", with(func(c *CertificateFacts) { c.Concerns = []certs.Concern{certs.WeakKey} }), "clock", 0, certWeakKey, "bits"},
		{"must-staple", with(func(c *CertificateFacts) { c.Concerns = []certs.Concern{certs.StapleDemand} }), "clock", 0, certStaple, "OCSP"},
		{"ends soon", good, "clock", 95 * day, certExpiring, "expires on"},
		{"another host", good, "clack", 0, certOtherName, "while this machine is clack"},
		{"short name", good, "clock", 0, certNames, "clock.example.org, 192.0.2.7"},
		{"address", good, "192.0.2.7", 0, certOK, "valid until"},
		{"key for the group", with(func(c *CertificateFacts) { c.Key.Mode = 0o640 }), "clock", 0, secretOK, "0640"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			wants(t, certificateFindings(&x.c, []string{x.machine}, now.Add(x.at)), x.want, x.text)
		})
	}
}

func TestKeysFinding(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		s    SecretFile
		want kind
		text string
	}{
		{SecretFile{Path: "keys", Mode: 0o604}, secretOpen, "mode 0604"},
		{SecretFile{Path: "keys", Err: fs.ErrNotExist, DirErr: fs.ErrNotExist}, keysNoDirectory, ""},
		{SecretFile{Path: "keys", Err: fs.ErrPermission}, keysDenied, ""},
		{SecretFile{Path: "keys", Err: fs.ErrNotExist}, keysNew, "first start"},
		{SecretFile{Path: "keys", Mode: 0o600}, secretOK, "0600"},
	} {
		wants(t, []Finding{keysFinding(&x.s)}, x.want, x.text)
	}
}

func TestSecretFindings(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for _, x := range []struct {
		s    SecretFacts
		want kind
		text string
	}{
		{SecretFacts{Err: errors.New("keys: damaged")}, keysUnusable, "damaged"},
		{SecretFacts{Since: days(-9), Until: days(-1)}, keysSecretLate, "2026-11-22"},
		{SecretFacts{Since: days(-40)}, keysSecretOld, "40 days"},
		{SecretFacts{Since: days(-7), Until: days(1)}, keysSecretOK, "2026-11-24"},
		{SecretFacts{Since: days(-8), Until: now.Add(-time.Minute)}, keysSecretOK, ""},
		{SecretFacts{Since: days(-20)}, keysSecretOK, ""},
		{SecretFacts{Since: days(-1), Left: true}, keysNobody, "replaced by nobody"},
	} {
		wants(t, secretFindings(&x.s, "keys", now), x.want, x.text)
	}
	if found := secretFindings(&SecretFacts{}, "keys", now); len(found) != 0 {
		t.Errorf("a file that is missing: %v", found)
	}
}

func TestPortFinding(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		listeners []Process
		taken     bool
		want      kind
		text      string
	}{
		{[]Process{{4711, "chronyd"}}, true, portTaken, "123/udp is taken by chronyd (pid 4711)"},
		{nil, true, portHidden, "cannot see"},
		{nil, false, portNobody, "nobody listens"},
		{[]Process{{4711, "ntsserve-ki"}}, true, portTaken, "taken by ntsserve-ki"},
		{[]Process{{4711, "ntsserve"}}, true, portOurs, "ntsserve listens on 123/udp"},
		{[]Process{{4711, "ntsserve"}, {4712, keyexchange.ProcessName}}, true, portOurs, "ntsserve listens on 123/udp"},
	} {
		wants(t, []Finding{portFinding(&PortFacts{Daemon: "ntsserve", Proto: "udp", Port: 123, Listeners: x.listeners, Taken: x.taken})}, x.want, x.text)
	}
}
