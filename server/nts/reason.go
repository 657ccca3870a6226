package nts

// Reason is why a cookie or an authenticator was refused. It is the error that
// this package returns for data of a peer. Its String is the label of the metric.
type Reason uint8

// Reasons for refusing a packet or cookie.
const (
	ReasonNone       Reason = iota
	BadAuthenticator        // the lengths inside the authenticator do not fit its own
	BadNonce                // a nonce length that the AEAD does not support
	ShortPadding            // a request without the additional padding of RFC 8915, section 5.6
	AuthFailed              // the authenticator does not verify
	BadCookie               // not one of our cookies, by its length or AEAD
	UnknownCookieKey        // a cookie whose key is unknown or no longer known
	CookieFailed            // a cookie with a known key identifier that does not verify
	UnsupportedAEAD         // session keys for an AEAD that is not supported
	numReasons
)

// NumReasons is the number of reasons, ReasonNone included, for arrays of
// counters.
const NumReasons = int(numReasons)

var reasonText = [numReasons]string{
	ReasonNone:       "none",
	BadAuthenticator: "malformed_authenticator",
	BadNonce:         "bad_nonce_length",
	ShortPadding:     "short_authenticator_padding",
	AuthFailed:       "authentication_failed",
	BadCookie:        "malformed_cookie",
	UnknownCookieKey: "unknown_cookie_key",
	CookieFailed:     "cookie_authentication_failed",
	UnsupportedAEAD:  "unsupported_aead",
}

// String returns the word for the reason.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonText[r]
}

// Error returns the text of the reason as an error.
func (r Reason) Error() string { return "nts: " + r.String() }

// NAK reports whether a request refused for this reason is answered with an NTS
// NAK (RFC 8915, section 5.7): the cookie or the authentication did not verify.
// A malformed request gets no answer.
func (r Reason) NAK() bool {
	switch r {
	case AuthFailed, BadCookie, UnknownCookieKey, CookieFailed:
		return true
	}
	return false
}
