package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"

	"noonmark/server/certs/cafile"
)

// client returns an ACME client as configured.
func (is *issuer) client() (*acme.Client, error) {
	key, err := is.accountKey()
	if err != nil {
		return nil, &Error{StoreFailed, is.cfg.Directory, fmt.Errorf("account key: %w", err)}
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.DisableKeepAlives = true // a dozen requests in two months
	if is.cfg.CAFile != "" {
		roots, err := cafile.Read(is.cfg.CAFile)
		switch {
		case errors.Is(err, cafile.ErrNone):
			return nil, &Error{BadCertificate, is.cfg.Directory, err}
		case err != nil:
			return nil, &Error{Unreadable, is.cfg.Directory, err}
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &acme.Client{
		Key: key, DirectoryURL: is.cfg.Directory, UserAgent: "noonmark",
		HTTPClient: &http.Client{Transport: tr, Timeout: httpTimeout},
		RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
			if n > 4 || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
				return -1 // backOff waits longer
			}
			return time.Duration(n) * time.Second / 2
		},
	}, nil
}

// accountKey reads the key of the account, or creates one. One that cannot be
// written is used from memory.
func (is *issuer) accountKey() (crypto.Signer, error) {
	if b := is.unsaved.content(is.accountPath()); b != nil {
		return parseKey(b)
	}
	b, _, err := readPEM(is.accountPath())
	if err == nil {
		return parseKey(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err = keyPEM(key)
	if err != nil {
		return nil, err
	}
	is.storeErr = is.unsaved.write(is.accountPath(), b, false, is.now())
	return key, nil
}

// register creates the account, unless the server has it.
func (is *issuer) register(ctx context.Context, client *acme.Client, emit func(Event)) error {
	dir, err := client.Discover(ctx)
	if err != nil {
		return &Error{Unreachable, is.cfg.Directory, err}
	}
	if dir.OrderURL == "" {
		return &Error{Unreachable, is.cfg.Directory, errors.New("it does not support RFC 8555")}
	}
	a := &acme.Account{}
	if is.cfg.Email != "" {
		a.Contact = []string{"mailto:" + is.cfg.Email}
	}
	_, err = client.Register(ctx, a, func(string) bool { return is.cfg.AcceptTerms })
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil
	}
	if err != nil {
		return &Error{reasonOfACME(err), is.cfg.Directory, fmt.Errorf("register account: %w", err)}
	}
	emit(Event{Kind: Registered, From: is.cfg.Directory, Terms: dir.Terms})
	return nil
}
