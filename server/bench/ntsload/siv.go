package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// SIV is a plain AES-SIV-CMAC (RFC 5297) with one item of associated data and an
// optional nonce. It shares no code with the server, so that it checks the server's
// answers independently.
type SIV struct {
	mac, ctr   cipher.Block
	k1, k2     [16]byte
	mz         [16]byte // CMAC of the zero block
	x, y, t, u [16]byte // scratch, so that nothing escapes; not for concurrent use
}

func dbl(b *[16]byte) {
	hi, lo := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	c := hi >> 63
	hi = hi<<1 | lo>>63
	lo = lo<<1 ^ (-c & 0x87)
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
}

// newSIV takes a key of twice the AES key size.
func newSIV(key []byte) (*SIV, error) {
	h := len(key) / 2
	m, err := aes.NewCipher(key[:h])
	if err != nil {
		return nil, err
	}
	c, err := aes.NewCipher(key[h:])
	if err != nil {
		return nil, err
	}
	s := &SIV{mac: m, ctr: c}
	m.Encrypt(s.k1[:], s.k1[:])
	dbl(&s.k1)
	s.k2 = s.k1
	dbl(&s.k2)
	s.x = s.k1 // CMAC(zero block) = E(0 xor K1)
	m.Encrypt(s.mz[:], s.x[:])
	return s, nil
}

func (s *SIV) NonceSize() int { return 16 }
func (s *SIV) Overhead() int  { return 16 }

// cmac computes CMAC(p) into out; with tail non-nil the last 16 bytes are
// xored with it first (the xorend step of S2V).
func (s *SIV) cmac(out *[16]byte, p []byte, tail *[16]byte) {
	x := &s.x
	*x = [16]byte{}
	n := len(p)
	cut := n - 16 // where tail starts
	blk := &s.y
	for off := 0; ; off += 16 {
		rest := n - off
		last := rest <= 16
		*blk = [16]byte{}
		copy(blk[:], p[off:])
		if tail != nil {
			for i := 0; i < 16; i++ {
				if j := off + i - cut; j >= 0 && j < 16 {
					blk[i] ^= tail[j]
				}
			}
		}
		if last {
			if rest == 16 {
				subtle.XORBytes(blk[:], blk[:], s.k1[:])
			} else {
				blk[rest] ^= 0x80
				subtle.XORBytes(blk[:], blk[:], s.k2[:])
			}
		}
		subtle.XORBytes(x[:], x[:], blk[:])
		s.mac.Encrypt(x[:], x[:])
		if last {
			break
		}
	}
	*out = *x
}

func (s *SIV) s2v(v *[16]byte, ad, nonce, pt []byte) {
	d := s.mz
	dbl(&d)
	s.cmac(&s.t, ad, nil)
	subtle.XORBytes(d[:], d[:], s.t[:])
	if len(nonce) > 0 {
		dbl(&d)
		s.cmac(&s.t, nonce, nil)
		subtle.XORBytes(d[:], d[:], s.t[:])
	}
	if len(pt) >= 16 {
		s.u = d
		s.cmac(v, pt, &s.u)
		return
	}
	dbl(&d)
	copy(s.t[:], make([]byte, 16))
	copy(s.t[:], pt)
	s.t[len(pt)] ^= 0x80
	subtle.XORBytes(s.t[:], s.t[:], d[:])
	s.u = s.t
	s.cmac(v, s.u[:], nil)
}

func (s *SIV) xor(dst, src []byte, v *[16]byte) {
	c := &s.x
	*c = *v
	c[8] &= 0x7f
	c[12] &= 0x7f
	ks := &s.y
	lo := binary.BigEndian.Uint64(c[8:])
	for len(src) > 0 {
		s.ctr.Encrypt(ks[:], c[:])
		n := subtle.XORBytes(dst, src, ks[:])
		dst, src = dst[n:], src[n:]
		lo++
		binary.BigEndian.PutUint64(c[8:], lo)
	}
}

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

func (s *SIV) Seal(dst, nonce, pt, ad []byte) []byte {
	ret, out := grow(dst, 16+len(pt))
	var v [16]byte
	s.s2v(&s.t, ad, nonce, pt)
	v = s.t
	copy(out, v[:])
	s.u = v
	s.xor(out[16:], pt, &s.u)
	return ret
}

var errOpen = errors.New("authentication failed")

func (s *SIV) Open(dst, nonce, ct, ad []byte) ([]byte, error) {
	if len(ct) < 16 {
		return nil, errOpen
	}
	ret, out := grow(dst, len(ct)-16)
	copy(s.u[:], ct)
	s.xor(out, ct[16:], &s.u)
	s.s2v(&s.t, ad, nonce, out)
	if subtle.ConstantTimeCompare(s.t[:], ct[:16]) != 1 {
		return nil, errOpen
	}
	return ret, nil
}
