package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"noonmark/internal/exitcode"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// exitInterrupted is 128 + SIGINT, as in shells.
const exitInterrupted = 130

// errCA is an error of the file that the command line names.
var errCA = errors.New("read CA file")

// exitCode returns the exit code of an error, as in the help.
func exitCode(err error) int {
	var kiss *ntsclient.KissError
	switch {
	case err == nil:
		return exitcode.OK
	case errors.Is(err, exitcode.ErrUsage):
		return exitcode.Usage
	case errors.Is(err, os.ErrPermission), errors.Is(err, ntsclient.ErrDenied):
		return exitcode.Permission
	case errors.Is(err, errCA):
		return exitcode.NoInput
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &kiss) && kiss.Code == "RATE", errors.Is(err, ntsclient.ErrHoldOff):
		return exitcode.TempFail
	case invalidAnswer(err):
		return exitcode.Protocol
	}
	return exitcode.Unavailable
}

// explain adds to an error of a certificate what to do about it.
func (o *options) explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown) && o.ca == "":
		return fmt.Errorf("%w; if the server's certificate is of a private authority, name its ca.pem with -ca FILE", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; %s is not the authority of this server: get the ca.pem of the authority that issued its certificate", err, o.ca)
	case errors.As(err, &name):
		return fmt.Errorf("%w; use a name or address that the certificate has, or issue one for this name (refclockctl ca issue)", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; check the date of this machine, and renew the server's certificate (refclockctl ca renew)", err)
	}
	return err
}

// invalidAnswer reports whether something answered that is not authentic or violates
// the protocol.
func invalidAnswer(err error) bool {
	var none *ntsclient.NoAnswerError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var remote ntske.RemoteError
	return errors.As(err, &none) && none.Ignored.Refused() > 0 ||
		errors.Is(err, ntsclient.ErrNAK) || errors.Is(err, ntsclient.ErrInsane) || errors.Is(err, ntske.ErrResponse) ||
		errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &remote)
}
