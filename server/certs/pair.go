package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// Pair names the PEM files of one certificate chain, the server's own
// certificate first, and its private key. Both may be the same file.
type Pair struct{ Cert, Key string }

// maxFile is the largest PEM file, in octets. A chain has a few kB.
const maxFile = 1 << 20

// load reads a pair and checks everything but the dates. exposed: all users of the
// machine can read the key.
func (p Pair) load() (c *tls.Certificate, exposed bool, err error) {
	fail := func(r Reason, err error) (*tls.Certificate, bool, error) { return nil, false, &Error{r, p.Cert, err} }
	certPEM, _, err := readPEM(p.Cert)
	if err != nil {
		return fail(Unreadable, err)
	}
	keyPEM, mode, err := readPEM(p.Key)
	if err != nil {
		return fail(Unreadable, err)
	}
	chain, leaf, err := parseChain(certPEM)
	if err != nil {
		return fail(BadCertificate, err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return fail(BadKey, fmt.Errorf("%s: %w", p.Key, err))
	}
	c = &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
	if r, err := checkPair(c); err != nil {
		return fail(r, err)
	}
	return c, mode.Perm()&0o007 != 0, nil
}

func readPEM(path string) ([]byte, os.FileMode, error) { return durable.ReadFile(path, maxFile) }

// parseChain returns the certificates of a PEM file and the first one parsed.
func parseChain(b []byte) (chain [][]byte, leaf *x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, nil, errors.New("no PEM block CERTIFICATE")
	}
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate %d of the chain: %w", i+1, err)
		}
		if i == 0 {
			leaf = c
		}
	}
	return chain, leaf, nil
}

// parseKey returns the private key of a PEM file. Its errors do not quote the file.
func parseKey(b []byte) (crypto.Signer, error) {
	var block *pem.Block
	for {
		if block, b = pem.Decode(b); block == nil {
			return nil, errors.New("no PEM block PRIVATE KEY")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			break
		}
	}
	if strings.HasPrefix(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the key is encrypted; store it without password")
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
		return nil, fmt.Errorf("a %T cannot sign", k)
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	return nil, errors.New("the key is damaged or of an unknown kind")
}

// anyClient is a TLS 1.3 client that supports all curves and signatures.
var anyClient = tls.ClientHelloInfo{
	SupportedVersions: []uint16{tls.VersionTLS13},
	SupportedCurves:   []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519},
	SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
		tls.Ed25519, tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512},
}

// checkPair checks that key and certificate belong together and are usable in TLS
// 1.3.
func checkPair(c *tls.Certificate) (Reason, error) {
	if !sameKey(c.Leaf.PublicKey, c.PrivateKey.(crypto.Signer).Public()) {
		return KeyMismatch, errors.New("the private key belongs to another certificate")
	}
	if err := anyClient.SupportsCertificate(c); err != nil {
		return BadKey, fmt.Errorf("not usable in TLS 1.3: %w", err)
	}
	if use := c.Leaf.ExtKeyUsage; len(use)+len(c.Leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(use, x509.ExtKeyUsageServerAuth) && !slices.Contains(use, x509.ExtKeyUsageAny) {
		return WrongUse, errors.New("the extended key usage excludes server authentication")
	}
	return Good, nil
}

func sameKey(a, b crypto.PublicKey) bool {
	switch k := a.(type) {
	case *ecdsa.PublicKey:
		return k.Equal(b)
	case ed25519.PublicKey:
		return k.Equal(b)
	case *rsa.PublicKey:
		return k.Equal(b)
	}
	return false
}

// validAt reports whether now is between the dates of a certificate.
func validAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// mayReplace checks the dates: a certificate that is not valid now does not replace
// one that is. It may replace another invalid one, because a machine without
// battery-backed clock starts in the past.
func mayReplace(fresh, old *tls.Certificate, from string, now time.Time) error {
	if old == nil || validAt(fresh.Leaf, now) || !validAt(old.Leaf, now) {
		return nil
	}
	if now.After(fresh.Leaf.NotAfter) {
		return &Error{Expired, from, fmt.Errorf("it expired at %s", stamp(fresh.Leaf.NotAfter))}
	}
	return &Error{NotYetValid, from, fmt.Errorf("it is not valid before %s", stamp(fresh.Leaf.NotBefore))}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// same reports whether a and b have the same certificates.
func same(a, b *tls.Certificate) bool {
	return a != nil && b != nil && slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal)
}

// namesOf returns the names and addresses of a certificate.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}
