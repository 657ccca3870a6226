package aead

import (
	"encoding/binary"
	"math/bits"
)

// gf is an element of the field of POLYVAL (RFC 8452, section 3): the coefficient of
// x^i is bit i of the 128-bit little-endian number.
type gf struct{ lo, hi uint64 }

func loadGF(b []byte) gf {
	return gf{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (a gf) bytes() (b block) {
	binary.LittleEndian.PutUint64(b[:8], a.lo)
	binary.LittleEndian.PutUint64(b[8:], a.hi)
	return b
}

// update adds p, padded with zeros to whole blocks, to the hash.
func (a *gf) update(h gf, p []byte) {
	for len(p) >= 16 {
		a.lo ^= binary.LittleEndian.Uint64(p)
		a.hi ^= binary.LittleEndian.Uint64(p[8:])
		a.mul(h)
		p = p[16:]
	}
	if len(p) > 0 {
		var b block
		copy(b[:], p)
		a.update(h, b[:])
	}
}

// mul is the dot operation of RFC 8452: a * h * x^-128 mod x^128 + x^127 + x^126 + x^121 + 1,
// in constant time.
func (a *gf) mul(h gf) {
	l1, l0 := clmul(a.lo, h.lo)
	h1, h0 := clmul(a.hi, h.hi)
	m1, m0 := clmul(a.lo^a.hi, h.lo^h.hi) // Karatsuba
	m0 ^= l0 ^ h0
	m1 ^= l1 ^ h1
	r0, r1, r2, r3 := l0, l1^m0, h0^m1, h1
	// The modulus is 1 mod x^64 and therefore its own Montgomery factor.
	r1 ^= r0<<57 ^ r0<<62 ^ r0<<63
	r2 ^= r0 ^ r0>>7 ^ r0>>2 ^ r0>>1
	r2 ^= r1<<57 ^ r1<<62 ^ r1<<63
	r3 ^= r1 ^ r1>>7 ^ r1>>2 ^ r1>>1
	a.lo, a.hi = r2, r3
}

// clmul returns the carry-less product of x and y. In integer products of numbers
// with three of every four bits masked off, carries do not reach the bits that are
// used (as in BearSSL's ctmul64). The high half is the low half of the reversed
// product.
func clmul(x, y uint64) (hi, lo uint64) {
	return bits.Reverse64(clmulLow(bits.Reverse64(x), bits.Reverse64(y))) >> 1, clmulLow(x, y)
}

func clmulLow(x, y uint64) uint64 {
	const m0, m1, m2, m3 = 0x1111111111111111, 0x2222222222222222, 0x4444444444444444, 0x8888888888888888
	x0, x1, x2, x3 := x&m0, x&m1, x&m2, x&m3
	y0, y1, y2, y3 := y&m0, y&m1, y&m2, y&m3
	return (x0*y0^x1*y3^x2*y2^x3*y1)&m0 |
		(x0*y1^x1*y0^x2*y3^x3*y2)&m1 |
		(x0*y2^x1*y1^x2*y0^x3*y3)&m2 |
		(x0*y3^x1*y2^x2*y1^x3*y0)&m3
}
