package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// stdKey is the engine over crypto/aes. It allocates, because aes.NewCipher does and
// arguments of the cipher.Block interface escape.
type stdKey struct {
	mac, ctr cipher.Block // AES-SIV: S2V and CTR; AES-GCM-SIV: mac is the key-generating key
	k1, k2   block        // CMAC's subkeys (RFC 4493, section 2.3)
	zero     block        // CMAC of the zero block, S2V's start
}

type block [16]byte

func newStdKey(id ID, key []byte) *stdKey {
	k := &stdKey{}
	if id == AES128GCMSIV {
		k.mac = mustAES(key)
		return k
	}
	h := len(key) / 2
	k.mac, k.ctr = mustAES(key[:h]), mustAES(key[h:])
	k.mac.Encrypt(k.k1[:], k.k1[:])
	k.k1.double()
	k.k2 = k.k1
	k.k2.double()
	k.mac.Encrypt(k.zero[:], k.k1[:])
	return k
}

// mustAES expects a key of ID.KeyLen octets.
func mustAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return b
}

// double multiplies by x in GF(2^128) as CMAC and S2V do (RFC 5297
// section 2.3).
func (b *block) double() {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	carry := hi >> 63
	binary.BigEndian.PutUint64(b[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(b[8:], lo<<1^(-carry&0x87))
}

func (b *block) xor(c *block) { subtle.XORBytes(b[:], b[:], c[:]) }

// pad returns p padded with 10* to a block (RFC 5297, section 2.1).
func pad(p []byte) (b block) {
	copy(b[:], p)
	b[len(p)] = 0x80
	return b
}

func (k *stdKey) seal(id ID, out, nonce, pt, ad []byte) {
	if id == AES128GCMSIV {
		k.gcmSeal(out, nonce, pt, ad)
		return
	}
	v := k.s2v(pt, components(ad, nonce)...)
	k.xorCTR(out[tagLen:], pt, v)
	copy(out, v[:])
}

func (k *stdKey) open(id ID, out, nonce, ct, ad []byte) bool {
	if id == AES128GCMSIV {
		return k.gcmOpen(out, nonce, ct, ad)
	}
	var want block
	copy(want[:], ct)
	k.xorCTR(out, ct[tagLen:], want)
	v := k.s2v(out, components(ad, nonce)...)
	return subtle.ConstantTimeCompare(v[:], want[:]) == 1
}

// chain runs the CBC-MAC of whole blocks of p on x and returns the rest, 1 to 16
// octets unless p is empty.
func (k *stdKey) chain(x *block, p []byte) []byte {
	for len(p) > 16 {
		subtle.XORBytes(x[:], x[:], p[:16])
		k.mac.Encrypt(x[:], x[:])
		p = p[16:]
	}
	return p
}

// cmac returns the CMAC of p (RFC 4493).
func (k *stdKey) cmac(p []byte) block {
	var x block
	p = k.chain(&x, p)
	if len(p) == 16 {
		subtle.XORBytes(x[:], x[:], p)
		x.xor(&k.k1)
	} else {
		l := pad(p)
		x.xor(&l)
		x.xor(&k.k2)
	}
	k.mac.Encrypt(x[:], x[:])
	return x
}

// components returns the components of S2V before the plaintext (RFC 5297, section 3): the
// associated data, and the nonce unless it is empty.
func components(ad, nonce []byte) [][]byte {
	if len(nonce) == 0 {
		return [][]byte{ad}
	}
	return [][]byte{ad, nonce}
}

// s2v returns S2V of comps and pt (RFC 5297, section 2.4).
func (k *stdKey) s2v(pt []byte, comps ...[]byte) block {
	d := k.zero
	for _, c := range comps {
		d.double()
		m := k.cmac(c)
		d.xor(&m)
	}
	if len(pt) < 16 {
		d.double()
		l := pad(pt)
		d.xor(&l)
		return k.cmac(d[:])
	}
	// xorend: d is added to the last 16 octets, which are in the last two blocks.
	n := len(pt) - 16
	end := make([]byte, 0, 48)
	cut := n &^ 15
	if cut == n && n > 0 {
		cut -= 16 // chain leaves a whole block
	}
	var x block
	for p := pt[:cut]; len(p) > 0; p = p[16:] {
		subtle.XORBytes(x[:], x[:], p[:16])
		k.mac.Encrypt(x[:], x[:])
	}
	end = append(end, pt[cut:]...)
	tail := end[len(end)-16:]
	subtle.XORBytes(tail, tail, d[:])
	rest := k.chain(&x, end)
	if len(rest) == 16 {
		subtle.XORBytes(x[:], x[:], rest)
		x.xor(&k.k1)
	} else {
		l := pad(rest)
		x.xor(&l)
		x.xor(&k.k2)
	}
	k.mac.Encrypt(x[:], x[:])
	return x
}

// xorCTR encrypts in counter mode (RFC 5297, section 2.5). Bit 63 of the counter is
// clear, so that its low half never overflows.
func (k *stdKey) xorCTR(dst, src []byte, iv block) {
	iv[8] &= 0x7f
	iv[12] &= 0x7f
	n := binary.BigEndian.Uint64(iv[8:])
	var ks block
	for len(src) > 0 {
		k.ctr.Encrypt(ks[:], iv[:])
		m := subtle.XORBytes(dst, src, ks[:])
		dst, src = dst[m:], src[m:]
		n++
		binary.BigEndian.PutUint64(iv[8:], n)
	}
}

// gcmKeys derives the message keys of RFC 8452, section 4.
func (k *stdKey) gcmKeys(nonce []byte) (h gf, enc cipher.Block) {
	var in, o block
	var keys [32]byte
	copy(in[4:], nonce)
	for i := range 4 {
		in[0] = byte(i)
		k.mac.Encrypt(o[:], in[:])
		copy(keys[8*i:], o[:8])
	}
	return loadGF(keys[:16]), mustAES(keys[16:])
}

func gcmTag(h gf, enc cipher.Block, nonce, pt, ad []byte) block {
	var s gf
	s.update(h, ad)
	s.update(h, pt)
	s.lo ^= uint64(len(ad)) * 8
	s.hi ^= uint64(len(pt)) * 8
	s.mul(h)
	t := s.bytes()
	subtle.XORBytes(t[:12], t[:12], nonce)
	t[15] &= 0x7f
	enc.Encrypt(t[:], t[:])
	return t
}

func gcmCTR(enc cipher.Block, dst, src []byte, iv block) {
	iv[15] |= 0x80
	n := binary.LittleEndian.Uint32(iv[:])
	var ks block
	for len(src) > 0 {
		enc.Encrypt(ks[:], iv[:])
		m := subtle.XORBytes(dst, src, ks[:])
		dst, src = dst[m:], src[m:]
		n++
		binary.LittleEndian.PutUint32(iv[:], n)
	}
}

func (k *stdKey) gcmSeal(out, nonce, pt, ad []byte) {
	h, enc := k.gcmKeys(nonce)
	t := gcmTag(h, enc, nonce, pt, ad)
	gcmCTR(enc, out[:len(pt)], pt, t)
	copy(out[len(pt):], t[:])
}

func (k *stdKey) gcmOpen(out, nonce, ct, ad []byte) bool {
	h, enc := k.gcmKeys(nonce)
	var want block
	n := len(ct) - tagLen
	copy(want[:], ct[n:])
	gcmCTR(enc, out, ct[:n], want)
	t := gcmTag(h, enc, nonce, out, ad)
	return subtle.ConstantTimeCompare(t[:], want[:]) == 1
}
