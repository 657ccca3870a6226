// Package identity keeps what a node has on its disc of its membership in a fleet: who
// it is, where etcd is, its keys and certificates, and on the node that manages the
// fleet the authority. It logs nothing.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
	"noonmark/server/certs"
)

// DefaultDir is where a node keeps its membership.
const DefaultDir = fleetview.DefaultDir

// format names the format of the membership.
const format = "noonmark-fleet-node-1"

// maxFile limits what is read of a file, octets.
const maxFile = 64 << 10

// maxRevoked limits what is read of a revocation list, octets: 20,000 certificates.
const maxRevoked = 1 << 20

// Admin is the user of etcd that manages users and nodes. etcd gives it its name.
const Admin = "root"

// Errors of a folder.
var (
	ErrNotJoined = errors.New("this machine is in no fleet; run: noonmark-fleet init, or noonmark-fleet join TOKEN")
	ErrJoined    = errors.New("this machine is in a fleet already")
	ErrNode      = errors.New("membership of the node is not usable")
	// ErrCopied says that the authority is that of a fleet, and its manager's other files
	// are missing.
	ErrCopied    = errors.New("the authority of a fleet is here and no node of it: to bring its manager back, run noonmark-fleet restore; for a new fleet, move the folder manager away")
	ErrNoManager = errors.New("this node does not manage the fleet; run the command on the node on which noonmark-fleet init ran")
)

// Node is what a node knows of itself.
type Node struct {
	Format    string   `json:"format"`
	Fleet     string   `json:"fleet"`
	Name      string   `json:"name"`
	Endpoints []string `json:"endpoints"`           // of etcd, URLs
	Member    *Member  `json:"member,omitempty"`    // it runs a member of etcd
	Manager   string   `json:"manager,omitempty"`   // HOST:PORT at which the fleet admits nodes and renews certificates
	Address   []string `json:"addresses,omitempty"` // in its certificate
}

// Member is the member of etcd that a node runs.
type Member struct {
	Client  string            `json:"client"`            // URL for agents
	Peer    string            `json:"peer"`              // URL for other members
	Listen  string            `json:"listen,omitempty"`  // URL on which it listens for them; empty: Peer
	Members map[string]string `json:"members,omitempty"` // peer URLs by name when it joined; empty: it began the cluster
}

// Dir is the folder of a node.
type Dir string

// Path returns the path of one of its files.
func (d Dir) Path(name ...string) string {
	return filepath.Join(append([]string{string(d)}, name...)...)
}

// Names of files.
const (
	nodeFile = fleetview.NodeName
	keyFile  = "node.key"
	certFile = "node.pem"
	caFile   = "ca.pem"
	sealFile = "seal.key"
	manager  = "manager"
)

// Copy is the file with the plan and the secrets.
func (d Dir) Copy() string { return d.Path("copy") }

// Configuration is the file with what the fleet sets on this node, mode 0600.
func (d Dir) Configuration() string { return d.Path("configuration") }

// Etcd is the folder of the member of etcd.
func (d Dir) Etcd() string { return d.Path("etcd") }

// Cert is the certificate of the node.
func (d Dir) Cert() string { return d.Path(certFile) }

// Key is the key of the certificate, mode 0600.
func (d Dir) Key() string { return d.Path(keyFile) }

// CA is the certificate of the authority of the fleet.
func (d Dir) CA() string { return d.Path(caFile) }

// Revoked is a revocation list, DER.
func (d Dir) Revoked() string { return d.Path("revoked.crl") }

// Create makes the folder, mode 0700. The error wraps ErrJoined if there is a membership.
func (d Dir) Create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(d.Path(nodeFile)); err == nil {
		return fmt.Errorf("%s: %w", d, ErrJoined)
	}
	return nil
}

// Load reads the membership. The error wraps ErrNotJoined, ErrCopied or ErrNode.
func (d Dir) Load() (n Node, err error) {
	b, _, err := durable.ReadFile(d.Path(nodeFile), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		copied, err := d.Copied()
		switch {
		case err != nil:
			return n, err
		case copied:
			return n, fmt.Errorf("%s: %w", d, ErrCopied)
		}
		return n, fmt.Errorf("%s: %w", d, ErrNotJoined)
	}
	if err != nil {
		return n, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&n); err != nil {
		return n, fmt.Errorf("%s: %w: %w", d.Path(nodeFile), ErrNode, err)
	}
	switch err := errors.Join(store.CheckName(n.Fleet), store.CheckName(n.Name)); {
	case err != nil:
		return n, fmt.Errorf("%s: %w: %w", d.Path(nodeFile), ErrNode, err)
	case n.Format != format:
		return n, fmt.Errorf("%s: %w: the format is %.40q, not %q", d.Path(nodeFile), ErrNode, n.Format, format)
	case len(n.Endpoints) == 0:
		return n, fmt.Errorf("%s: %w: it names no etcd", d.Path(nodeFile), ErrNode)
	}
	return n, nil
}

// Save writes the membership.
func (d Dir) Save(n Node) error {
	n.Format = format
	b, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.Path(nodeFile), append(b, '\n'), 0o600, true)
}

// SealKey returns the key to which others seal secrets, and draws it if there is none.
func (d Dir) SealKey() (*seal.Private, error) { return seal.OpenKey(d.Path(sealFile)) }

// TLSKey returns the key of the node's certificate, which never leaves the folder. It is
// drawn if there is none.
func (d Dir) TLSKey() (crypto.Signer, error) {
	b, mode, err := durable.ReadFile(d.Key(), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, durable.WriteFile(d.Key(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600, false)
	}
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: mode %04o gives others access; run: chmod 600 %[1]s", d.Key(), ErrNode, mode.Perm())
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: %w: no PEM block", d.Key(), ErrNode)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := k.(crypto.Signer); err == nil && ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s: %w: it is no key that signs", d.Key(), ErrNode)
}

// Matches refuses a certificate, PEM, that is not for the key of the node.
func (d Dir) Matches(cert []byte) error {
	key, _, err := durable.ReadFile(d.Key(), maxFile)
	if err != nil {
		return err
	}
	_, err = tls.X509KeyPair(cert, key)
	return err
}

// SaveCert writes the certificate of the node.
func (d Dir) SaveCert(cert []byte) error { return durable.WriteFile(d.Cert(), cert, 0o644, true) }

// SaveRevoked writes the revocation list, DER.
func (d Dir) SaveRevoked(list []byte) error { return durable.WriteFile(d.Revoked(), list, 0o644, true) }

// TakeRevoked writes a revocation list if it is newer than the present one. The result
// says whether it is. One that the authority of the fleet has not signed is refused.
func (d Dir) TakeRevoked(der []byte) (bool, error) {
	fail := func(err error) (bool, error) { return false, fmt.Errorf("revocation list: %w", err) }
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fail(err)
	}
	b, _, err := durable.ReadFile(d.CA(), maxFile)
	if err != nil {
		return fail(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fail(fmt.Errorf("%s: %w: no PEM block", d.CA(), ErrNode))
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fail(err)
	}
	if err := list.CheckSignatureFrom(ca); err != nil {
		return fail(err)
	}
	has, _, err := durable.ReadFile(d.Revoked(), maxRevoked)
	if err == nil {
		if old, err := x509.ParseRevocationList(has); err == nil && old.Number.Cmp(list.Number) >= 0 {
			return false, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	return true, d.SaveRevoked(der)
}

// SaveCA writes the certificate of the authority.
func (d Dir) SaveCA(ca []byte) error { return durable.WriteFile(d.CA(), ca, 0o644, true) }

// TLS returns the settings with which the node connects to etcd. A renewed certificate
// is used by the next connection.
func (d Dir) TLS() (*tls.Config, error) { return clientTLS(d.CA(), d.Cert(), d.Key()) }

// AdminTLS returns the settings of the user that manages the fleet. The error wraps
// ErrNoManager on other nodes.
func (d Dir) AdminTLS() (*tls.Config, error) {
	if err := d.needManager(); err != nil {
		return nil, err
	}
	return clientTLS(d.CA(), d.Path(manager, certs.ServerCert), d.Path(manager, certs.ServerKey))
}

// ManagerDir is the folder of the authority and of the certificate of the user that
// manages the fleet.
func (d Dir) ManagerDir() string { return d.Path(manager) }

// Manages reports whether the node manages the fleet. An error says that the disc does not
// answer that.
func (d Dir) Manages() (bool, error) { return found(os.Stat(d.Path(manager, certs.AuthorityKey))) }

// needManager returns ErrNoManager if the node does not manage the fleet.
func (d Dir) needManager() error {
	manages, err := d.Manages()
	if err == nil && !manages {
		err = ErrNoManager
	}
	return err
}

// found returns whether a file is there, as os.Stat says.
func found(_ fs.FileInfo, err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Copied reports whether the folder has only what is kept of a manager: its authority and
// the certificate of the administrator. One that has been made here has a node's key.
func (d Dir) Copied() (bool, error) {
	authority, err := d.Manages()
	admin, err2 := found(os.Stat(d.Path(manager, certs.ServerCert)))
	key, err3 := found(os.Lstat(d.Key()))
	return authority && admin && !key, errors.Join(err, err2, err3)
}

// Authority opens the authority of the fleet. The error wraps ErrNoManager on nodes that
// do not have it.
func (d Dir) Authority() (*certs.Authority, error) {
	if err := d.needManager(); err != nil {
		return nil, err
	}
	return certs.OpenAuthority(d.ManagerDir())
}

func clientTLS(ca, cert, key string) (*tls.Config, error) {
	b, _, err := durable.ReadFile(ca, maxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: %w: no certificate", ca, ErrNode)
	}
	if _, err := ReadPair(cert, key); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", cert, ErrNode, err)
	}
	load := func() (*tls.Certificate, error) {
		c, err := ReadPair(cert, key)
		return &c, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS12, // Debian 12's etcd has nothing newer
		RootCAs:              pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() },
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
	}, nil
}

// ReadPair reads a certificate and its key. It does not wait for the writer of a named pipe
// in the place of one, as tls.LoadX509KeyPair does. An error wraps durable.ErrNotRegular or
// that of the system, or says what is wrong with the content.
func ReadPair(cert, key string) (tls.Certificate, error) {
	chain, _, err := durable.ReadFile(cert, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, _, err := durable.ReadFile(key, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, secret)
}
