// Package mac authenticates NTP packets with symmetric keys: the message
// authentication code of RFC 5905, section 7.3, with AES-CMAC (RFC 8573) or a hash
// of key and packet. Framing and truncation are those of chrony and NTPsec.
package mac

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// A MAC is a key identifier and a digest (RFC 5905, figure 8).
const (
	IDLen = 4 // octets; a key identifier alone is a crypto-NAK

	minDigest = 16 // octets, of MD5 and AES-CMAC
	// truncated is the length in octets of a longer digest in NTPv4: with a longer
	// MAC than 24 octets, a MAC could be read as a field (RFC 7822, section
	// 3.1). chrony sends NTPv3 packets with the whole digest, NTPsec truncates it
	// there too.
	truncated = 20
	maxDigest = 64 // octets, of SHA-512
)

// MaxLen is the length in octets of the longest MAC.
const MaxLen = IDLen + maxDigest

// IsLen reports whether n octets behind the header of an NTP packet before version
// 4 can be a MAC: a crypto-NAK, DES (RFC 1305), a digest of the types here, or the
// extended authenticator of Windows domains ([MS-SNTP], section 2.2.3).
func IsLen(n int) bool {
	switch n {
	case IDLen, 12, IDLen + 16, IDLen + 20, IDLen + 32, IDLen + 48, MaxLen, 72:
		return true
	}
	return false
}

// MaxPacket is the length in octets of the longest packet that a MAC is computed
// over.
const MaxPacket = 2048

// maxKey is the length in octets of the longest key.
const maxKey = 256

// WeakKey is the length in octets below which a key can be guessed.
const WeakKey = 16

// Key is a symmetric key with its identifier and algorithm. It is immutable, safe
// for concurrent use, and is never printed.
type Key struct {
	id     uint32
	typ    Type
	secret []byte
	cmac   *cmacKey // AES
}

// NewKey makes a key. Its identifier is not 0. secret has the length that AES
// requires, 1 to 256 octets otherwise.
func NewKey(id uint32, typ Type, secret []byte) (*Key, error) {
	switch want := typ.aesLen(); {
	case id == 0:
		return nil, errors.New("key identifier 0 means that there is no key")
	case !typ.valid():
		return nil, errors.New("unknown type of key")
	case want != 0 && len(secret) != want:
		return nil, fmt.Errorf("%v needs a key of %d octets, not %d", typ, want, len(secret))
	case len(secret) == 0 || len(secret) > maxKey:
		return nil, fmt.Errorf("a key of %d octets; possible are 1 to %d", len(secret), maxKey)
	}
	k := &Key{id: id, typ: typ, secret: slices.Clone(secret)}
	if typ.aesLen() != 0 {
		k.cmac = newCMAC(secret)
	}
	return k, nil
}

// ID returns the key's identifier.
func (k *Key) ID() uint32 { return k.id }

// Type returns the key's algorithm.
func (k *Key) Type() Type { return k.typ }

// Weak reports whether the key can be attacked: it is short, or its algorithm is
// broken.
func (k *Key) Weak() bool { return len(k.secret) < WeakKey || k.typ == MD5 || k.typ == SHA1 }

// String names the key without showing it.
func (k *Key) String() string { return fmt.Sprintf("%v key %d", k.typ, k.id) }

// Format hides the key from every fmt verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue hides the key from slog.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON hides the key from encoders.
func (k *Key) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

// Scratch is the working memory of one goroutine. The zero value is ready.
type Scratch struct {
	in    [maxKey + MaxPacket]byte
	state block
	last  block
	sum   [maxDigest]byte
}

// digest returns the digest of pkt; it is valid until the next call. pkt has at
// most MaxPacket octets.
func (k *Key) digest(pkt []byte, s *Scratch) []byte {
	if k.cmac != nil {
		k.cmac.sum(pkt, s)
		return s.state[:]
	}
	n := copy(s.in[:], k.secret)
	n += copy(s.in[n:], pkt)
	n = k.typ.hash(s.sum[:], s.in[:n])
	return s.sum[:n]
}

// Verify reports whether code is the MAC of pkt under this key, in a packet of the
// given NTP version. It takes the same time for every digest of a length, and
// allocates nothing.
func (k *Key) Verify(pkt, code []byte, version uint8, s *Scratch) bool {
	if len(pkt) > MaxPacket || len(code) < IDLen+minDigest || binary.BigEndian.Uint32(code) != k.id {
		return false
	}
	got, want := code[IDLen:], k.digest(pkt, s)
	switch n := min(len(want), truncated); {
	case len(got) == n:
		want = want[:n]
	case version >= 4:
		return false
	}
	return subtle.ConstantTimeCompare(got, want) == 1
}

// Append appends the MAC of pkt to pkt, n octets long, as long as one that Verify
// accepted. It allocates nothing if pkt has the capacity.
func (k *Key) Append(pkt []byte, n int, s *Scratch) []byte {
	d := k.digest(pkt, s)
	pkt = binary.BigEndian.AppendUint32(pkt, k.id)
	return append(pkt, d[:min(len(d), n-IDLen)]...)
}

// Len returns the length in octets of the key's MAC in an NTPv4 packet.
func (k *Key) Len() int { return IDLen + min(k.typ.digestLen(), truncated) }

// ID returns the key identifier of a MAC, which has at least IDLen octets.
func ID(code []byte) uint32 { return binary.BigEndian.Uint32(code) }

// Keys is an immutable set of keys, read by all workers.
type Keys struct{ byID map[uint32]*Key }

// NewKeys makes a set. Of keys with one identifier it has the first; the error
// names the others.
func NewKeys(keys ...*Key) (*Keys, error) {
	s := &Keys{byID: map[uint32]*Key{}}
	var errs []error
	for _, k := range keys {
		if s.byID[k.id] != nil {
			errs = append(errs, fmt.Errorf("there are two keys with the identifier %d", k.id))
			continue
		}
		s.byID[k.id] = k
	}
	return s, errors.Join(errs...)
}

// Find returns the key with an identifier, nil if there is none. A nil set is
// empty.
func (s *Keys) Find(id uint32) *Key {
	if s == nil {
		return nil
	}
	return s.byID[id]
}

// Len returns the number of keys.
func (s *Keys) Len() int {
	if s == nil {
		return 0
	}
	return len(s.byID)
}

type block [aes.BlockSize]byte

// double multiplies by x in GF(2^128) (RFC 4493, section 2.3).
func (b *block) double() {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(b[8:], lo<<1^(-(hi>>63)&0x87))
}

// cmacKey is an expanded key of AES-CMAC (RFC 4493) with its two subkeys.
type cmacKey struct {
	aes    cipher.Block
	k1, k2 block
}

func newCMAC(key []byte) *cmacKey {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // NewKey checks the length
	}
	k := &cmacKey{aes: c}
	c.Encrypt(k.k1[:], k.k1[:])
	k.k1.double()
	k.k2 = k.k1
	k.k2.double()
	return k
}

// sum computes the CMAC of p into s.state.
func (k *cmacKey) sum(p []byte, s *Scratch) {
	x := s.state[:]
	clear(x)
	for ; len(p) > aes.BlockSize; p = p[aes.BlockSize:] {
		subtle.XORBytes(x, x, p[:aes.BlockSize])
		k.aes.Encrypt(x, x)
	}
	sub := &k.k1
	clear(s.last[:])
	if n := copy(s.last[:], p); n < aes.BlockSize {
		s.last[n] = 0x80
		sub = &k.k2
	}
	subtle.XORBytes(x, x, s.last[:])
	subtle.XORBytes(x, x, sub[:])
	k.aes.Encrypt(x, x)
}
