package server

// Reason is the outcome of one request: how it was answered, or why not. Its
// String is the metric's label.
type Reason uint8

// Answers.
const (
	NTP            Reason = iota // plain, basic mode
	NTPInterleaved               // plain, with the transmit timestamp of the earlier answer (RFC 9769)
	NTS                          // authenticated, basic mode
	NTSInterleaved               // authenticated, interleaved
	MAC                          // authenticated by a symmetric key, basic mode
	MACInterleaved               // the same, interleaved
	NAKKey                       // kiss code NTSN: the cookie's key is unknown, or no longer known
	NAKCookie                    // kiss code NTSN: not our cookie, or damaged
	NAKAuth                      // kiss code NTSN: a valid cookie, but authentication failed
	CryptoNAK                    // a MAC with an unknown key or a wrong digest, answered with a crypto-NAK
	KissRate                     // kiss code RATE: over the rate limit

	// No answer, in the order of the checks.

	TooShort          // shorter than a header
	TooLong           // longer than MaxPacket, or than any request with NTS needs to be
	NotToUs           // sent to a broadcast or multicast address
	Denied            // the source is on the deny list, or not on the allow list
	RateLimited       // over the rate limit, without kiss code
	BadVersion        // not NTP version 1 to 4
	ModeReserved      // mode 0, except version 1 from another port than 123
	ModeSymmetric     // mode 2, or mode 1 with NTS
	ModeServer        // mode 4: an answer, or an attempt to make two servers answer each other
	ModeBroadcast     // mode 5
	ModeControl       // mode 6
	ModePrivate       // mode 7
	BadField          // invalid length of an extension field (RFC 7822), or of a MAC before NTPv4
	LegacyMAC         // a MAC where no symmetric keys are configured, a crypto-NAK, or a MAC after fields of NTS
	UnknownMACKey     // a MAC with a key identifier that is not configured
	BadMAC            // a MAC whose digest is wrong
	PlainOff          // a plain request where only NTS is served
	NTSOff            // NTS fields where NTS is not served
	DuplicateField    // a second unique identifier, cookie or authenticator
	NoUniqueID        // NTS without unique identifier
	ShortUniqueID     // NTS with a unique identifier of less than 32 octets (RFC 8915, section 5.3)
	NoCookie          // NTS without cookie
	NoAuthenticator   // NTS fields without authenticator
	PlaceholderLength // a placeholder without the length of the cookie (RFC 8915, section 5.5)
	BadAuthenticator  // invalid lengths inside the authenticator
	BadNonce          // a nonce length that the AEAD does not support
	ShortPadding      // no additional padding for a short nonce (RFC 8915, section 5.6)
	NoRoom            // the answer would be longer than the request, or than a small link takes
	numReasons
)

// NumReasons is the number of reasons, for arrays of counters.
const NumReasons = int(numReasons)

var reasonText = [numReasons]string{
	NTP: "ntp", NTPInterleaved: "ntp_interleaved", NTS: "nts", NTSInterleaved: "nts_interleaved",
	MAC: "mac", MACInterleaved: "mac_interleaved", CryptoNAK: "crypto_nak",
	NAKKey: "nak_unknown_key", NAKCookie: "nak_bad_cookie", NAKAuth: "nak_bad_authenticator", KissRate: "kiss_rate",
	TooShort: "too_short", TooLong: "too_long", NotToUs: "not_to_us", Denied: "denied", RateLimited: "rate_limited", BadVersion: "bad_version",
	ModeReserved: "mode_reserved", ModeSymmetric: "mode_symmetric", ModeServer: "mode_server",
	ModeBroadcast: "mode_broadcast", ModeControl: "mode_control", ModePrivate: "mode_private",
	BadField: "malformed_field", LegacyMAC: "legacy_mac", UnknownMACKey: "unknown_mac_key", BadMAC: "bad_mac", PlainOff: "plain_off", NTSOff: "nts_off",
	DuplicateField: "duplicate_field", NoUniqueID: "no_unique_id", ShortUniqueID: "short_unique_id", NoCookie: "no_cookie",
	NoAuthenticator: "no_authenticator", PlaceholderLength: "placeholder_length", BadAuthenticator: "malformed_authenticator",
	BadNonce: "bad_nonce_length", ShortPadding: "short_authenticator_padding", NoRoom: "no_room",
}

// String returns the word for the reason.
func (r Reason) String() string {
	if int(r) < len(reasonText) {
		return reasonText[r]
	}
	return "unknown"
}

// Answered reports whether the request gets an answer.
func (r Reason) Answered() bool { return r <= KissRate }
