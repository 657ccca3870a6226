package main

import (
	"context"
	"crypto/tls"
	"errors"
	"os"

	"noonmark/internal/exitcode"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// exitInterrupted is 128 + SIGINT, as in shells.
const exitInterrupted = 130

// Errors of the command line.
var (
	errUsage = errors.New("usage")
	errCA    = errors.New("read CA file")
)

// exitCode returns the exit code of an error, as in the usage text.
func exitCode(err error) int {
	var kiss *ntsclient.KissError
	switch {
	case err == nil:
		return exitcode.OK
	case errors.Is(err, errUsage):
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
