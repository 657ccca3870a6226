package nts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"noonmark/server/nts/aead"
)

var allAEADs = []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512, aead.AES128GCMSIV}

func testKey(t testing.TB, id aead.ID) *aead.Key {
	t.Helper()
	k := new(aead.Key)
	if err := k.Init(id, bytes.Repeat([]byte{7}, id.KeyLen())); err != nil {
		t.Fatal(err)
	}
	return k
}

// field makes an authenticator field of the given parts, its length as typ and
// n say.
func field(nonceLen, ctLen int, rest []byte) []byte {
	b := []byte{0x04, 0x04, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(nonceLen))
	b = binary.BigEndian.AppendUint16(b, uint16(ctLen))
	b = append(b, rest...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func TestMalformedAuthenticatorIsRefused(t *testing.T) {
	t.Parallel()
	head := bytes.Repeat([]byte{9}, 84)
	siv, gcm := testKey(t, aead.AESSIVCMAC256), testKey(t, aead.AES128GCMSIV)
	good := AppendAuth(bytes.Clone(head), siv, make([]byte, 16), nil)
	// A nonce of 8 octets with and without its additional padding.
	short := AppendAuth(bytes.Clone(head), siv, make([]byte, 8), nil)
	tight := bytes.Clone(short[:len(short)-8])
	binary.BigEndian.PutUint16(tight[86:], uint16(len(tight)-84))

	for _, c := range []struct {
		name       string
		pkt        []byte
		start, end int // end 0: of the packet
		key        *aead.Key
		request    bool
		want       error
	}{
		{"start before the packet", good, -1, 0, siv, true, BadAuthenticator},
		{"end after the packet", good, 84, len(good) + 4, siv, true, BadAuthenticator},
		{"start after the end", good, 90, 84, siv, true, BadAuthenticator},
		{"no room for the lengths", good, 84, 88, siv, true, BadAuthenticator},
		{"end inside of the field", good, 84, len(good) - 4, siv, true, BadAuthenticator},
		{"another type", append(bytes.Clone(head), 0x01, 0x04, 0, 8, 0, 0, 0, 0), 84, 0, siv, true, BadAuthenticator},
		{"nothing inside", append(bytes.Clone(head), field(0, 0, nil)...), 84, 0, siv, true, BadNonce},
		{"nonce outside", append(bytes.Clone(head), field(17, 0, make([]byte, 16))...), 84, 0, siv, true, BadAuthenticator},
		{"huge nonce", append(bytes.Clone(head), field(0xffff, 16, make([]byte, 32))...), 84, 0, siv, true, BadAuthenticator},
		{"huge ciphertext", append(bytes.Clone(head), field(16, 0xffff, make([]byte, 32))...), 84, 0, siv, true, BadAuthenticator},
		{"ciphertext outside because of the nonce's padding", append(bytes.Clone(head), field(13, 17, make([]byte, 32))...), 84, 0, siv, true, BadAuthenticator},
		{"no nonce", append(bytes.Clone(head), field(0, 16, make([]byte, 32))...), 84, 0, siv, true, BadNonce},
		{"nonce of 16 for AES-GCM-SIV", append(bytes.Clone(head), field(16, 16, make([]byte, 32))...), 84, 0, gcm, true, BadNonce},
		{"ciphertext shorter than a tag", append(bytes.Clone(head), field(16, 15, make([]byte, 32))...), 84, 0, siv, true, BadAuthenticator},
		{"a request without additional padding", tight, 84, 0, siv, true, ShortPadding},
		{"an answer needs none, but this one's header changed", append(bytes.Repeat([]byte{8}, 84), tight[84:]...), 84, 0, siv, false, AuthFailed},
		{"zeros", append(bytes.Clone(head), field(16, 16, make([]byte, 32))...), 84, 0, siv, true, AuthFailed},
		{"another key", good, 84, 0, testKey(t, aead.AESSIVCMAC512), true, AuthFailed},
		{"one octet of the header changed", append([]byte{8}, good[1:]...), 84, 0, siv, true, AuthFailed},
		{"good", good, 84, 0, siv, true, nil},
		{"short nonce with its padding", short, 84, 0, siv, true, nil},
		{"answer with a short nonce and without padding", tight, 84, 0, siv, false, nil},
		{"something follows the field", append(bytes.Clone(good), 1, 2, 3, 4), 84, len(good), siv, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.end == 0 {
				c.end = len(c.pkt)
			}
			before := bytes.Clone(c.pkt)
			open := OpenAuth
			if c.request {
				open = OpenRequestAuth
			}
			plain, err := open(c.pkt, c.start, c.end, c.key, nil)
			if !errors.Is(err, c.want) || len(plain) != 0 {
				t.Errorf("%x, %v, want %v", plain, err, c.want)
			}
			if !bytes.Equal(before, c.pkt) {
				t.Error("the packet changed")
			}
		})
	}
}

func TestAuthenticatorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, id := range allAEADs {
		k := testKey(t, id)
		for n := range 250 {
			head := bytes.Repeat([]byte{byte(n)}, 48+4*n)
			nonce, plain := bytes.Repeat([]byte{3}, id.NonceLen()), bytes.Repeat([]byte{4}, n)
			pkt := AppendAuth(bytes.Clone(head), k, nonce, plain)
			if len(pkt) != len(head)+AuthLen(id, n) || len(pkt)%4 != 0 {
				t.Fatalf("%v, %d octets: %d long, AuthLen says %d", id, n, len(pkt)-len(head), AuthLen(id, n))
			}
			if !bytes.Equal(pkt[:len(head)], head) || int(binary.BigEndian.Uint16(pkt[len(head)+2:])) != AuthLen(id, n) {
				t.Fatalf("%v, %d octets: %x", id, n, pkt)
			}
			no, ct, err := ParseAuth(pkt[len(head)+4:])
			if err != nil || !bytes.Equal(no, nonce) || len(ct) != n+16 {
				t.Fatalf("%v, %d octets: nonce %x, ciphertext %x, %v", id, n, no, ct, err)
			}
			for _, open := range []func([]byte, int, int, *aead.Key, []byte) ([]byte, error){OpenAuth, OpenRequestAuth} {
				got, err := open(pkt, len(head), len(pkt), k, nil)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%v, %d octets: %x, %v", id, n, got, err)
				}
			}
		}
	}
}

// It uses the capacity of its destination and changes nothing behind it.
func TestAppendAuthWritesInPlace(t *testing.T) {
	t.Parallel()
	k := testKey(t, aead.AESSIVCMAC256)
	room := bytes.Repeat([]byte{0xee}, 48+AuthLen(aead.AESSIVCMAC256, 21)+8)
	out := AppendAuth(room[:48], k, make([]byte, 16), make([]byte, 21))
	if &out[0] != &room[0] || len(out) != len(room)-8 || !bytes.Equal(room[len(out):], bytes.Repeat([]byte{0xee}, 8)) {
		t.Errorf("%x", room)
	}
}

// Raw packets, and the same octets as a correctly sealed plaintext.
func FuzzOpenAuth(f *testing.F) {
	f.Add([]byte{}, 0, 0, uint8(0))
	f.Add(append(make([]byte, 48), field(16, 16, make([]byte, 32))...), 48, 88, uint8(1))
	f.Fuzz(func(t *testing.T, pkt []byte, start, end int, which uint8) {
		k := testKey(t, allAEADs[int(which)%3])
		if plain, err := OpenRequestAuth(pkt, start, end, k, nil); err == nil {
			t.Fatalf("garbage authenticates: %x", plain)
		} else if r := Reason(0); !errors.As(err, &r) || r == ReasonNone {
			t.Fatalf("no reason: %v", err)
		}
		if len(pkt) > 0xff00 {
			return
		}
		head := make([]byte, 48)
		sealed := AppendAuth(head, k, make([]byte, k.ID().NonceLen()), pkt)
		plain, err := OpenRequestAuth(sealed, 48, len(sealed), k, nil)
		if err != nil || !bytes.Equal(plain, pkt) {
			t.Fatalf("%x, %v, want %x", plain, err, pkt)
		}
	})
}
