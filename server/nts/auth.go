package nts

import (
	"encoding/binary"

	"noonmark/server/nts/aead"
)

// The NTS Authenticator and Encrypted Extension Fields extension field (RFC 8915,
// section 5.6): header (4), nonce length (2), ciphertext length (2), nonce and
// ciphertext, each padded with zeros to a multiple of 4, additional padding.
const (
	authType    = 0x0404
	fieldHeader = 4
	authHeader  = 4 // the two lengths
)

func pad4(n int) int { return (n + 3) &^ 3 }

// AuthLen returns the length in octets of the field that AppendAuth makes for a
// plaintext of n octets with a nonce of id.NonceLen() octets.
func AuthLen(id aead.ID, n int) int {
	return fieldHeader + authHeader + pad4(id.NonceLen()) + pad4(n+id.Overhead())
}

// ParseAuth splits the body of an authenticator field (without type and length).
// The results are parts of its memory. Its only error is BadAuthenticator.
func ParseAuth(body []byte) (nonce, ciphertext []byte, err error) {
	if len(body) < authHeader {
		return nil, nil, BadAuthenticator
	}
	n := int(binary.BigEndian.Uint16(body))
	c := int(binary.BigEndian.Uint16(body[2:]))
	at := authHeader + pad4(n)
	if at+pad4(c) > len(body) {
		return nil, nil, BadAuthenticator
	}
	return body[authHeader : authHeader+n : authHeader+n], body[at : at+c : at+c], nil
}

// AppendAuth appends a complete authenticator field to dst, which must be the whole
// packet so far: all of it is the associated data. plaintext has extension fields
// or nothing, and must be outside of dst's memory. A nonce shorter than
// id.NonceLen() gets the additional padding of a request. AppendAuth allocates
// nothing if dst has AuthLen octets of spare capacity. It panics on a nonce that
// the AEAD does not support.
func AppendAuth(dst []byte, key *aead.Key, nonce, plaintext []byte) []byte {
	start := len(dst)
	c := len(plaintext) + key.ID().Overhead()
	extra := max(0, pad4(key.ID().NonceMax())-pad4(len(nonce)))
	total := fieldHeader + authHeader + pad4(len(nonce)) + pad4(c) + extra
	dst = append(dst,
		authType>>8, authType&0xff, byte(total>>8), byte(total),
		byte(len(nonce)>>8), byte(len(nonce)), byte(c>>8), byte(c))
	dst = append(dst, nonce...)
	dst = appendZeros(dst, pad4(len(nonce))-len(nonce))
	dst = key.Seal(dst, nonce, plaintext, dst[:start:start])
	return appendZeros(dst, pad4(c)-c+extra)
}

func appendZeros(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, 0)
	}
	return dst
}

// OpenAuth verifies the authenticator field at pkt[start:end], header included,
// over everything before it, and appends its plaintext to dst. The plaintext may
// replace the ciphertext (see aead.Key.Open) and must not overlap pkt otherwise.
// Errors are BadAuthenticator, BadNonce and AuthFailed.
func OpenAuth(pkt []byte, start, end int, key *aead.Key, dst []byte) ([]byte, error) {
	nonce, ct, _, err := splitAuth(pkt, start, end, key.ID())
	if err != nil {
		return nil, err
	}
	return openAuth(pkt[:start], nonce, ct, key, dst)
}

// OpenRequestAuth is OpenAuth for a server. It also refuses, with ShortPadding, a
// request without the additional padding that makes room for a longer nonce in the
// answer (RFC 8915, section 5.6).
func OpenRequestAuth(pkt []byte, start, end int, key *aead.Key, dst []byte) ([]byte, error) {
	nonce, ct, extra, err := splitAuth(pkt, start, end, key.ID())
	if err != nil {
		return nil, err
	}
	if pad4(len(nonce))+extra < pad4(key.ID().NonceMax()) {
		return nil, ShortPadding
	}
	return openAuth(pkt[:start], nonce, ct, key, dst)
}

// splitAuth checks everything that needs no key. extra is the length of the
// additional padding, octets.
func splitAuth(pkt []byte, start, end int, id aead.ID) (nonce, ct []byte, extra int, err error) {
	if start < 0 || end > len(pkt) || end-start < fieldHeader+authHeader ||
		binary.BigEndian.Uint16(pkt[start:]) != authType || int(binary.BigEndian.Uint16(pkt[start+2:])) != end-start {
		return nil, nil, 0, BadAuthenticator
	}
	body := pkt[start+fieldHeader : end]
	nonce, ct, err = ParseAuth(body)
	if err != nil {
		return nil, nil, 0, err
	}
	if !id.NonceOK(len(nonce)) {
		return nil, nil, 0, BadNonce
	}
	if len(ct) < id.Overhead() {
		return nil, nil, 0, BadAuthenticator
	}
	return nonce, ct, len(body) - authHeader - pad4(len(nonce)) - pad4(len(ct)), nil
}

func openAuth(ad, nonce, ct []byte, key *aead.Key, dst []byte) ([]byte, error) {
	plain, err := key.Open(dst, nonce, ct, ad)
	if err != nil {
		return nil, AuthFailed
	}
	return plain, nil
}
