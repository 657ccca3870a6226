package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// revocationLife is how long a revocation list says that it is valid. etcd, its only
// reader, does not look at it.
const revocationLife = 10 * 365 * 24 * time.Hour

// IssueNode certifies the key of a node of a fleet, for clients and servers. The common
// name is the node's, which etcd takes for its user. hosts are the names and addresses
// at which it serves; without any it connects from everywhere, with some only from there.
// life 0 = ServerLife.
func (a *Authority) IssueNode(node string, hosts []string, life time.Duration, key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	fail := func(err error) (*x509.Certificate, error) {
		return nil, fmt.Errorf("issue certificate of node %s: %w", node, err)
	}
	if n := strings.TrimSpace(node); n == "" || n != node || len(n) > 64 { // ub-common-name of RFC 5280
		return fail(errors.New("a name has 1 to 64 characters"))
	}
	if err := a.fill(t, hosts, life, now); err != nil {
		return fail(err)
	}
	t.Subject.CommonName = node
	c, err := a.certify(t, key, now)
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// NewNode is IssueNode with a new key.
func (a *Authority) NewNode(node string, hosts []string, life time.Duration, now time.Time) (*Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue certificate of node %s: %w", node, err)
	}
	c, err := a.IssueNode(node, hosts, life, key.Public(), now)
	if err != nil {
		return nil, err
	}
	return &Leaf{c, key}, nil
}

// again issues a certificate of the same kind, for the same names. A nil key: a new one.
func (a *Authority) again(old *x509.Certificate, life time.Duration, key crypto.Signer, now time.Time) (*Leaf, error) {
	if !slices.Contains(old.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return a.Issue(namesOf(old), life, key, now)
	}
	if key == nil {
		return a.NewNode(old.Subject.CommonName, namesOf(old), life, now)
	}
	c, err := a.IssueNode(old.Subject.CommonName, namesOf(old), life, key.Public(), now)
	if err != nil {
		return nil, err
	}
	return &Leaf{c, key}, nil
}

// RevocationList returns a list of revoked certificates (RFC 5280, section 5) in DER.
// number rises with each list.
func (a *Authority) RevocationList(serials []*big.Int, number int64, now time.Time) ([]byte, error) {
	t := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now.Truncate(time.Second), NextUpdate: now.Add(revocationLife).Truncate(time.Second)}
	for _, s := range serials {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: t.ThisUpdate})
	}
	b, err := x509.CreateRevocationList(rand.Reader, t, a.Cert, a.key)
	if err != nil {
		return nil, fmt.Errorf("make revocation list: %w", err)
	}
	return b, nil
}
