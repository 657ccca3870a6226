package certs

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Reason is why a certificate was not accepted.
type Reason uint8

// Reasons: about files, then about ACME (RFC 8555).
const (
	Good           Reason = iota // no error
	Unreadable                   // the file cannot be read or is too large
	BadCertificate               // not PEM, not X.509, or not for the ordered names
	BadKey                       // no private key, encrypted, or not usable in TLS 1.3
	KeyMismatch                  // the key belongs to another certificate
	WrongUse                     // extended key usage without server authentication
	Expired                      // expired, while the certificate in use is valid
	NotYetValid                  // not yet valid, while the certificate in use is valid

	Unreachable     // the ACME server does not answer, or is not an ACME server
	TermsRefused    // it requires that its terms of service are accepted
	OrderRefused    // it refuses the account or the order
	RateLimited     // its rate limit is reached
	ChallengeFailed // it could not verify control of a name
	ChallengePort   // the port for the challenge cannot be opened
	StoreFailed     // the certificate or the account key cannot be stored

	numReasons
)

var reasonNames = [numReasons]string{
	"good", "unreadable", "bad_certificate", "bad_key", "key_mismatch", "wrong_use", "expired", "not_yet_valid",
	"acme_unreachable", "acme_terms_refused", "acme_order_refused", "acme_rate_limited", "acme_challenge_failed",
	"acme_challenge_port", "acme_store_failed",
}

// String returns the label of the metric.
func (r Reason) String() string {
	if r >= numReasons {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return reasonNames[r]
}

// Error is a certificate that was not accepted. It wraps the error of the system or
// of the ACME server.
type Error struct {
	Reason Reason
	From   string // the certificate file, or the ACME directory
	Err    error
}

// Error returns source, error and reason.
func (e *Error) Error() string {
	return fmt.Sprintf("certificate of %s: %v (%v)", e.From, e.Err, e.Reason)
}

// Unwrap returns the error of the system or of the ACME server.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of an error of this package, Good for any other.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Good
}

// counters counts refusals.
type counters [numReasons]atomic.Uint64

// Kind is the kind of an Event.
type Kind uint8

// Kinds of events.
const (
	Loaded      Kind = iota // a certificate is used from now on
	Refused                 // a new one is not accepted, see Reason and Err; the old one stays in use
	Doubtful                // clients may refuse the certificate in use, see Concern
	Exposed                 // all users may read the key file
	Expiring                // it expires soon (AlarmAt); once a day
	Lapsed                  // the certificate in use has expired; once a day
	Registered              // an ACME account was created, and its Terms were accepted
	OrderFailed             // an ACME order failed, see Reason and Err; the next one is at Next
	NotStored               // the certificate or the account key is only in memory, see Err; the next attempt to write it is at Next
	Stored                  // what was only in memory is written

	numKinds
)

var kindNames = [numKinds]string{"loaded", "refused", "doubtful", "key_exposed", "expiring", "expired", "acme_registered", "acme_failed", "acme_not_stored", "acme_stored"}

// String returns the word for logs.
func (k Kind) String() string {
	if k >= numKinds {
		return fmt.Sprintf("kind_%d", uint8(k))
	}
	return kindNames[k]
}
