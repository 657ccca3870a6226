package nts

import (
	"testing"
	"time"

	"noonmark/server/nts/aead"
)

// All cryptography of one answered request: open the cookie, expand both keys,
// verify the request (header, unique identifier and cookie before the
// authenticator), draw nonces, seal a cookie and the answer.
func BenchmarkRequest(b *testing.B) {
	for _, id := range []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512, aead.AES128GCMSIV} {
		b.Run(id.String(), func(b *testing.B) {
			ring, err := NewRing(RingConfig{}, time.Unix(1800000000, 0))
			if err != nil {
				b.Fatal(err)
			}
			x := newExchange(b, ring.Load(), id)
			b.ReportAllocs()
			for b.Loop() {
				if err := x.serve(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// exchange is a request and what a worker keeps to answer it.
type exchange struct {
	ring    *Keys
	scratch Scratch
	c2s     aead.Key
	s2c     aead.Key

	req    []byte
	cookie []byte // in req
	auth   int    // where the authenticator begins
	plain  [512]byte
	out    [1024]byte
}

func newExchange(tb testing.TB, ring *Keys, id aead.ID) *exchange {
	tb.Helper()
	x := &exchange{ring: ring}
	s := SessionKeys{AEAD: id}
	for i := range s.C2S {
		s.C2S[i], s.S2C[i] = byte(i), byte(100+i)
	}
	cookie, err := ring.SealCookie(nil, &s, &x.scratch)
	if err != nil {
		tb.Fatal(err)
	}
	x.req = append(x.req, make([]byte, 48)...)
	x.req = appendField(x.req, 0x0104, make([]byte, 32))
	x.req = appendField(x.req, 0x0204, cookie)
	x.auth = len(x.req)
	x.cookie = x.req[x.auth-len(cookie):]
	var k aead.Key
	if err := k.Init(id, s.C2S[:id.KeyLen()]); err != nil {
		tb.Fatal(err)
	}
	x.req = AppendAuth(x.req, &k, make([]byte, id.NonceLen()), nil)
	return x
}

func appendField(dst []byte, typ uint16, body []byte) []byte {
	n := 4 + len(body)
	dst = append(dst, byte(typ>>8), byte(typ), byte(n>>8), byte(n))
	return append(dst, body...)
}

func (x *exchange) serve() error {
	var s SessionKeys
	if err := x.ring.OpenCookie(x.cookie, &s, &x.scratch); err != nil {
		return err
	}
	n := s.AEAD.KeyLen()
	if err := x.c2s.Init(s.AEAD, s.C2S[:n]); err != nil {
		return err
	}
	if _, err := OpenRequestAuth(x.req, x.auth, len(x.req), &x.c2s, x.plain[:0]); err != nil {
		return err
	}
	if err := x.s2c.Init(s.AEAD, s.S2C[:n]); err != nil {
		return err
	}
	c := CookieLen(s.AEAD) + 4
	plain, err := x.ring.SealCookie(append(x.plain[:0], 0x02, 0x04, byte(c>>8), byte(c)), &s, &x.scratch)
	if err != nil {
		return err
	}
	AppendAuth(x.out[:84], &x.s2c, x.scratch.Random(s.AEAD.NonceLen()), plain)
	return nil
}
