package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
)

// Concern is why clients may refuse a certificate although it can be used.
type Concern uint8

// The concerns.
const (
	NoIssuer      Concern = iota // the file has the server's own certificate only, and nothing shows that a root has signed it
	OtherIssuer                  // a certificate in the file did not sign the one before it
	WeakKey                      // an RSA key shorter than 2048 bits
	StapleDemand                 // it demands an OCSP response in the handshake, which ntsserve does not send
	numOfConcerns                // the number of concerns
)

var concernNames = [numOfConcerns]string{"no_issuer", "other_issuer", "weak_key", "staple_demanded"}

// String returns the word for logs.
func (c Concern) String() string {
	if c < numOfConcerns {
		return concernNames[c]
	}
	return fmt.Sprintf("concern_%d", uint8(c))
}

// What says what is wrong with a certificate.
func (c Concern) What(leaf *x509.Certificate) string {
	switch c {
	case NoIssuer:
		return fmt.Sprintf("its file has no certificate of its issuer (%s): clients that trust only a root above that refuse it", leaf.Issuer)
	case OtherIssuer:
		return "a certificate in its file did not sign the one before it: clients may find no way to a root"
	case WeakKey:
		bits := 0
		if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok {
			bits = k.N.BitLen()
		}
		return fmt.Sprintf("its RSA key has %d bits: many clients refuse less than %d", bits, leastRSA)
	case StapleDemand:
		return "it demands a stapled OCSP response, which ntsserve does not send: clients based on GnuTLS refuse it (chronyd)"
	}
	return c.String()
}

// Remedy says what to do about it.
func (c Concern) Remedy() string {
	switch c {
	case NoIssuer:
		return "name the file with the whole chain: fullchain.pem, not cert.pem; or append the issuer's certificate"
	case OtherIssuer:
		return "put the chain in order: the server's certificate, then the one that signed it, and so on"
	case WeakKey:
		return "order a certificate for an ECDSA key (P-256)"
	case StapleDemand:
		return "order a certificate without must-staple"
	}
	return ""
}

// leastRSA is the shortest RSA key that clients accept, in bits (CA/Browser Forum,
// Baseline Requirements, section 6.1.5; GnuTLS refuses less).
const leastRSA = 2048

// Concerns returns why clients may refuse a certificate, apart from names and dates.
// roots are those that the machine trusts; nil: unknown.
func Concerns(c *tls.Certificate, roots *x509.CertPool) (found []Concern) {
	leaf := c.Leaf
	if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < leastRSA {
		found = append(found, WeakKey)
	}
	if demandsStaple(leaf) {
		found = append(found, StapleDemand)
	}
	switch {
	case len(c.Certificate) > 1:
		if !inOrder(c.Certificate) {
			found = append(found, OtherIssuer)
		}
	case bytes.Equal(leaf.RawIssuer, leaf.RawSubject), issuerIsRoot(leaf), trusts(roots, leaf):
	default:
		found = append(found, NoIssuer)
	}
	return found
}

// inOrder reports whether each certificate of a chain has signed the one before it.
func inOrder(chain [][]byte) bool {
	var before *x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil || before != nil && before.CheckSignatureFrom(c) != nil {
			return false
		}
		before = c
	}
	return true
}

// trusts reports whether the machine's roots have signed a certificate themselves.
func trusts(roots *x509.CertPool, leaf *x509.Certificate) bool {
	if roots == nil {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

var (
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidTLSFeature     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24} // RFC 7633
)

// statusRequest is the TLS extension of OCSP responses (RFC 6066, section 8).
const statusRequest = 5

func demandsStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		var features []int
		if e.Id.Equal(oidTLSFeature) {
			if _, err := asn1.Unmarshal(e.Value, &features); err == nil && slices.Contains(features, statusRequest) {
				return true
			}
		}
	}
	return false
}

// authorityKeyID is the extension that names the issuer's certificate by who issued
// that (RFC 5280, section 4.2.1.1).
type authorityKeyID struct {
	KeyID  []byte        `asn1:"optional,tag:0"`
	Issuer asn1.RawValue `asn1:"optional,tag:1"` // GeneralNames
	Serial asn1.RawValue `asn1:"optional,tag:2"`
}

// directoryName is the tag of a distinguished name in GeneralNames.
const directoryName = 4

// issuerIsRoot reports whether a certificate says that its issuer is a root: that the
// issuer has issued the issuer's certificate.
func issuerIsRoot(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		var id authorityKeyID
		if !e.Id.Equal(oidAuthorityKeyID) {
			continue
		}
		if _, err := asn1.Unmarshal(e.Value, &id); err != nil {
			return false
		}
		var name asn1.RawValue
		if _, err := asn1.Unmarshal(id.Issuer.Bytes, &name); err != nil {
			return false
		}
		return name.Class == asn1.ClassContextSpecific && name.Tag == directoryName && bytes.Equal(name.Bytes, c.RawIssuer)
	}
	return false
}

// rootKeyID makes the extension that says that a root is the issuer.
func rootKeyID(root *x509.Certificate) (pkix.Extension, error) {
	name, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: directoryName, IsCompound: true, Bytes: root.RawSubject})
	if err != nil {
		return pkix.Extension{}, err
	}
	b, err := asn1.Marshal(authorityKeyID{
		KeyID:  root.SubjectKeyId,
		Issuer: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: name},
		Serial: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: root.SerialNumber.Bytes()},
	})
	return pkix.Extension{Id: oidAuthorityKeyID, Value: b}, err
}
