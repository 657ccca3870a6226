package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/crypto/acme"
)

// order gets a certificate, from the account to the stored file. A certificate that
// cannot be stored is returned as well; storeErr says why.
func (is *issuer) order(ctx context.Context, emit func(Event)) (*tls.Certificate, error) {
	fail := func(r Reason, err error) (*tls.Certificate, error) { return nil, &Error{r, is.cfg.Directory, err} }
	is.storeErr = nil
	if is.closed {
		if c, err := is.reopen(); c != nil || err != nil {
			return c, err
		}
	}
	client, err := is.client()
	if err != nil {
		return nil, err
	}
	if err := is.register(ctx, client, emit); err != nil {
		return nil, err
	}
	o, err := is.authorize(ctx, client)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(BadKey, err)
	}
	req := &x509.CertificateRequest{}
	for _, n := range is.cfg.Names {
		if ip := net.ParseIP(n); ip != nil {
			req.IPAddresses = append(req.IPAddresses, ip)
		} else {
			req.DNSNames = append(req.DNSNames, n)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		return fail(OrderRefused, err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, o, csr, true)
	if err != nil {
		return fail(reasonOfACME(err), fmt.Errorf("fetch certificate: %w", err))
	}
	c, err := is.verify(chain, key)
	if err != nil {
		return nil, err
	}
	is.storeErr = errors.Join(is.storeErr, is.store(chain, key))
	return c, nil
}

// store writes a certificate and its key, both or none. What could not be written is
// tried again later.
func (is *issuer) store(chain [][]byte, key crypto.Signer) error {
	file, err := keyPEM(key)
	if err != nil {
		return err
	}
	for _, der := range chain {
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return is.unsaved.write(is.certPath(), file, true, is.now())
}

// verify checks that the server issued what was ordered.
func (is *issuer) verify(chain [][]byte, key crypto.Signer) (*tls.Certificate, error) {
	fail := func(r Reason, err error) (*tls.Certificate, error) { return nil, &Error{r, is.cfg.Directory, err} }
	if len(chain) == 0 {
		return fail(BadCertificate, errors.New("the chain is empty"))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fail(BadCertificate, err)
	}
	c := &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
	if r, err := checkPair(c); err != nil {
		return fail(r, err)
	}
	for _, n := range is.cfg.Names {
		if err := leaf.VerifyHostname(n); err != nil {
			return fail(BadCertificate, err)
		}
	}
	if now := is.now(); now.After(leaf.NotAfter) {
		return fail(Expired, fmt.Errorf("it expired at %s, and it is %s now", stamp(leaf.NotAfter), stamp(now)))
	}
	return c, nil
}

// authorize opens an order and proves control of its names. It tries one kind of
// challenge after the other, each with a new order, because a failed challenge
// invalidates its order.
func (is *issuer) authorize(ctx context.Context, client *acme.Client) (*acme.Order, error) {
	var kinds []string
	if is.cfg.HTTP != "" {
		kinds = append(kinds, http01)
	}
	if is.cfg.TLS != "" {
		kinds = append(kinds, tlsALPN01)
	}
	var errs []error
	for _, kind := range kinds {
		o, err := is.tryOrder(ctx, client, kind)
		if err == nil {
			return o, nil
		}
		errs = append(errs, err)
		if r := ReasonOf(err); r != ChallengeFailed && r != ChallengePort {
			break
		}
	}
	// The reason is that of the last error; Unwrap leads to the server's error.
	last := errs[len(errs)-1]
	for _, e := range errs[:len(errs)-1] {
		last = &Error{ReasonOf(last), is.cfg.Directory, fmt.Errorf("%w; before that: %v", errors.Unwrap(last), errors.Unwrap(e))}
	}
	return nil, last
}

// tryOrder opens an order and answers its challenges of one kind.
func (is *issuer) tryOrder(ctx context.Context, client *acme.Client, kind string) (*acme.Order, error) {
	fail := func(r Reason, what string, err error) (*acme.Order, error) {
		return nil, &Error{r, is.cfg.Directory, fmt.Errorf("%s: %w", what, err)}
	}
	var opts []acme.OrderOption
	if is.cfg.Profile != "" {
		opts = append(opts, acme.WithOrderIssuanceProfile(acme.ProfileName(is.cfg.Profile)))
	}
	ids := make([]acme.AuthzID, len(is.cfg.Names))
	for i, n := range is.cfg.Names {
		ids[i] = acme.AuthzID{Type: "dns", Value: n}
		if _, err := netip.ParseAddr(n); err == nil {
			ids[i].Type = "ip"
		}
	}
	o, err := client.AuthorizeOrder(ctx, ids, opts...)
	if err != nil {
		return fail(reasonOfACME(err), "order", err)
	}
	server := newChallengeServer(is.conns)
	addr := is.cfg.HTTP
	if kind == tlsALPN01 {
		addr = is.cfg.TLS
	}
	closeServer, err := server.open(kind, addr)
	if err != nil {
		return fail(ChallengePort, "listen for "+kind, err)
	}
	defer closeServer()
	for _, u := range o.AuthzURLs {
		z, err := client.GetAuthorization(ctx, u)
		if err != nil {
			return fail(reasonOfACME(err), "authorization", err)
		}
		if z.Status == acme.StatusValid {
			continue
		}
		if err := server.answer(ctx, client, z, kind); err != nil {
			r := reasonOfACME(err)
			if errors.Is(err, errNoChallenge) {
				r = ChallengeFailed
			}
			return fail(r, fmt.Sprintf("%s of %s", kind, z.Identifier.Value), err)
		}
	}
	if o, err = client.WaitOrder(ctx, o.URI); err != nil {
		return fail(reasonOfACME(err), "order", err)
	}
	return o, nil
}

// reasonOfACME returns the reason for an error of the ACME client.
func reasonOfACME(err error) Reason {
	var ae *acme.Error
	var authz *acme.AuthorizationError
	var order *acme.OrderError
	var ue *url.Error
	switch {
	case errors.As(err, &authz):
		return ChallengeFailed
	case errors.As(err, &ae):
		if _, ok := acme.RateLimit(ae); ok {
			return RateLimited
		}
		if strings.HasSuffix(ae.ProblemType, ":userActionRequired") {
			return TermsRefused
		}
		return OrderRefused
	case errors.As(err, &order):
		return OrderRefused
	case errors.As(err, &ue), errors.Is(err, context.DeadlineExceeded):
		return Unreachable
	}
	return OrderRefused
}
