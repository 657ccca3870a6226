// Package cafile reads files of certificate authorities, for clients. It is small, so
// that a program which only asks does not contain what orders certificates.
package cafile

import (
	"crypto/x509"
	"errors"
	"fmt"

	"noonmark/internal/durable"
)

// MaxSize is the size in octets of the largest file that is read: all authorities of a
// system have some 200 kB.
const MaxSize = 4 << 20

// ErrNone is wrapped by the error of a file without a certificate.
var ErrNone = errors.New("has no PEM certificate")

// Read returns the certificates of the PEM file at path. Without a path it returns nil,
// which package tls takes for those of the system. The error wraps the system's, or
// ErrNone.
func Read(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, _, err := durable.ReadFile(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("%w; want a file of PEM certificates", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %w; want a file of PEM certificates", path, ErrNone)
	}
	return roots, nil
}
