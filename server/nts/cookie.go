package nts

import (
	"encoding/binary"

	"noonmark/server/nts/aead"
)

// A cookie is
//
//	key identifier (3) | AEAD (1) | nonce (16) | tag (16) | C2S key | S2C key
//
// sealed with AES-SIV-CMAC-256. Identifier and AEAD are the associated data, so
// that no octet can be changed. The length depends only on the AEAD, is a multiple
// of 4, and is that of chrony's cookies.
//
// A repeated nonce is harmless, because AES-SIV stays secure: in the worst case two
// cookies with the same keys and the same nonce are equal, which shows that they
// belong to one client. It reveals no plaintext and no key, and allows no forgery,
// whatever the random source does.
//
// Each period has its own key, derived with HKDF from root secret and period number
// (see Ring). No key seals more than the cookies of a period (2^48 would be safe),
// and no two keys are related. A cookie contains the identifier of its key. A
// cookie whose key is no longer known gets an NTS NAK, and the client runs NTS-KE
// again.
const (
	cookieKeyID  = 3
	cookieHeader = cookieKeyID + 1
	cookieNonce  = 16
	cookiePublic = cookieHeader + cookieNonce
	cookieTag    = 16
	cookieSecret = cookiePublic + cookieTag // offset of the keys
)

// CookieLen returns the length in octets of cookies for an AEAD: 100 for AEAD 15,
// 164 for 17, 68 for 30, 0 for one that is not supported.
func CookieLen(id aead.ID) int {
	if !id.Supported() {
		return 0
	}
	return cookieSecret + 2*id.KeyLen()
}

// SealCookie appends a new cookie for s to dst. Its only error is UnsupportedAEAD.
// It allocates nothing if dst has CookieLen(s.AEAD) octets of spare capacity.
func (k *Keys) SealCookie(dst []byte, s *SessionKeys, scratch *Scratch) ([]byte, error) {
	n := s.AEAD.KeyLen()
	if n == 0 {
		return dst, UnsupportedAEAD
	}
	e := &k.entries[0]
	off := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, e.id<<8|uint32(s.AEAD))
	dst = append(dst, scratch.Random(cookieNonce)...)
	plain := append(append(scratch.plain[:0], s.C2S[:n]...), s.S2C[:n]...)
	return e.key.Seal(dst, dst[off+cookieHeader:], plain, dst[off:off+cookieHeader]), nil
}

// OpenCookie verifies a cookie and writes its session keys to s. On an error it
// does not change s; errors are BadCookie, UnknownCookieKey and CookieFailed, and
// all three require an NTS NAK.
func (k *Keys) OpenCookie(cookie []byte, s *SessionKeys, scratch *Scratch) error {
	if len(cookie) < cookieSecret {
		return BadCookie
	}
	id := aead.ID(cookie[cookieKeyID])
	n := id.KeyLen()
	if n == 0 || len(cookie) != cookieSecret+2*n {
		return BadCookie
	}
	keyID := binary.BigEndian.Uint32(cookie) >> 8
	err := UnknownCookieKey
	for i := range k.entries {
		e := &k.entries[i]
		if e.id != keyID {
			continue
		}
		// Two keys may have the same identifier by chance: try the next one too.
		plain, open := e.key.Open(scratch.plain[:0], cookie[cookieHeader:cookiePublic], cookie[cookiePublic:], cookie[:cookieHeader])
		if open != nil {
			err = CookieFailed
			continue
		}
		s.AEAD = id
		copy(s.C2S[:], plain[:n])
		copy(s.S2C[:], plain[n:])
		return nil
	}
	return err
}
