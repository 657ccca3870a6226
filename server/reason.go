package server

// Reason is the outcome of one request: how it was answered, or why not. Its
// String is the metric's label.
type Reason uint8

// Answers.
const (
	NTP            Reason = iota // plain, basic mode
	NTPInterleaved               // plain, with the transmit timestamp of the answer before (RFC 9769)
	NTS                          // authenticated, basic mode
	NTSInterleaved               // authenticated, interleaved
	NAKKey                       // kiss NTSN: a cookie of a key that is gone or never was
	NAKCookie                    // kiss NTSN: no cookie of ours, or a damaged one
	NAKAuth                      // kiss NTSN: a good cookie, a bad authenticator
	KissRate                     // kiss RATE: too many requests from the prefix

	// Silence, in the order of the checks.

	TooShort          // less than a header
	TooLong           // more than MaxPacket octets
	Denied            // the source is on the deny list, or not on the allow list
	RateLimited       // too many requests from the prefix, and no kiss due
	BadVersion        // neither NTPv4 nor NTPv3
	ModeReserved      // mode 0
	ModeSymmetric     // modes 1 and 2
	ModeServer        // mode 4: an answer, or somebody wants two servers to talk to each other
	ModeBroadcast     // mode 5
	ModeControl       // mode 6
	ModePrivate       // mode 7
	BadField          // an extension field's length (RFC 7822), or octets behind an NTPv3 header
	LegacyMAC         // a symmetric key's MAC or crypto-NAK: there are no symmetric keys here
	PlainOff          // a plain request where only NTS is served
	NTSOff            // NTS fields where NTS is not served
	DuplicateField    // a second unique identifier, cookie or authenticator
	NoUniqueID        // NTS without unique identifier
	ShortUniqueID     // NTS with a unique identifier under 32 octets (RFC 8915, section 5.3)
	NoCookie          // NTS without cookie
	NoAuthenticator   // NTS fields, but nothing that authenticates them
	PlaceholderLength // a placeholder that has not the cookie's length (RFC 8915, section 5.5)
	BadAuthenticator  // lengths inside the authenticator
	BadNonce          // a nonce length the AEAD does not take
	ShortPadding      // no additional padding for a short nonce (RFC 8915, section 5.6)
	NoRoom            // the answer would be longer than the request
	numReasons
)

// NumReasons is the number of reasons, for arrays of counters.
const NumReasons = int(numReasons)

var reasonText = [numReasons]string{
	NTP: "ntp", NTPInterleaved: "ntp_interleaved", NTS: "nts", NTSInterleaved: "nts_interleaved",
	NAKKey: "nak_unknown_key", NAKCookie: "nak_bad_cookie", NAKAuth: "nak_bad_authenticator", KissRate: "kiss_rate",
	TooShort: "too_short", TooLong: "too_long", Denied: "denied", RateLimited: "rate_limited", BadVersion: "bad_version",
	ModeReserved: "mode_reserved", ModeSymmetric: "mode_symmetric", ModeServer: "mode_server",
	ModeBroadcast: "mode_broadcast", ModeControl: "mode_control", ModePrivate: "mode_private",
	BadField: "malformed_field", LegacyMAC: "legacy_mac", PlainOff: "plain_off", NTSOff: "nts_off",
	DuplicateField: "duplicate_field", NoUniqueID: "no_unique_id", ShortUniqueID: "short_unique_id", NoCookie: "no_cookie",
	NoAuthenticator: "no_authenticator", PlaceholderLength: "placeholder_length", BadAuthenticator: "malformed_authenticator",
	BadNonce: "bad_nonce_length", ShortPadding: "short_authenticator_padding", NoRoom: "no_room",
}

// String returns the reason's word.
func (r Reason) String() string {
	if int(r) < len(reasonText) {
		return reasonText[r]
	}
	return "unknown"
}

// Answered reports whether a packet goes out.
func (r Reason) Answered() bool { return r <= KissRate }
