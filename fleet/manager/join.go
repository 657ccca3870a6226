package manager

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"noonmark/fleet/identity"
	"noonmark/server/certs"
)

// renewFraction: a certificate is renewed when a third of its life is left.
const renewFraction = 3

// Errors of joining.
var (
	ErrPin     = errors.New("another machine answers at the address of the token: its authority is not that of the fleet")
	ErrRefused = errors.New("the fleet refuses it")
)

// Join joins a fleet with a token and writes the membership into a folder. The keys are
// drawn there and stay there. If the answer is lost, the node is registered and the token
// used: remove the node and join with another token.
func Join(ctx context.Context, dir identity.Dir, t *Token) (identity.Node, error) {
	var none identity.Node
	fail := func(err error) (identity.Node, error) {
		return none, fmt.Errorf("join fleet at %s: %w", t.Manager, err)
	}
	if err := dir.Create(); err != nil {
		return fail(err)
	}
	sealKey, err := dir.SealKey()
	if err != nil {
		return fail(err)
	}
	csr, err := request(dir)
	if err != nil {
		return fail(err)
	}
	var j Joined
	err = post(ctx, t.Manager, "join", pinned(t), joinRequest{ID: t.ID, Secret: t.Secret, Request: csr, Seal: sealKey.Public()}, &j)
	if err != nil {
		return fail(err)
	}
	n := identity.Node{Fleet: j.Fleet, Name: j.Node, Endpoints: j.Endpoints, Member: j.Member, Manager: t.Manager, Address: j.Addresses}
	for _, write := range [...]func() error{
		func() error { return dir.SaveCA(j.CA) },
		func() error { return dir.SaveCert(j.Certificate) },
		func() error { return dir.SaveRevoked(j.Revoked) },
		func() error { return dir.Save(n) }, // last: it says that all is there
	} {
		if err := write(); err != nil {
			return fail(err)
		}
	}
	if _, err := dir.TLS(); err != nil { // the certificate belongs to the key
		return fail(err)
	}
	return n, nil
}

// Renew gets a new certificate for the node of a folder if it is time. The result says
// whether it did.
func Renew(ctx context.Context, dir identity.Dir, n identity.Node, now time.Time) (bool, error) {
	c, err := identity.ReadPair(dir.Cert(), dir.Key())
	if err != nil {
		return false, fmt.Errorf("renew certificate: %w", err)
	}
	if left := c.Leaf.NotAfter.Sub(now); left > c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/renewFraction {
		return false, nil
	}
	settings, err := dir.TLS()
	if err != nil {
		return false, fmt.Errorf("renew certificate: %w", err)
	}
	csr, err := request(dir)
	if err != nil {
		return false, fmt.Errorf("renew certificate: %w", err)
	}
	var r renewed
	if err := post(ctx, n.Manager, "renew", settings, renewal{Request: csr}, &r); err != nil {
		return false, fmt.Errorf("renew certificate at %s: %w", n.Manager, err)
	}
	if err := dir.Matches(r.Certificate); err != nil {
		return false, fmt.Errorf("renew certificate: %w: %w", ErrRefused, err)
	}
	return true, dir.SaveCert(r.Certificate)
}

// request makes a PKCS #10 for the key of a folder.
func request(dir identity.Dir) ([]byte, error) {
	key, err := dir.TLSKey()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// pinned accepts the server of a token: its chain ends with the authority of the
// fingerprint, and its certificate is for the address. Another node of the fleet has one
// for another address.
func pinned(t *Token) *tls.Config {
	host, _, _ := net.SplitHostPort(t.Manager) // ParseToken has seen that it is possible
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it: only the fingerprint of the authority is known
		VerifyConnection: func(s tls.ConnectionState) error {
			chain := s.PeerCertificates
			if len(chain) < 2 {
				return ErrPin
			}
			ca := chain[len(chain)-1]
			if subtle.ConstantTimeCompare(Fingerprint(ca), t.Fingerprint) != 1 {
				return ErrPin
			}
			pool := x509.NewCertPool()
			pool.AddCert(ca)
			_, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			if err != nil {
				return fmt.Errorf("%w: %w", ErrPin, err)
			}
			return nil
		},
	}
}

// post sends a request and reads the answer.
func post(ctx context.Context, address, path string, settings *tls.Config, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 3*patience)
	defer stop()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	t := &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true, TLSHandshakeTimeout: patience}
	defer t.CloseIdleConnections()
	r, err := (&http.Client{Transport: t}).Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 2<<20))
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", ErrRefused, remedy(strings.TrimSpace(string(b))))
	}
	return json.Unmarshal(b, answer)
}

// remedy explains a refusal.
func remedy(word string) string {
	switch word {
	case refusals[badToken].word:
		return "the token is unknown, used or expired; get another with: noonmark-fleet token NODE"
	case refusals[nameTaken].word:
		return "there is a node of this name; remove it first: noonmark-fleet remove NODE"
	case refusals[noNode].word:
		return "the certificate was revoked; remove the node, and join again with a new token"
	case refusals[unavailable].word:
		return "etcd does not answer it; see the log of the node that manages the fleet, and try again with the same token"
	}
	return fmt.Sprintf("%.80q", word)
}

// RenewAdmin renews the certificate of the administrator, on the node that manages the
// fleet, if it is time.
func RenewAdmin(dir identity.Dir, now time.Time) error {
	l, err := certs.OpenLeaf(dir.ManagerDir())
	if err == nil && now.Before(l.RenewAt()) {
		return nil
	}
	a, err := dir.Authority()
	if err == nil {
		_, err = a.Renew(dir.ManagerDir(), 0, false, now)
	}
	if err != nil {
		return fmt.Errorf("renew certificate of the administrator: %w", err)
	}
	return nil
}
