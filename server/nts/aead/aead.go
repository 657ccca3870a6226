// Package aead has the three AEADs of Network Time Security: AES-SIV-CMAC-256
// and -512 (RFC 5297) and AES-128-GCM-SIV (RFC 8452).
//
// A Key is expanded once and then sealed and opened with any number of times,
// without heap allocation where the processor's own AES instructions are used
// (amd64 with AES-NI, PCLMULQDQ and AVX; arm64 with AES and PMULL). Elsewhere
// the same API runs over crypto/aes and allocates. README.md has the figures
// that decided this.
//
// No operation's duration or memory access depends on a key, a plaintext or a
// tag; lengths are public. Over crypto/aes that holds as far as it holds there
// (its generic code uses tables).
package aead

import (
	"errors"
	"fmt"
)

// ID is an AEAD algorithm number of the IANA registry (RFC 5116), as NTS-KE
// negotiates it.
type ID uint16

// The AEADs this package has.
const (
	AESSIVCMAC256 ID = 15 // RFC 5297, mandatory in NTS (RFC 8915 section 5.1)
	AESSIVCMAC512 ID = 17 // RFC 5297
	AES128GCMSIV  ID = 30 // RFC 8452
)

// MaxKeyLen is the longest KeyLen in octets.
const MaxKeyLen = 64

// tagLen is the length in octets of the tag of every AEAD here.
const tagLen = 16

// KeyLen returns the key's length in octets, 0 for an unsupported AEAD.
func (id ID) KeyLen() int {
	switch id {
	case AESSIVCMAC256:
		return 32
	case AESSIVCMAC512:
		return 64
	case AES128GCMSIV:
		return 16
	}
	return 0
}

// NonceLen returns the length in octets of the nonces to make for it; AES-SIV
// takes any other as well (see Key.Open). 0 for an unsupported AEAD.
func (id ID) NonceLen() int {
	switch id {
	case AESSIVCMAC256, AESSIVCMAC512:
		return 16
	case AES128GCMSIV:
		return 12
	}
	return 0
}

// NonceMax returns N_MAX of RFC 5116 in octets, capped at 16 where it is
// unlimited: what RFC 8915 section 5.6 calls min(16, N_MAX).
func (id ID) NonceMax() int { return id.NonceLen() }

// Overhead returns how many octets a ciphertext is longer than its plaintext.
func (id ID) Overhead() int {
	if !id.Supported() {
		return 0
	}
	return tagLen
}

// Supported reports whether this package has the AEAD.
func (id ID) Supported() bool { return id.KeyLen() != 0 }

// String returns the registry's name.
func (id ID) String() string {
	switch id {
	case AESSIVCMAC256:
		return "AES-SIV-CMAC-256"
	case AESSIVCMAC512:
		return "AES-SIV-CMAC-512"
	case AES128GCMSIV:
		return "AES-128-GCM-SIV"
	}
	return fmt.Sprintf("AEAD-%d", uint16(id))
}

// ErrOpen is what Open returns for anything that was not sealed with this key,
// nonce and associated data. It does not say which.
var ErrOpen = errors.New("message authentication failed")

// Key is an expanded key. Init may be called again and again on the same Key.
// Seal and Open may be called from several goroutines at once, Init not. The
// zero Key opens nothing and must not seal.
type Key struct {
	id  ID
	eng engine
	hw  hwKey   // engineHW
	std *stdKey // engineStd
}

// engine chooses the implementation under a Key.
type engine uint8

const (
	engineNone engine = iota
	engineStd         // crypto/aes and Go, everywhere
	engineHW          // assembly
)

// bestEngine is fixed at start by what the processor has.
var bestEngine = func() engine {
	if haveHW {
		return engineHW
	}
	return engineStd
}()

// Init expands key for the AEAD id. The key is not retained. The error is for
// an unsupported AEAD or a wrong length.
func (k *Key) Init(id ID, key []byte) error { return k.init(bestEngine, id, key) }

func (k *Key) init(eng engine, id ID, key []byte) error {
	if !id.Supported() {
		return fmt.Errorf("expand key: %v is not supported", id)
	}
	if len(key) != id.KeyLen() {
		return fmt.Errorf("expand key: %v takes %d octets, not %d", id, id.KeyLen(), len(key))
	}
	k.id, k.eng, k.std = id, eng, nil
	if eng == engineHW {
		k.hw.init(id, key)
		return nil
	}
	k.std = newStdKey(id, key)
	return nil
}

// ID returns the AEAD of the last Init, 0 before it.
func (k *Key) ID() ID { return k.id }

// String hides the key from every fmt verb that would print it.
func (k *Key) String() string { return k.id.String() + " key" }

// Format hides the key from every fmt verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.id.String()+" key") }

// NonceOK reports whether the AEAD takes a nonce of n octets: RFC 5297
// section 6 has at least 1 for AES-SIV, RFC 8452 section 6 exactly 12 for
// AES-GCM-SIV.
func (id ID) NonceOK(n int) bool {
	switch id {
	case AESSIVCMAC256, AESSIVCMAC512:
		return n >= 1
	case AES128GCMSIV:
		return n == 12
	}
	return false
}

// Seal encrypts and authenticates plaintext, authenticates ad, and appends the
// result, 16 octets longer than plaintext, to dst. For AES-SIV ad and nonce are
// the two S2V components (an empty nonce is no component) and the tag comes
// first; for AES-GCM-SIV the tag comes last.
//
// plaintext may lie exactly where its ciphertext goes (dst[:0] of the same
// memory for AES-GCM-SIV, 16 octets before it for AES-SIV) and must not overlap
// it otherwise; ad and nonce must not overlap what is appended. Seal panics on
// a Key without Init and on a nonce that NonceOK refuses: the caller made it.
func (k *Key) Seal(dst, nonce, plaintext, ad []byte) []byte {
	if k.id == AES128GCMSIV && len(nonce) != 12 {
		panic("aead: AES-GCM-SIV takes a nonce of 12 octets")
	}
	ret, out := grow(dst, len(plaintext)+tagLen)
	switch k.eng {
	case engineHW:
		k.hw.seal(k.id, out, nonce, plaintext, ad)
	case engineStd:
		k.std.seal(k.id, out, nonce, plaintext, ad)
	default:
		panic("aead: Seal with a key that was never expanded")
	}
	return ret
}

// Open verifies ciphertext, ad and nonce, decrypts, and appends the plaintext,
// 16 octets shorter than ciphertext, to dst. Its only error is ErrOpen; then
// the octets that would have been appended are zero. An AES-SIV nonce may have
// any length; an empty one means that there is no nonce component, which RFC
// 5297 section 6 keeps for deterministic use: NTS callers ask NonceOK first.
//
// The plaintext may take exactly the place of its ciphertext (ciphertext[:0]
// for AES-GCM-SIV, ciphertext[16:16] for AES-SIV) and must not overlap it
// otherwise; it must not overlap ad and nonce.
func (k *Key) Open(dst, nonce, ciphertext, ad []byte) ([]byte, error) {
	if len(ciphertext) < tagLen || k.id == AES128GCMSIV && len(nonce) != 12 {
		return nil, ErrOpen
	}
	ret, out := grow(dst, len(ciphertext)-tagLen)
	ok := false
	switch k.eng {
	case engineHW:
		ok = k.hw.open(k.id, out, nonce, ciphertext, ad)
	case engineStd:
		ok = k.std.open(k.id, out, nonce, ciphertext, ad)
	}
	if !ok {
		clear(out)
		return nil, ErrOpen
	}
	return ret, nil
}

// grow returns b longer by n octets, in place when its capacity allows, and
// the part that is new.
func grow(b []byte, n int) (head, tail []byte) {
	t := len(b) + n
	if cap(b) >= t {
		head = b[:t]
	} else {
		head = make([]byte, t)
		copy(head, b)
	}
	return head, head[len(b):]
}
