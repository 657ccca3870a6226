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
	"slices"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// Files of an authority and of what it issues, within their directories.
const (
	AuthorityCert = "ca.pem"     // 0644, for clients
	AuthorityKey  = "ca.key"     // 0600
	ServerCert    = "server.pem" // 0644
	ServerKey     = "server.key" // 0600
)

// Lives of private certificates.
const (
	AuthorityLife = 10 * 365 * 24 * time.Hour
	ServerLife    = 398 * 24 * time.Hour // the most that platforms accept
	// backdate is how long before its making a certificate begins: a client that
	// was off has a clock that is behind.
	backdate = 24 * time.Hour
)

// AuthorityConfig says what a private authority is.
type AuthorityConfig struct {
	Name        string         // common name
	Life        time.Duration  // 0 = AuthorityLife
	PermitNames []string       // name constraints: these domains and all below; with PermitNets, empty means no names
	PermitNets  []netip.Prefix // name constraints: these networks; with PermitNames, empty means no addresses
}

// Authority is a private certificate authority: ECDSA on P-256, which chrony
// and NTPsec (GnuTLS, OpenSSL), ntpd-rs (rustls) and Go all accept.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority in memory.
func NewAuthority(cfg AuthorityConfig, now time.Time) (*Authority, error) {
	if strings.TrimSpace(cfg.Name) == "" {
		return nil, errors.New("make authority: it has no name")
	}
	if cfg.Life == 0 {
		cfg.Life = AuthorityLife
	}
	if cfg.Life < 0 {
		return nil, fmt.Errorf("make authority: a life of %v", cfg.Life)
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

// constrain adds name constraints (RFC 5280, section 4.2.1.10). They bind only
// the kind of name they list, so that the other kind is shut out expressly.
func constrain(t *x509.Certificate, cfg AuthorityConfig) error {
	if len(cfg.PermitNames)+len(cfg.PermitNets) == 0 {
		return nil
	}
	t.PermittedDNSDomainsCritical = true
	for _, n := range cfg.PermitNames {
		d, err := cleanName(strings.TrimPrefix(n, "."))
		if err == nil && (net.ParseIP(d) != nil || strings.HasPrefix(d, "*")) {
			err = fmt.Errorf("%q is no domain", n)
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
		t.PermittedDNSDomains = []string{"invalid"} // reserved never to exist (RFC 6761, section 6.4)
	}
	if len(cfg.PermitNets) == 0 {
		for _, bits := range [...]int{32, 128} {
			t.ExcludedIPRanges = append(t.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)})
		}
	}
	return nil
}

// OpenAuthority reads an authority that Save has written. A key that anybody
// but its owner may read is refused.
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
		return fail(&Error{BadKey, path, fmt.Errorf("mode %04o lets others in; run: chmod 600 %s", mode.Perm(), path)})
	}
	key, err := parseKey(b)
	if err != nil {
		return fail(&Error{BadKey, path, err})
	}
	switch {
	case !sameKey(c.PublicKey, key.Public()):
		return fail(&Error{KeyMismatch, path, errors.New("the private key belongs to another certificate")})
	case !c.IsCA || !c.BasicConstraintsValid:
		return fail(&Error{WrongUse, path, errors.New("the certificate is no authority's")})
	}
	return &Authority{c, key}, nil
}

// Save writes the authority to a directory, made with mode 0700 if need be. It
// overwrites nothing: the error is fs.ErrExist where there is one.
func (a *Authority) Save(dir string) error {
	if err := makeDir(dir, 0o022); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if err := savePair(dir, AuthorityCert, AuthorityKey, a.Cert, a.key); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	return nil
}

// CertPEM is what clients need to trust.
func (a *Authority) CertPEM() []byte { return certPEM(a.Cert) }

// Leaf is a server's certificate with its key.
type Leaf struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Issue makes a certificate for DNS names and IP addresses that lives for life
// (0 = ServerLife), though not longer than the authority. With key nil there
// is a fresh one. What the authority's name constraints forbid is refused.
func (a *Authority) Issue(names []string, life time.Duration, key crypto.Signer, now time.Time) (*Leaf, error) {
	fail := func(err error) (*Leaf, error) { return nil, fmt.Errorf("issue certificate: %w", err) }
	if life == 0 {
		life = ServerLife
	}
	t := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-backdate).Truncate(time.Second), NotAfter: now.Add(life).Truncate(time.Second),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if a.Cert.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.Cert.NotAfter
	}
	if t.NotBefore.Before(a.Cert.NotBefore) {
		t.NotBefore = a.Cert.NotBefore
	}
	if life < 0 || !t.NotAfter.After(now) {
		return fail(fmt.Errorf("it would end at %s, which is past (the authority ends at %s)", stamp(t.NotAfter), stamp(a.Cert.NotAfter)))
	}
	var clean []string
	for _, n := range names {
		c, err := cleanName(n)
		if err != nil {
			return fail(err)
		}
		if slices.Contains(clean, c) {
			continue
		}
		clean = append(clean, c)
		if ip, err := netip.ParseAddr(c); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, c)
		}
	}
	if len(clean) == 0 {
		return fail(errors.New("no names and no addresses to issue it for"))
	}
	// GnuTLS holds a common name against the constraints on DNS names where there
	// is no DNS name, so that an address must not be one.
	t.Subject.Organization = a.Cert.Subject.Organization
	if len(t.DNSNames) > 0 && len(t.DNSNames[0]) <= 64 { // ub-common-name of RFC 5280
		t.Subject.CommonName = t.DNSNames[0]
	}
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return fail(err)
		}
	}
	c, err := sign(t, a.Cert, key.Public(), a.key)
	if err != nil {
		return fail(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return fail(fmt.Errorf("clients would refuse it: %w", err))
	}
	return &Leaf{c, key}, nil
}

// Save writes the certificate and its key as ServerCert and ServerKey into a
// directory. It overwrites nothing: the error is fs.ErrExist where there is one.
func (l *Leaf) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	if err := savePair(dir, ServerCert, ServerKey, l.Cert, l.key); err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	return nil
}

// OpenLeaf reads what Save or Renew has written. Where a Renew with a new key
// was cut off between its two files there is only the certificate, and it should
// be renewed at once.
func OpenLeaf(dir string) (*Leaf, error) {
	cert := filepath.Join(dir, ServerCert)
	c, _, err := Pair{cert, filepath.Join(dir, ServerKey)}.load()
	if ReasonOf(err) == KeyMismatch {
		b, _, err := readPEM(cert)
		if err != nil {
			return nil, &Error{Unreadable, cert, err}
		}
		_, leaf, err := parseChain(b)
		if err != nil {
			return nil, &Error{BadCertificate, cert, err}
		}
		return &Leaf{Cert: leaf}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Leaf{c.Leaf, c.PrivateKey.(crypto.Signer)}, nil
}

// RenewAt returns when a certificate should be renewed: with a third of its
// life left.
func (l *Leaf) RenewAt() time.Time {
	if l.key == nil {
		return l.Cert.NotBefore
	}
	return l.Cert.NotAfter.Add(-l.Cert.NotAfter.Sub(l.Cert.NotBefore) / renewFraction)
}

// Renew replaces the certificate in dir by one for the same names that lives for
// life (0 = ServerLife). The key stays, unless newKey asks for a fresh one: then
// two files change, the key first, and a server that reads between the two keeps
// what it has until it has seen both. A Renew that was cut off in between is
// completed by the next one.
func (a *Authority) Renew(dir string, life time.Duration, newKey bool, now time.Time) (*Leaf, error) {
	old, err := OpenLeaf(dir)
	if err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	if err := old.Cert.CheckSignatureFrom(a.Cert); err != nil {
		return nil, fmt.Errorf("renew certificate of %s: another authority has issued it: %w", dir, err)
	}
	key := old.key
	if newKey = newKey || key == nil; newKey {
		key = nil
	}
	l, err := a.Issue(namesOf(old.Cert), life, key, now)
	if err != nil {
		return nil, fmt.Errorf("renew certificate of %s: %w", dir, err)
	}
	if newKey {
		b, err := keyPEM(l.key)
		if err == nil {
			err = durable.WriteFile(filepath.Join(dir, ServerKey), b, 0o600, true)
		}
		if err != nil {
			return nil, fmt.Errorf("renew certificate: %w", err)
		}
	}
	if err := durable.WriteFile(filepath.Join(dir, ServerCert), certPEM(l.Cert), 0o644, true); err != nil {
		return nil, fmt.Errorf("renew certificate: %w", err)
	}
	return l, nil
}

// savePair writes a key, then its certificate, where neither exists.
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

// serial is 126 to 127 random bits: positive, and never the same twice.
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
