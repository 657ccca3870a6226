package certs

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// ACME is how a certificate is ordered from an ACME server (RFC 8555). One
// certificate has all Names.
type ACME struct {
	Directory   string   // https URL; empty = DefaultDirectory
	Names       []string // DNS names and IP addresses (RFC 8738)
	AcceptTerms bool     // accept the server's terms of service; required
	Email       string   // for the account; empty = none
	Profile     string   // certificate profile of the server; empty = its default
	CAFile      string   // PEM file of roots to trust for the directory; empty = those of the system

	// Addresses to listen on for challenges, only while an order is open. The ACME
	// server connects to port 80 for http-01 and to port 443 for tls-alpn-01 (RFC
	// 8737). At least one is required; empty = not offered.
	HTTP, TLS string

	Dir string // for account key and certificate; created with mode 0700
}

// DefaultDirectory is that of Let's Encrypt.
const DefaultDirectory = acme.LetsEncryptURL

const (
	orderTimeout = 5 * time.Minute
	httpTimeout  = 30 * time.Second
	// A failed order is tried again after a wait, which triples with each failure.
	// Let's Encrypt allows five failed validations of a name per hour.
	firstWait = 2 * time.Minute
	maxWait   = 6 * time.Hour
	// Renewal begins when a third of the life is left, and up to a thirtieth of the
	// life later, so that machines that were set up together do not renew together.
	renewFraction  = 3
	jitterFraction = 30
)

// check sets defaults and returns what is wrong with a.
func (a *ACME) check() error {
	if a.Directory == "" {
		a.Directory = DefaultDirectory
	}
	u, err := url.Parse(a.Directory)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("directory %q is not an https URL", a.Directory)
	case len(a.Names) == 0:
		return errors.New("no names to order a certificate for")
	case !a.AcceptTerms:
		return fmt.Errorf("the terms of service of %s are not accepted; read them, then set accept_terms = true", u.Host)
	case a.HTTP == "" && a.TLS == "":
		return errors.New("no address to listen on, neither for http-01 nor for tls-alpn-01")
	case a.Dir == "":
		return errors.New("no directory for the account and the certificate")
	}
	for i, n := range a.Names {
		if a.Names[i], err = cleanName(n); err != nil {
			return err
		}
		if strings.HasPrefix(a.Names[i], "*.") {
			return fmt.Errorf("%s: wildcards need dns-01, which is not supported", n)
		}
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			return fmt.Errorf("%q is not a mail address", a.Email)
		}
	}
	return nil
}

// Check returns what is wrong with a.
func (a ACME) Check() error {
	a.Names = append([]string(nil), a.Names...)
	return a.check()
}
