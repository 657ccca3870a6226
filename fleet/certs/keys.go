package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"

	"noonmark/fleet/roots"
)

// secret is what a private key is derived from. It is sealed to each node as a root is.
type secret = [roots.SecretLen]byte

// Uses of a secret: a key that is made for one is none for another, nor is a root.
const (
	useAccount     = "noonmark fleet acme account"
	useCertificate = "noonmark fleet certificate"
)

func draw() (s secret, id roots.ID) {
	rand.Read(s[:])
	return s, roots.Fingerprint(&s)
}

// derive makes the P-256 key of a secret: FIPS 186-5, A.2.1, from 384 bits of HKDF.
func derive(s *secret, use string) (*ecdsa.PrivateKey, error) {
	b, err := hkdf.Key(sha256.New, s[:], nil, use, 48)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	one := big.NewInt(1)
	n := new(big.Int).Sub(elliptic.P256().Params().N, one)
	d := new(big.Int).Mod(new(big.Int).SetBytes(b), n)
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), d.Add(d, one).FillBytes(make([]byte, 32)))
}

// request returns the certificate signing request for names and addresses.
func request(names []string, key *ecdsa.PrivateKey) ([]byte, error) {
	r := &x509.CertificateRequest{}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			r.IPAddresses = append(r.IPAddresses, a.AsSlice())
		} else {
			r.DNSNames = append(r.DNSNames, n)
		}
	}
	return x509.CreateCertificateRequest(rand.Reader, r, key)
}

// maxChain limits a chain in etcd, octets.
const maxChain = 64 << 10

// ErrChain is wrapped by the error of a certificate that is not used.
var ErrChain = errors.New("certificate of the fleet is not usable")

// parseChain reads the PEM of a chain. etcd and the ACME server are input.
func parseChain(text string) (leaf *x509.Certificate, err error) {
	if len(text) > maxChain {
		return nil, fmt.Errorf("%w: chain of %d octets", ErrChain, len(text))
	}
	rest := []byte(text)
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: it has a block %.40q", ErrChain, b.Type)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrChain, err)
		}
		if leaf == nil {
			leaf = c
		}
	}
	if leaf == nil {
		return nil, fmt.Errorf("%w: there is none", ErrChain)
	}
	return leaf, nil
}

func encodeChain(der [][]byte) string {
	var b []byte
	for _, c := range der {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return string(b)
}

// belong checks that a chain is of the key.
func belong(chain string, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	leaf, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(&key.PublicKey) {
		return nil, fmt.Errorf("%w: it is of another key", ErrChain)
	}
	return leaf, nil
}

// covers reports whether a certificate has all names.
func covers(leaf *x509.Certificate, names []string) bool {
	for _, n := range names {
		if leaf.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

// pemFile is what ntsserve reads: key and chain in one file, so that one rename changes
// both.
func pemFile(chain string, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), chain...), nil
}
