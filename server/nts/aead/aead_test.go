package aead

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/facebook/time/ntp/protocol/nts/aessiv"
	siv "github.com/secure-io/siv-go"
)

var allIDs = []ID{AESSIVCMAC256, AESSIVCMAC512, AES128GCMSIV}

// seeded returns a generator and prints its seed.
func seeded(t testing.TB) *mrand.ChaCha8 {
	var seed [32]byte
	rand.Read(seed[:])
	t.Logf("seed %x", seed)
	return mrand.NewChaCha8(seed)
}

func octets(r *mrand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	r.Read(b)
	return b
}

func TestInitRefusesWrongKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id ID
		n  int
	}{
		{0, 32}, {16, 48}, {31, 32}, {65535, 0},
		{AESSIVCMAC256, 0}, {AESSIVCMAC256, 31}, {AESSIVCMAC256, 33}, {AESSIVCMAC256, 64},
		{AESSIVCMAC512, 32}, {AES128GCMSIV, 32}, {AES128GCMSIV, 15},
	} {
		var k Key
		if err := k.Init(c.id, make([]byte, c.n)); err == nil {
			t.Errorf("%v takes a key of %d octets", c.id, c.n)
		}
		if _, err := k.Open(nil, make([]byte, 12), make([]byte, 16), nil); !errors.Is(err, ErrOpen) {
			t.Errorf("%v: a key that was never expanded opens: %v", c.id, err)
		}
	}
}

func TestPropertiesOfEachAEAD(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id                    ID
		name                  string
		key, nonce, over, max int
		sup                   bool
	}{
		{0, "AEAD-0", 0, 0, 0, 0, false},
		{16, "AEAD-16", 0, 0, 0, 0, false},
		{AESSIVCMAC256, "AES-SIV-CMAC-256", 32, 16, 16, 16, true},
		{AESSIVCMAC512, "AES-SIV-CMAC-512", 64, 16, 16, 16, true},
		{AES128GCMSIV, "AES-128-GCM-SIV", 16, 12, 16, 12, true},
	} {
		if g := c.id; g.String() != c.name || g.KeyLen() != c.key || g.NonceLen() != c.nonce ||
			g.Overhead() != c.over || g.NonceMax() != c.max || g.Supported() != c.sup {
			t.Errorf("%v: %d %d %d %d %v", g, g.KeyLen(), g.NonceLen(), g.Overhead(), g.NonceMax(), g.Supported())
		}
		for _, n := range []int{0, 1, 11, 12, 13, 16, 200} {
			want := c.key > 16 && n >= 1 || c.id == AES128GCMSIV && n == 12
			if c.id.NonceOK(n) != want {
				t.Errorf("%v: nonce of %d octets: %v", c.id, n, !want)
			}
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	var k Key
	if err := k.Init(AESSIVCMAC256, bytes.Repeat([]byte{0x41}, 32)); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{k, &k, struct{ K Key }{k}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "4141") || strings.Contains(s, "65 65") || strings.Contains(s, "AAAA") {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}

// Every combination of short lengths, with every engine. Buffers are at odd
// addresses, and the octets around them must not change.
func TestEnginesAgreeOnShortLengths(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	for _, id := range allIDs {
		key := octets(r, id.KeyLen())
		keys := make(map[string]*Key)
		for name, eng := range engines() {
			keys[name] = newKey(t, eng, id, key)
		}
		nonces := []int{16, 0, 1, 5, 15, 17, 20, 32, 33}
		if id == AES128GCMSIV {
			nonces = []int{12}
		}
		for _, nl := range nonces {
			step := 1
			if nl != nonces[0] {
				step = 7
			}
			for al := 0; al <= 68; al += step {
				for pl := 0; pl <= 100; pl += step {
					off := (al + pl) % 16
					nonce, ad, plain := octets(r, nl+off)[off:], octets(r, al+off)[off:], octets(r, pl+off)[off:]
					want := keys["std"].Seal(nil, nonce, plain, ad)
					for name, k := range keys {
						buf := bytes.Repeat([]byte{0xee}, off+pl+16+32)
						got := k.Seal(buf[:off], nonce, plain, ad)
						if !bytes.Equal(got[off:], want) {
							t.Fatalf("%v %s, nonce %d, ad %d, plaintext %d:\n%x\n%x", id, name, nl, al, pl, got[off:], want)
						}
						if !bytes.Equal(buf[off+pl+16:], bytes.Repeat([]byte{0xee}, 32)) || len(bytes.TrimRight(buf[:off], "\xee")) != 0 {
							t.Fatalf("%v %s, plaintext %d: wrote outside of its room", id, name, pl)
						}
						buf = bytes.Repeat([]byte{0xee}, off+pl+32)
						back, err := k.Open(buf[:off], nonce, want, ad)
						if err != nil || !bytes.Equal(back[off:], plain) {
							t.Fatalf("%v %s, nonce %d, ad %d, plaintext %d: open = %x, %v", id, name, nl, al, pl, back, err)
						}
						if !bytes.Equal(buf[off+pl:], bytes.Repeat([]byte{0xee}, 32)) || len(bytes.TrimRight(buf[:off], "\xee")) != 0 {
							t.Fatalf("%v %s, plaintext %d: wrote outside of its room", id, name, pl)
						}
					}
				}
			}
		}
	}
}

// Every bit of ciphertext, nonce and associated data is flipped, and each is
// truncated and extended: nothing opens, and no plaintext is left.
func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	eachEngine(t, func(t *testing.T, eng engine) {
		for _, id := range allIDs {
			k := newKey(t, eng, id, octets(r, id.KeyLen()))
			nonce, ad, plain := octets(r, id.NonceLen()), octets(r, 21), octets(r, 37)
			ct := k.Seal(nil, nonce, plain, ad)
			refuse := func(what string, nonce, ct, ad []byte) {
				t.Helper()
				room := bytes.Repeat([]byte{0xee}, 64)
				got, err := k.Open(room[:0], nonce, ct, ad)
				if !errors.Is(err, ErrOpen) || got != nil {
					t.Errorf("%v: %s: %x, %v", id, what, got, err)
				}
				for _, c := range room[:max(0, len(ct)-16)] {
					if c != 0 && len(nonce) == id.NonceLen() {
						t.Fatalf("%v: %s: plaintext is left in %x", id, what, room)
					}
				}
			}
			for what, b := range map[string][]byte{"nonce": nonce, "ciphertext": ct, "associated data": ad} {
				for i := range 8 * len(b) {
					b[i/8] ^= 1 << (i % 8)
					refuse(fmt.Sprintf("bit %d of the %s", i, what), nonce, ct, ad)
					b[i/8] ^= 1 << (i % 8)
				}
			}
			for n := range len(ct) {
				refuse(fmt.Sprintf("ciphertext cut to %d", n), nonce, ct[:n], ad)
			}
			refuse("longer ciphertext", nonce, append(ct[:len(ct):len(ct)], 0), ad)
			refuse("longer associated data", nonce, ct, append(ad[:len(ad):len(ad)], 0))
			refuse("shorter nonce", nonce[:len(nonce)-1], ct, ad)
			refuse("no nonce", nil, ct, ad)
			if got, err := k.Open(nil, nonce, ct, ad); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v: after all that the true one does not open: %v", id, err)
			}
		}
	})
}

func TestSealAndOpenInPlace(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	eachEngine(t, func(t *testing.T, eng engine) {
		for _, id := range allIDs {
			k := newKey(t, eng, id, octets(r, id.KeyLen()))
			shift := 16 // the tag comes first
			if id == AES128GCMSIV {
				shift = 0
			}
			for n := range 200 {
				nonce, ad, plain := octets(r, id.NonceLen()), octets(r, n/2), octets(r, n)
				want := k.Seal(nil, nonce, plain, ad)
				buf := make([]byte, n+16)
				copy(buf[shift:], plain)
				if got := k.Seal(buf[:0], nonce, buf[shift:shift+n], ad); !bytes.Equal(got, want) || &got[0] != &buf[0] {
					t.Fatalf("%v: sealing %d octets in place: %x, want %x", id, n, got, want)
				}
				got, err := k.Open(buf[shift:shift], nonce, buf, ad)
				if err != nil || !bytes.Equal(got, plain) || n > 0 && &got[0] != &buf[shift] {
					t.Fatalf("%v: opening %d octets in place: %x, %v", id, n, got, err)
				}
			}
		}
	})
}

// The oracles are siv-go (all three AEADs) and facebook's aessiv. siv-go's assembly
// faults on unaligned sources, so it gets copies in memory of its own.
func TestEnginesAgreeWithOracles(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	eachEngine(t, func(t *testing.T, eng engine) {
		for _, id := range allIDs {
			for n := range 300 {
				key := octets(r, id.KeyLen())
				nonce, ad, plain := octets(r, id.NonceLen()), octets(r, n*7%260), octets(r, n)
				got := newKey(t, eng, id, key).Seal(nil, nonce, plain, ad)
				if want := oracle(t, id, key, nonce, plain, ad); !bytes.Equal(got, want) {
					t.Fatalf("%v, %d octets: %x, siv-go has %x", id, n, got, want)
				}
				if id != AESSIVCMAC256 {
					continue
				}
				fb, err := aessiv.NewAESSIV(key)
				if err != nil {
					t.Fatal(err)
				}
				if want, err := fb.Seal(nil, plain, ad, nonce); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%v, %d octets: %x, aessiv has %x, %v", id, n, got, want, err)
				}
			}
		}
	})
}

// aligned returns a copy of b on an address that is a multiple of 64: Go's
// allocator gives that to objects of 128 octets and more of a power of two.
func aligned(b []byte) []byte {
	n := 128
	for n < len(b) {
		n *= 2
	}
	return append(make([]byte, 0, n), b...)
}

func oracle(t testing.TB, id ID, key, nonce, plain, ad []byte) []byte {
	t.Helper()
	mk := siv.NewCMAC
	if id == AES128GCMSIV {
		mk = siv.NewGCM
	}
	a, err := mk(aligned(key))
	if err != nil {
		t.Fatal(err)
	}
	return a.Seal(nil, aligned(nonce), aligned(plain), aligned(ad))
}

func TestAssemblyDoesNotAllocate(t *testing.T) {
	if !haveHW {
		t.Skip("no assembly engine on this processor: crypto/aes allocates")
	}
	for _, id := range allIDs {
		key, nonce, ad, plain := make([]byte, id.KeyLen()), make([]byte, id.NonceLen()), make([]byte, 84), make([]byte, 104)
		sealed, opened := make([]byte, 0, 120), make([]byte, 0, 104)
		if n := testing.AllocsPerRun(100, func() {
			var k Key
			if err := k.Init(id, key); err != nil {
				t.Fatal(err)
			}
			ct := k.Seal(sealed, nonce, plain, ad)
			if _, err := k.Open(opened, nonce, ct, ad); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", id, n)
		}
	}
}

func TestSealPanicsOnAWrongNonce(t *testing.T) {
	t.Parallel()
	var ready Key
	if err := ready.Init(AES128GCMSIV, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func(){
		"a key that was never expanded": func() { new(Key).Seal(nil, make([]byte, 16), nil, nil) },
		"a nonce of 16 octets":          func() { ready.Seal(nil, make([]byte, 16), nil, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("sealing with %s", what)
				}
			}()
			f()
		}()
	}
}

// Workers share cookie keys. Run it under the race detector.
func TestKeyIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, eng engine) {
		for _, id := range allIDs {
			k := newKey(t, eng, id, make([]byte, id.KeyLen()))
			nonce, plain := make([]byte, id.NonceLen()), make([]byte, 68)
			want := k.Seal(nil, nonce, plain, nil)
			done := make(chan bool)
			for range 4 {
				go func() {
					ok := true
					for range 50 {
						ok = ok && bytes.Equal(k.Seal(nil, nonce, plain, nil), want)
						_, err := k.Open(nil, nonce, want, nil)
						ok = ok && err == nil
					}
					done <- ok
				}()
			}
			for range 4 {
				select {
				case ok := <-done:
					if !ok {
						t.Errorf("%v: a shared key gives different results", id)
					}
				case <-time.After(time.Minute):
					t.Fatal("stuck")
				}
			}
		}
	})
}

// Every engine and siv-go get the same input.
func FuzzDifferential(f *testing.F) {
	f.Add(uint8(0), make([]byte, 64), make([]byte, 16), []byte("plaintext"), []byte("associated data"), uint16(3))
	f.Add(uint8(1), []byte{}, []byte{}, []byte{}, []byte{}, uint16(0))
	f.Add(uint8(2), []byte{1}, []byte{3}, make([]byte, 65), make([]byte, 31), uint16(99))
	f.Fuzz(func(t *testing.T, which uint8, key, nonce, plain, ad []byte, flip uint16) {
		id := allIDs[int(which)%len(allIDs)]
		key = append(make([]byte, 0, 64), key...)[:min(len(key), id.KeyLen())]
		key = append(key, make([]byte, id.KeyLen()-len(key))...)
		if id == AES128GCMSIV {
			nonce = append(nonce[:min(len(nonce), 12):min(len(nonce), 12)], make([]byte, 12-min(len(nonce), 12))...)
		}
		want := newKey(t, engineStd, id, key).Seal(nil, nonce, plain, ad)
		// siv-go takes nonces of 16 octets or none, and then drops empty associated
		// data, which RFC 5297, section 3 and Wycheproof count as a component.
		if id == AES128GCMSIV || len(nonce) == 16 || len(nonce) == 0 && len(ad) > 0 {
			if o := oracle(t, id, key, nonce, plain, ad); !bytes.Equal(o, want) {
				t.Fatalf("std %x, siv-go %x", want, o)
			}
		}
		for name, eng := range engines() {
			k := newKey(t, eng, id, key)
			if got := k.Seal(nil, nonce, plain, ad); !bytes.Equal(got, want) {
				t.Fatalf("%s: %x, want %x", name, got, want)
			}
			if got, err := k.Open(nil, nonce, want, ad); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s: open = %x, %v", name, got, err)
			}
			bad := bytes.Clone(want)
			bad[int(flip)%len(bad)] ^= 1 << (flip % 8)
			if _, err := k.Open(nil, nonce, bad, ad); err == nil {
				t.Fatalf("%s: a changed ciphertext opens", name)
			}
		}
	})
}
