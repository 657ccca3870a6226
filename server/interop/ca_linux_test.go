package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// pki is a private CA and a server's certificate on disk.
type pki struct{ ca, cert, key string }

// newPKI makes a CA and a certificate for addresses of both ends of the link.
func newPKI(t *testing.T, dir string) pki {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Noonmark test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "time.test"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"time.test"},
	}
	for _, a := range append([]string{ourAddr6, peerAddr, "fd91::2"}, ourAddrs...) {
		leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(a))
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	enc := func(name, typ string, b []byte) string {
		return write(t, dir, name, string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b})))
	}
	return pki{ca: enc("ca.pem", "CERTIFICATE", caDER), cert: enc("cert.pem", "CERTIFICATE", der), key: enc("key.pem", "PRIVATE KEY", keyDER)}
}
