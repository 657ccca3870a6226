package nts

// Reason names why NTS material was refused. It is the error this package
// returns for what came from a peer; its String is the metric's label.
type Reason uint8

// Reasons for refusing a packet or cookie.
const (
	ReasonNone       Reason = iota
	BadAuthenticator        // lengths inside the authenticator field do not fit it
	BadNonce                // a nonce length the AEAD does not take
	ShortPadding            // a request without the Additional Padding of RFC 8915 section 5.6
	AuthFailed              // the authenticator does not verify
	BadCookie               // not a cookie of ours by its length or AEAD
	UnknownCookieKey        // a cookie under a key that is gone or never was
	CookieFailed            // a cookie with a known key identifier that does not verify
	UnsupportedAEAD         // session keys for an AEAD this program has not
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

// String returns the reason's snake_case word.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonText[r]
}

// Error returns the reason as an error's text.
func (r Reason) Error() string { return "nts: " + r.String() }

// NAK reports whether a request refused for this reason is answered with an NTS
// NAK (RFC 8915 section 5.7): the cookie or the authentication did not verify.
// A malformed packet gets silence.
func (r Reason) NAK() bool {
	switch r {
	case AuthFailed, BadCookie, UnknownCookieKey, CookieFailed:
		return true
	}
	return false
}
