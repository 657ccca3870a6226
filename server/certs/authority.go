package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// Names of the files of an authority and of what it issues.
const (
	AuthorityCert = "ca.pem"     // 0644, for clients
	AuthorityKey  = "ca.key"     // 0600
	ServerCert    = "server.pem" // 0644
	ServerKey     = "server.key" // 0600
)

// Lives of private certificates.
const (
	AuthorityLife = 10 * 365 * 24 * time.Hour
	ServerLife    = 398 * 24 * time.Hour // the longest that platforms accept
	// backdate is how long before its creation a certificate begins: the clock of a
	// client that was switched off may be behind.
	backdate = 24 * time.Hour
)

// AuthorityConfig describes a private authority.
type AuthorityConfig struct {
	Name        string         // common name
	Life        time.Duration  // 0 = AuthorityLife
	PermitNames []string       // name constraints: these domains and their subdomains; empty with PermitNets: no names
	PermitNets  []netip.Prefix // name constraints: these networks; empty with PermitNames: no addresses
}

// AuthorityName returns the common name that an authority of this project has unless another
// is given. host is the name of the machine; it may be empty.
func AuthorityName(host string) string { return strings.TrimSpace("Noonmark time CA " + host) }

// Authority is a private certificate authority: ECDSA on P-256, which chrony and
// NTPsec (GnuTLS, OpenSSL), ntpd-rs (rustls) and Go accept.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority in memory.
func NewAuthority(cfg AuthorityConfig, now time.Time) (*Authority, error) {
	if strings.TrimSpace(cfg.Name) == "" {
		return nil, errors.New("make authority: no name")
	}
	if cfg.Life == 0 {
		cfg.Life = AuthorityLife
	}
	if cfg.Life < 0 {
		return nil, fmt.Errorf("make authority: invalid life of %v", cfg.Life)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: cfg.Name, Organization: []string{"Noonmark"}},
		NotBefore: now.Add(-backdate).Truncate(time.Second), NotAfter: now.Add(cfg.Life).Truncate(time.Second),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if err := constrain(t, cfg); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	c, err := sign(t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return &Authority{c, key}, nil
}

// constrain adds name constraints (RFC 5280, section 4.2.1.10). They apply only to
// the kind of name that they list, so the other kind is excluded explicitly.
func constrain(t *x509.Certificate, cfg AuthorityConfig) error {
	if len(cfg.PermitNames)+len(cfg.PermitNets) == 0 {
		return nil
	}
	t.PermittedDNSDomainsCritical = true
	for _, n := range cfg.PermitNames {
		d, err := cleanName(strings.TrimPrefix(n, "."))
		if err == nil && (net.ParseIP(d) != nil || strings.HasPrefix(d, "*")) {
			err = fmt.Errorf("%q is not a domain", n)
		}
		if err != nil {
			return err
		}
		t.PermittedDNSDomains = append(t.PermittedDNSDomains, d)
	}
	for _, p := range cfg.PermitNets {
		p = p.Masked()
		t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	if len(cfg.PermitNames) == 0 {
		t.PermittedDNSDomains = []string{"invalid"} // reserved as never existing (RFC 6761, section 6.4)
	}
	if len(cfg.PermitNets) == 0 {
		for _, bits := range [...]int{32, 128} {
			t.ExcludedIPRanges = append(t.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)})
		}
	}
	return nil
}

// OpenAuthority reads an authority that Save has written. It refuses a key that
// others than its owner may read.
func OpenAuthority(dir string) (*Authority, error) {
	fail := func(err error) (*Authority, error) { return nil, fmt.Errorf("open authority: %w", err) }
	b, _, err := readPEM(filepath.Join(dir, AuthorityCert))
	if err != nil {
		return fail(err)
	}
	_, c, err := parseChain(b)
	if err != nil {
		return fail(&Error{BadCertificate, filepath.Join(dir, AuthorityCert), err})
	}
	path := filepath.Join(dir, AuthorityKey)
	b, mode, err := readPEM(path)
	if err != nil {
		return fail(err)
	}
	if mode.Perm()&0o077 != 0 {
		return fail(&Error{BadKey, path, fmt.Errorf("mode %04o gives others access; run: chmod 600 %s", mode.Perm(), path)})
	}
	key, err := parseKey(b)
	if err != nil {
		return fail(&Error{BadKey, path, err})
	}
	switch {
	case !sameKey(c.PublicKey, key.Public()):
		return fail(&Error{KeyMismatch, path, errors.New("the private key belongs to another certificate")})
	case !c.IsCA || !c.BasicConstraintsValid:
		return fail(&Error{WrongUse, path, errors.New("the certificate is not that of an authority")})
	}
	return &Authority{c, key}, nil
}

// Save writes the authority to a directory, created with mode 0700 if necessary. It
// overwrites nothing: if there is an authority, the error is fs.ErrExist.
func (a *Authority) Save(dir string) error {
	if err := makeDir(dir, 0o022); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if err := savePair(dir, AuthorityCert, AuthorityKey, a.Cert, a.key); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	return nil
}

// CertPEM returns the certificate that clients must trust.
func (a *Authority) CertPEM() []byte { return certPEM(a.Cert) }

// savePair writes a key, then its certificate, if neither exists.
func savePair(dir, cert, key string, c *x509.Certificate, k crypto.Signer) error {
	for _, name := range [...]string{cert, key} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return &os.PathError{Op: "write", Path: filepath.Join(dir, name), Err: os.ErrExist}
		}
	}
	b, err := keyPEM(k)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, key), b, 0o600, false); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, cert), certPEM(c), 0o644, false)
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(k crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// serial returns a random number of 127 bits: positive and unique.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

func sign(t, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
