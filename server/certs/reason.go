package certs

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Reason says why a certificate was not taken.
type Reason uint8

// Reasons. The first group is about files, the second about ACME (RFC 8555).
const (
	Good           Reason = iota // nothing is wrong
	Unreadable                   // the system refuses to read the file, or it is too large
	BadCertificate               // no PEM, no X.509, or not for the names that were ordered
	BadKey                       // no private key, an encrypted one, or of a kind that TLS 1.3 does not know
	KeyMismatch                  // the key belongs to another certificate
	WrongUse                     // extended key usage without server authentication
	Expired                      // not valid any more, while the one in use is
	NotYetValid                  // not valid yet, while the one in use is

	Unreachable     // the ACME server does not answer, or not as one
	TermsRefused    // its terms of service are not accepted in the configuration
	OrderRefused    // it refuses the account or the order
	RateLimited     // it wants to be left alone for a while
	ChallengeFailed // it could not see that a name is ours
	ChallengePort   // the port for its question cannot be opened
	StoreFailed     // the certificate or the account's key cannot be kept on disk

	numReasons
)

var reasonNames = [numReasons]string{
	"good", "unreadable", "bad_certificate", "bad_key", "key_mismatch", "wrong_use", "expired", "not_yet_valid",
	"acme_unreachable", "acme_terms_refused", "acme_order_refused", "acme_rate_limited", "acme_challenge_failed",
	"acme_challenge_port", "acme_store_failed",
}

// String is the metric's label.
func (r Reason) String() string {
	if r >= numReasons {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return reasonNames[r]
}

// Error is a certificate that was not taken. It wraps what the system or the
// ACME server said.
type Error struct {
	Reason Reason
	From   string // the certificate file, or the ACME directory
	Err    error
}

// Error names the source, the trouble and its reason.
func (e *Error) Error() string {
	return fmt.Sprintf("certificate of %s: %v (%v)", e.From, e.Err, e.Reason)
}

// Unwrap returns what the system or the ACME server said.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of an error of this package, Good for any other.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Good
}

// counters count refusals.
type counters [numReasons]atomic.Uint64

// Kind is what an Event tells.
type Kind uint8

// Kinds of events.
const (
	Loaded      Kind = iota // a certificate is in use from now on
	Refused                 // a new one is not taken, see Reason and Err; the one before stays in use
	Exposed                 // others than its owner and group may read the key file
	Expiring                // less is left than the alarm threshold; told once a day
	Lapsed                  // the certificate in use has expired; told once a day
	Registered              // an account at the ACME server is in use, whose Terms were accepted
	OrderFailed             // ACME gave no certificate, see Reason and Err; the next try is at Next

	numKinds
)

var kindNames = [numKinds]string{"loaded", "refused", "key_exposed", "expiring", "expired", "acme_registered", "acme_failed"}

// String is a word for logs.
func (k Kind) String() string {
	if k >= numKinds {
		return fmt.Sprintf("kind_%d", uint8(k))
	}
	return kindNames[k]
}
