package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"noonmark/internal/durable"
)

// Leaf is the certificate of a server with its key.
type Leaf struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Issue makes a certificate for DNS names and IP addresses. It is valid for life (0 =
// ServerLife), but not longer than the authority. If key is nil, Issue makes a new
// one. It refuses names outside the authority's name constraints.
func (a *Authority) Issue(names []string, life time.Duration, key crypto.Signer, now time.Time) (*Leaf, error) {
	fail := func(err error) (*Leaf, error) { return nil, fmt.Errorf("issue certificate: %w", err) }
	if len(names) == 0 {
		return fail(errors.New("no names and no addresses"))
	}
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return fail(err)
		}
	}
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if err := a.fill(t, names, life, now); err != nil {
		return fail(err)
	}
	// Without DNS names, GnuTLS checks the common name against the constraints on DNS
	// names. An address must therefore not be the common name.
	if len(t.DNSNames) > 0 && len(t.DNSNames[0]) <= 64 { // ub-common-name of RFC 5280
		t.Subject.CommonName = t.DNSNames[0]
	}
	c, err := a.certify(t, key.Public(), now)
	if err != nil {
		return fail(err)
	}
	return &Leaf{c, key}, nil
}

// fill fills in what all certificates have: dates, names, what a key may do.
func (a *Authority) fill(t *x509.Certificate, names []string, life time.Duration, now time.Time) error {
	if life == 0 {
		life = ServerLife
	}
	t.SerialNumber, t.BasicConstraintsValid, t.KeyUsage = serial(), true, x509.KeyUsageDigitalSignature
	t.NotBefore, t.NotAfter = now.Add(-backdate).Truncate(time.Second), now.Add(life).Truncate(time.Second)
	if a.Cert.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.Cert.NotAfter
	}
	if t.NotBefore.Before(a.Cert.NotBefore) {
		t.NotBefore = a.Cert.NotBefore
	}
	if life < 0 || !t.NotAfter.After(now) {
		return fmt.Errorf("it would expire at %s, in the past (the authority expires at %s)", stamp(t.NotAfter), stamp(a.Cert.NotAfter))
	}
	t.Subject.Organization = a.Cert.Subject.Organization
	var clean []string
	for _, n := range names {
		c, err := cleanName(n)
		if err != nil {
			return err
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
	return nil
}

// certify signs a certificate and checks that it will be accepted.
func (a *Authority) certify(t *x509.Certificate, pub crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	// It shows that the chain is complete (Concerns).
	id, err := rootKeyID(a.Cert)
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = append(t.ExtraExtensions, id)
	c, err := sign(t, a.Cert, pub, a.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: t.ExtKeyUsage}); err != nil {
		return nil, fmt.Errorf("others would refuse it: %w", err)
	}
	return c, nil
}

// Save writes the certificate and its key as ServerCert and ServerKey into a
// directory. It overwrites nothing: if there is one, the error is fs.ErrExist.
func (l *Leaf) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	if err := savePair(dir, ServerCert, ServerKey, l.Cert, l.key); err != nil {
		return fmt.Errorf("save certificate: %w", err)
	}
	return nil
}

// OpenLeaf reads what Save or Renew has written. If a Renew with a new key was
// interrupted between its two files, the Leaf has no key and should be renewed at
// once.
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

// RenewAt returns when a certificate should be renewed: when a third of its life is
// left.
func (l *Leaf) RenewAt() time.Time {
	if l.key == nil {
		return l.Cert.NotBefore
	}
	return l.Cert.NotAfter.Add(-l.Cert.NotAfter.Sub(l.Cert.NotBefore) / renewFraction)
}

// Renew replaces the certificate in dir by one for the same names that is valid for
// life (0 = ServerLife). The key stays, unless newKey is set: then both files change,
// the key first, and a server that reads only one of them keeps the old pair. The
// next Renew completes one that was interrupted in between.
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
	l, err := a.again(old.Cert, life, key, now)
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
