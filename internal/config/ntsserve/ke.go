package ntsserve

import (
	"errors"
	"fmt"
	"os"
	"time"

	"noonmark/internal/config"
	"noonmark/server/certs"
	"noonmark/server/ntske"
)

func (s *Settings) checkKE(c *config.Checker) {
	k := &s.KE
	if !k.Listen.IsValid() {
		k.Listen.AddrPort = DefaultKE()
	}
	c.Require(k.Server == "" || ntske.ValidServer(k.Server), "ke.server", "%q is not an NTP server; want an address without zone, or a full domain name", k.Server)
	c.Require(k.Port >= 0 && k.Port <= 65535, "ke.port", "%d is not a port; want 1 to 65535, or 0 for that of the first endpoint with NTS", k.Port)
	for _, x := range [...]struct {
		key string
		ok  bool
	}{
		{"ke.max_connections", k.MaxConnections > 0}, {"ke.max_per_address", k.MaxPerAddress > 0}, {"ke.timeout", k.Timeout.Duration > 0},
	} {
		c.Require(x.ok, x.key, "is not positive; leave it out for the default")
	}
	c.Require(k.Timeout.Duration <= time.Minute, "ke.timeout", "%v keeps idle connections open too long; want at most 1m", k.Timeout)
	c.Require(k.Rate >= 0, "ke.rate", "is negative; want handshakes per second, or 0 for no limit")
	c.Require(k.RatePerAddress >= 0, "ke.rate_per_address", "is negative; want handshakes per second, or 0 for no limit")
}

// Pairs are the certificate files of [ke] and [[certificate]]. The first is the
// one for clients whose server name no certificate has.
func (f *File) Pairs() (pairs []certs.Pair) {
	if f.KE.Certificate != "" || f.KE.Key != "" {
		pairs = append(pairs, certs.Pair{Cert: f.KE.Certificate, Key: f.KE.Key})
	}
	for _, p := range f.Certificate {
		pairs = append(pairs, certs.Pair{Cert: p.File, Key: p.Key})
	}
	return pairs
}

func (s *Settings) checkCertificates(c *config.Checker) {
	s.Certificates.Pairs = s.Pairs()
	if s.KE.Certificate != "" || s.KE.Key != "" || len(s.Certificate) == 0 && !c.File.Has("acme") {
		s.checkPEM(c, "ke.certificate", s.KE.Certificate)
		s.checkPEM(c, "ke.key", s.KE.Key)
	}
	for i, p := range s.Certificate {
		s.checkPEM(c, fmt.Sprintf("certificate[%d].file", i), p.File)
		s.checkPEM(c, fmt.Sprintf("certificate[%d].key", i), p.Key)
	}
}

// checkPEM requires a file name and warns if there is no such file.
func (s *Settings) checkPEM(c *config.Checker, key, path string) {
	c.Require(path != "", key, "is missing; want a PEM file (NTS-KE needs certificate and key)")
	if path == "" {
		return
	}
	if _, err := os.Stat(path); err != nil {
		s.Warnings = append(s.Warnings, c.File.Errorf(key, "%w; it must be there when ntsserve starts", err).Error())
	}
}

func (s *Settings) checkACME(c *config.Checker) {
	if !c.File.Has("acme") {
		return
	}
	a := s.ACME
	order := &certs.ACME{
		Directory: a.Directory, Names: a.Names, AcceptTerms: a.AcceptTerms, Email: a.Email, Profile: a.Profile, CAFile: a.CAFile,
		HTTP: listenAddress(a.HTTP), TLS: listenAddress(a.TLS), Dir: a.StateDir,
	}
	s.Certificates.ACME = order
	switch {
	case len(a.Names) == 0:
		c.Refuse("acme.names", "is empty; want the names and addresses that clients know this server by, such as [\"time.example.org\"]")
	case !a.AcceptTerms:
		c.Refuse("acme.accept_terms", "is not true; read the terms of service of the ACME server, then set it")
	case !a.HTTP.IsValid() && !a.TLS.IsValid():
		c.Refuse("acme.http", "there is no address to answer the ACME server at; want http = \"0.0.0.0:80\" or tls = \"0.0.0.0:443\"")
	default:
		if err := order.Check(); err != nil {
			c.Refuse("acme", "%w; want values as in configs/ntsserve.toml", err)
		}
	}
}

// listenAddress is empty for no address.
func listenAddress(a config.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// CertificateKey names the key of the file that an error of package certs is
// about.
func (f *File) CertificateKey(err error) string {
	var e *certs.Error
	if !errors.As(err, &e) {
		return "ke"
	}
	for i, c := range f.Certificate {
		if c.File == e.From {
			return fmt.Sprintf("certificate[%d].file", i)
		}
	}
	if e.From == f.KE.Certificate {
		return "ke.certificate"
	}
	return "acme.state_dir"
}
