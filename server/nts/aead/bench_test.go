package aead

import (
	"fmt"
	"testing"
)

var benchIDs = []ID{AESSIVCMAC256, AESSIVCMAC512, AES128GCMSIV}

func BenchmarkInit(b *testing.B) {
	for _, id := range benchIDs {
		for name, eng := range engines() {
			b.Run(fmt.Sprintf("%v/%s", id, name), func(b *testing.B) {
				key := make([]byte, id.KeyLen())
				var k Key
				b.ReportAllocs()
				for b.Loop() {
					k.init(eng, id, key)
				}
			})
		}
	}
}

// Verifies a request: 188 octets before an empty authenticator.
func BenchmarkOpen(b *testing.B) {
	for _, id := range benchIDs {
		for name, eng := range engines() {
			b.Run(fmt.Sprintf("%v/%s", id, name), func(b *testing.B) {
				k := newKey(b, eng, id, make([]byte, id.KeyLen()))
				nonce, ad := make([]byte, id.NonceLen()), make([]byte, 188)
				ct := k.Seal(nil, nonce, nil, ad)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := k.Open(ct[:0:0], nonce, ct, ad); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Seals an answer: 84 octets before the authenticator and one cookie of 104 octets
// with its field header in it.
func BenchmarkSeal(b *testing.B) {
	for _, id := range benchIDs {
		for name, eng := range engines() {
			b.Run(fmt.Sprintf("%v/%s", id, name), func(b *testing.B) {
				k := newKey(b, eng, id, make([]byte, id.KeyLen()))
				nonce, ad, plain := make([]byte, id.NonceLen()), make([]byte, 84), make([]byte, 104)
				out := make([]byte, 0, 128)
				b.ReportAllocs()
				for b.Loop() {
					k.Seal(out, nonce, plain, ad)
				}
			})
		}
	}
}

// The AEAD work of one NTS request: open the cookie, expand both session keys,
// verify, seal a cookie and the answer. The cookie key is AES-SIV-CMAC-256 and
// expanded once.
func BenchmarkRequest(b *testing.B) {
	for _, id := range benchIDs {
		for name, eng := range engines() {
			b.Run(fmt.Sprintf("%v/%s", id, name), func(b *testing.B) {
				ring := newKey(b, eng, AESSIVCMAC256, make([]byte, 32))
				secret, cookieNonce := make([]byte, 2*id.KeyLen()), make([]byte, 20)
				cookie := ring.Seal(nil, cookieNonce, secret, nil)
				nonce, ad, plain := make([]byte, id.NonceLen()), make([]byte, 48+36+4+20+len(cookie)), make([]byte, 4+20+len(cookie))
				tag := newKey(b, eng, id, secret[:id.KeyLen()]).Seal(nil, nonce, nil, ad)
				var c2s, s2c Key
				room, out := make([]byte, 0, 256), make([]byte, 0, 512)
				b.ReportAllocs()
				for b.Loop() {
					keys, err := ring.Open(room, cookieNonce, cookie, nil)
					if err != nil {
						b.Fatal(err)
					}
					c2s.init(eng, id, keys[:id.KeyLen()])
					s2c.init(eng, id, keys[id.KeyLen():])
					if _, err := c2s.Open(out, nonce, tag, ad); err != nil {
						b.Fatal(err)
					}
					ring.Seal(out, cookieNonce, keys, nil)
					s2c.Seal(out, nonce, plain, ad[:84])
				}
			})
		}
	}
}
