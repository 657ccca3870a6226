//go:build (amd64 || arm64) && !purego

package aead

import (
	"bytes"
	"testing"
)

// Counters have 32 bits in AES-GCM-SIV (RFC 8452, section 4), and 31 and 63 masked
// bits in AES-SIV.
func TestEnginesAgreeWhereCountersWrap(t *testing.T) {
	t.Parallel()
	if !haveHW {
		t.Skip("no assembly engine on this processor")
	}
	r := seeded(t)
	src := octets(r, 301)
	ff := func(b block, at ...int) block {
		for _, i := range at {
			b[i] = 0xff
		}
		return b
	}
	ivs := []block{
		block(bytes.Repeat([]byte{0xff}, 16)), ff(block{}, 0, 1, 2, 3), ff(block{}, 12, 13, 14, 15), ff(block{}, 8, 9, 10, 11, 12, 13, 14, 15),
		ff(block{}, 13, 14, 15), {0: 0xfd, 1: 0xff, 2: 0xff, 3: 0xff},
	}
	for _, n := range []int{1, 16, 33, 64, 65, 300, 301} {
		for _, iv := range ivs {
			for _, id := range allIDs {
				key := octets(r, id.KeyLen())
				std := newStdKey(id, key)
				var hw hwKey
				hw.init(id, key)
				want, got, v := make([]byte, n), make([]byte, n), iv
				switch id {
				case AESSIVCMAC256:
					std.xorCTR(want, src[:n], iv)
					ctrSIV128(&hw, &v, got, src[:n])
				case AESSIVCMAC512:
					std.xorCTR(want, src[:n], iv)
					ctrSIV256(&hw, &v, got, src[:n])
				case AES128GCMSIV:
					var m gcmKeys
					expand128(&m.enc, &key[0])
					gcmCTR(mustAES(key), want, src[:n], iv)
					ctrGCM(&m, &v, got, src[:n])
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("%v, %d octets from %x: %x, want %x", id, n, iv, got, want)
				}
			}
		}
	}
}

// Against the key schedules of FIPS 197, appendix A, the subkeys of CMAC, and the
// message keys of RFC 8452, appendix C.1.
func TestAssemblyKeySchedules(t *testing.T) {
	t.Parallel()
	if !haveHW {
		t.Skip("no assembly engine on this processor")
	}
	key128 := unhex(t, "2b7e151628aed2a6abf7158809cf4f3c")
	key256 := unhex(t, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
	const last128, last256 = "d014f9a8c9ee2589e13f0cc8b6630ca6", "fe4890d1e6188d0b046df344706c631e"

	var k hwKey
	expand128(&k.mac, &key128[0])
	if got := hexOf(block(k.mac[160:])); got != last128 {
		t.Errorf("AES-128: last round key %s", got)
	}
	for _, c := range []struct {
		id   ID
		half []byte
		n    int
		last string
	}{{AESSIVCMAC256, key128, 160, last128}, {AESSIVCMAC512, key256, 224, last256}} {
		key := append(bytes.Clone(c.half), c.half...)
		std := newStdKey(c.id, key)
		k.init(c.id, key)
		for name, s := range map[string]*schedule{"S2V": &k.mac, "CTR": &k.ctr} {
			if got := hexOf(block(s[c.n:])); got != c.last {
				t.Errorf("%v: last round key for %s %s, want %s", c.id, name, got, c.last)
			}
		}
		if k.k1 != std.k1 || k.k2 != std.k2 || k.zero != std.zero {
			t.Errorf("%v: %x %x %x, want %x %x %x", c.id, k.k1, k.k2, k.zero, std.k1, std.k2, std.zero)
		}
	}

	master, nonce := unhex(t, "01000000000000000000000000000000"), unhex(t, "030000000000000000000000")
	var m gcmKeys
	expand128(&k.mac, &master[0])
	gcmDerive(&m, &k.mac, &nonce[0])
	if h, e := hexOf(m.h), hexOf(block(m.enc[:])); h != "d9b360279694941ac5dbc6987ada7377" || e != "4004a0dcd862f2a57360219d2d44ef6c" {
		t.Errorf("message keys %s, %s", h, e)
	}
}
