package ntsserve

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/durable"
	"noonmark/server/certs"
	"noonmark/server/ntske"
)

// maxConnections is more than one processor can serve within the longest timeout.
const maxConnections = 16384

// maxTimeout is how long a handshake may take.
const maxTimeout = time.Minute

func (s *Settings) checkKE(c *config.Checker) {
	k := &s.KE
	if !k.Listen.IsValid() {
		k.Listen.AddrPort = DefaultKE()
	}
	c.Require(k.Server == "" || ntske.ValidServer(k.Server), "ke.server", "%q is not an NTP server; want an address without zone, or a full domain name", k.Server)
	c.Require(k.Port >= 0 && k.Port <= 65535, "ke.port", "%d is not a port; want 1 to 65535, or 0 for that of the first endpoint with NTS", k.Port)
	c.Require(k.MaxConnections > 0, "ke.max_connections", "is not positive; want 1 to %d, or leave it out for the default", maxConnections)
	c.Require(k.Timeout.Duration > 0, "ke.timeout", "is not positive; want 1ns to %v, or leave it out for the default", maxTimeout)
	c.Require(k.Timeout.Duration <= maxTimeout, "ke.timeout", "%v keeps idle connections open too long; want at most %v", k.Timeout, maxTimeout)
	c.Require(k.MaxConnections <= maxConnections, "ke.max_connections", "%d would need %d MB of memory; want at most %d", k.MaxConnections, k.MaxConnections*ntske.ConnMemory>>20, maxConnections)
	c.Require(k.MaxPerAddress >= 0, "ke.max_per_address", "is negative; want 0 or more connections of one prefix; 0 is no limit of its own")
	c.Require(k.Rate >= 0, "ke.rate", "is negative; want 0 or more handshakes per second; 0 is no limit")
	c.Require(k.RatePerAddress >= 0, "ke.rate_per_address", "is negative; want 0 or more handshakes per second; 0 is no limit")
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
	f, _, err := durable.Open(path)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		s.Warnings = append(s.Warnings, c.File.Errorf(key, "%w; until that is repaired no client gets keys: %s", err, CertificateRemedy(err)).Error())
	}
}

// CertificateRemedy says what to do about a certificate that cannot be used.
func CertificateRemedy(err error) string {
	var e *fs.PathError
	path := "FILE"
	if errors.As(err, &e) {
		path = e.Path
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "it must belong to the user that ntsserve runs as (chown ntsserve " + path + "), and each folder above it must be open to that user"
	case errors.Is(err, fs.ErrNotExist):
		return "make one with refclockctl ca issue, or correct the path"
	}
	return "replace it (refclockctl ca issue), or correct the path"
}

func (s *Settings) checkACME(c *config.Checker) {
	if c.File.Has("acme") {
		s.Certificates.ACME = s.ACME.Order(c, "configs/ntsserve.toml")
	}
}

// Order checks the table [acme] of a file and returns what is ordered. example is the
// file that shows good values.
func (a *ACME) Order(c *config.Checker, example string) *certs.ACME {
	order := &certs.ACME{
		Directory: a.Directory, Names: a.Names, AcceptTerms: a.AcceptTerms, Email: a.Email, Profile: a.Profile, CAFile: a.CAFile,
		HTTP: listenAddress(a.HTTP), TLS: listenAddress(a.TLS), Dir: a.StateDir,
	}
	switch {
	case len(a.Names) == 0:
		c.Refuse("acme.names", "is empty; want the names and addresses that clients know this server by, such as [\"time.example.org\"]")
	case !a.AcceptTerms:
		c.Refuse("acme.accept_terms", "is not true; read the terms of service of the ACME server, then set it")
	case !a.HTTP.IsValid() && !a.TLS.IsValid():
		c.Refuse("acme.http", "there is no address to answer the ACME server at; want http = \"0.0.0.0:80\" or tls = \"0.0.0.0:443\"")
	default:
		if err := order.Check(); err != nil {
			c.Refuse("acme", "%w; want values as in %s", err, example)
		}
	}
	return order
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
