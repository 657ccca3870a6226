// Package aead implements the three AEADs of Network Time Security:
// AES-SIV-CMAC-256 and -512 (RFC 5297) and AES-128-GCM-SIV (RFC 8452).
//
// A Key is expanded once, then seals and opens any number of times, without heap
// allocation on processors with AES instructions (amd64 with AES-NI, PCLMULQDQ and
// AVX; arm64 with AES and PMULL). On others, the same API uses crypto/aes and
// allocates. README.md has the measurements behind this.
//
// No duration and no memory access depends on a key, a plaintext or a tag; lengths
// are public. With crypto/aes this holds as far as it holds there (its generic code
// uses tables).
package aead

import (
	"errors"
	"fmt"
)

// ID is an AEAD algorithm number of the IANA registry (RFC 5116), as NTS-KE
// negotiates it.
type ID uint16

// The supported AEADs.
const (
	AESSIVCMAC256 ID = 15 // RFC 5297, mandatory in NTS (RFC 8915, section 5.1)
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

// NonceLen returns the recommended nonce length in octets, 0 for an unsupported
// AEAD. AES-SIV supports any other length too (see NonceOK).
func (id ID) NonceLen() int {
	switch id {
	case AESSIVCMAC256, AESSIVCMAC512:
		return 16
	case AES128GCMSIV:
		return 12
	}
	return 0
}

// NonceMax returns min(16, N_MAX) of RFC 8915, section 5.6, in octets.
func (id ID) NonceMax() int { return id.NonceLen() }

// Overhead returns how much longer a ciphertext is than its plaintext, in octets.
func (id ID) Overhead() int {
	if !id.Supported() {
		return 0
	}
	return tagLen
}

// Supported reports whether this package implements the AEAD.
func (id ID) Supported() bool { return id.KeyLen() != 0 }

// String returns the name in the IANA registry.
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

// ErrOpen is returned by Open for anything that was not sealed with this key, nonce
// and associated data. It does not say what differs.
var ErrOpen = errors.New("message authentication failed")

// Key is an expanded key. Init may be called repeatedly on the same Key. Seal and
// Open may be called from several goroutines at once, Init may not. The zero Key
// opens nothing and must not seal.
type Key struct {
	id  ID
	eng engine
	hw  hwKey   // engineHW
	std *stdKey // engineStd
}

// engine is the implementation of a Key.
type engine uint8

const (
	engineNone engine = iota
	engineStd         // crypto/aes and Go, on all processors
	engineHW          // assembly
)

// bestEngine depends on the processor.
var bestEngine = func() engine {
	if haveHW {
		return engineHW
	}
	return engineStd
}()

// Init expands key for the AEAD id and does not retain key. The error is about an
// unsupported AEAD or a wrong length.
func (k *Key) Init(id ID, key []byte) error { return k.init(bestEngine, id, key) }

func (k *Key) init(eng engine, id ID, key []byte) error {
	if !id.Supported() {
		return fmt.Errorf("expand key: %v is not supported", id)
	}
	if len(key) != id.KeyLen() {
		return fmt.Errorf("expand key: %v needs %d octets, not %d", id, id.KeyLen(), len(key))
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

// String hides the key from fmt.
func (k *Key) String() string { return k.id.String() + " key" }

// Format hides the key from every fmt verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.id.String()+" key") }

// NonceOK reports whether the AEAD supports a nonce of n octets: at least 1 for
// AES-SIV (RFC 5297, section 6), exactly 12 for AES-GCM-SIV (RFC 8452, section 6).
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
// result, 16 octets longer than plaintext, to dst. For AES-SIV, ad and nonce are
// the two S2V components (an empty nonce is no component), and the tag comes first.
// For AES-GCM-SIV the tag comes last.
//
// plaintext may be exactly where its ciphertext is written (dst[:0] of the same
// memory for AES-GCM-SIV, 16 octets before it for AES-SIV) and must not overlap it
// otherwise; ad and nonce must not overlap what is appended. Seal panics on a Key
// without Init and on an AES-GCM-SIV nonce that is not 12 octets long.
func (k *Key) Seal(dst, nonce, plaintext, ad []byte) []byte {
	if k.id == AES128GCMSIV && len(nonce) != 12 {
		panic("aead: AES-GCM-SIV needs a nonce of 12 octets")
	}
	ret, out := grow(dst, len(plaintext)+tagLen)
	switch k.eng {
	case engineHW:
		k.hw.seal(k.id, out, nonce, plaintext, ad)
	case engineStd:
		k.std.seal(k.id, out, nonce, plaintext, ad)
	default:
		panic("aead: Seal with a Key without Init")
	}
	return ret
}

// Open verifies ciphertext, ad and nonce, decrypts, and appends the plaintext, 16
// octets shorter than ciphertext, to dst. Its only error is ErrOpen; the octets
// that would have been appended are then zero. An AES-SIV nonce may have any
// length. An empty one means that there is no nonce component, for deterministic
// use (RFC 5297, section 6); NTS must check NonceOK first.
//
// The plaintext may replace its ciphertext exactly (ciphertext[:0] for AES-GCM-SIV,
// ciphertext[16:16] for AES-SIV) and must not overlap it otherwise; it must not
// overlap ad and nonce.
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

// grow returns b longer by n octets, in place if the capacity allows it, and the new
// part.
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
