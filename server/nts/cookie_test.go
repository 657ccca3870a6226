package nts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"noonmark/server/nts/aead"
)

var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testRing(t testing.TB) *Ring {
	t.Helper()
	r, err := NewRing(RingConfig{}, t0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testSession(id aead.ID) *SessionKeys {
	s := &SessionKeys{AEAD: id}
	for i := range id.KeyLen() {
		s.C2S[i], s.S2C[i] = byte(i+1), byte(0x80+i)
	}
	return s
}

func TestCookieRoundTrip(t *testing.T) {
	t.Parallel()
	var scratch Scratch
	k := testRing(t).Load()
	for _, c := range []struct {
		id aead.ID
		n  int
	}{{0, 0}, {16, 0}, {aead.AESSIVCMAC256, 100}, {aead.AESSIVCMAC512, 164}, {aead.AES128GCMSIV, 68}} {
		if CookieLen(c.id) != c.n || c.n%4 != 0 {
			t.Errorf("%v: CookieLen = %d", c.id, CookieLen(c.id))
		}
		a, err := k.SealCookie([]byte("before"), testSession(c.id), &scratch)
		if c.n == 0 {
			if !errors.Is(err, UnsupportedAEAD) || string(a) != "before" {
				t.Errorf("%v: %q, %v", c.id, a, err)
			}
			continue
		}
		if err != nil || string(a[:6]) != "before" || len(a) != 6+c.n {
			t.Fatalf("%v: %d octets, %v", c.id, len(a), err)
		}
		a = a[6:]
		b, err := k.SealCookie(nil, testSession(c.id), &scratch)
		if err != nil || bytes.Equal(a[4:20], b[4:20]) || bytes.Equal(a[20:], b[20:]) {
			t.Errorf("%v: two cookies have the same nonce or ciphertext", c.id)
		}
		for _, secret := range [][]byte{{1, 2, 3, 4}, {0x80, 0x81, 0x82, 0x83}} {
			if bytes.Contains(a, secret) {
				t.Errorf("%v: a key is legible in %x", c.id, a)
			}
		}
		got := SessionKeys{C2S: [64]byte{63: 1}}
		want := *testSession(c.id)
		want.C2S[63] = got.C2S[63]
		if c.id == aead.AESSIVCMAC512 {
			want.C2S[63] = 64
		}
		if err := k.OpenCookie(a, &got, &scratch); err != nil || got != want {
			t.Errorf("%v: %v, session keys %x, want %x", c.id, err, got.C2S, want.C2S)
		}
	}
}

func TestInvalidCookieIsRefused(t *testing.T) {
	t.Parallel()
	var scratch Scratch
	ring := testRing(t)
	k := ring.Load()
	foreign, err := testRing(t).Load().SealCookie(nil, testSession(aead.AESSIVCMAC256), &scratch)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range allAEADs {
		good, err := k.SealCookie(nil, testSession(id), &scratch)
		if err != nil {
			t.Fatal(err)
		}
		var s SessionKeys
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			err := k.OpenCookie(bad, &s, &scratch)
			want := CookieFailed
			switch {
			case i < 3:
				want = UnknownCookieKey
			case i == 3:
				want = BadCookie // another AEAD, or none
			}
			if !errors.Is(err, want) || !want.NAK() {
				t.Errorf("%v, octet %d: %v, want %v", id, i, err, want)
			}
		}
		for n := range len(good) {
			if err := k.OpenCookie(good[:n], &s, &scratch); !errors.Is(err, BadCookie) {
				t.Errorf("%v, cut to %d: %v", id, n, err)
			}
		}
		if err := k.OpenCookie(append(good, 0, 0, 0, 0), &s, &scratch); !errors.Is(err, BadCookie) {
			t.Errorf("%v, padded: %v", id, err)
		}
		if s != (SessionKeys{}) {
			t.Errorf("%v: a refused cookie wrote session keys", id)
		}
	}
	var s SessionKeys
	if err := k.OpenCookie(foreign, &s, &scratch); !errors.Is(err, UnknownCookieKey) {
		t.Errorf("a foreign cookie: %v", err)
	}
	// Two keys with one identifier: both open theirs.
	twin := *k
	twin.entries = append([]entry(nil), k.entries...)
	twin.entries[0].id = twin.entries[1].id
	a, err := twin.SealCookie(nil, testSession(aead.AESSIVCMAC256), &scratch)
	if err != nil {
		t.Fatal(err)
	}
	last := Keys{entries: []entry{twin.entries[1], twin.entries[0]}}
	if err := last.OpenCookie(a, &s, &scratch); err != nil {
		t.Errorf("the second of two keys with one identifier: %v", err)
	}
}

func TestCookiesDoNotAllocate(t *testing.T) {
	for _, id := range allAEADs {
		x := newExchange(t, testRing(t).Load(), id)
		var probe aead.Key
		if n := testing.AllocsPerRun(1, func() { probe.Init(id, make([]byte, 0, 64)[:id.KeyLen()]) }); n != 0 {
			t.Skip("aead works over crypto/aes here, which allocates")
		}
		if n := testing.AllocsPerRun(300, func() {
			if err := x.serve(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations per request", id, n)
		}
	}
}

func TestScratchNeverRepeats(t *testing.T) {
	t.Parallel()
	var s Scratch
	seen := make(map[[16]byte]bool)
	for i := range 2000 {
		n := []int{16, 12, 16, 32}[i%4]
		b := s.Random(n)
		if len(b) != n || cap(b) != n {
			t.Fatalf("asked for %d octets, got %d of %d", n, len(b), cap(b))
		}
		if n < 16 {
			continue
		}
		if k := [16]byte(b); seen[k] {
			t.Fatalf("octets handed out twice after %d draws", i)
		} else {
			seen[k] = true
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	ring := testRing(t)
	s := SessionKeys{AEAD: aead.AESSIVCMAC256}
	for i := range s.C2S {
		s.C2S[i], s.S2C[i] = 0xab, 0xab
	}
	ring.roots[0].secret = [32]byte(bytes.Repeat([]byte{0xab}, 32))
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "s", s, "sp", &s, "ring", ring, "keys", ring.Load())
	}
	j, err := json.Marshal(map[string]any{"s": s, "ring": ring, "keys": ring.Load()})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(j)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, struct{ S SessionKeys }{s}, ring, ring.Load(), ring.List()} {
			out += fmt.Sprintf(verb+"\n", v)
		}
	}
	for _, secret := range []string{"abababab", "ABABABAB", "171 171", "171, 171", "\\xab\\xab", "q6urq6ur", "\xab\xab"} {
		if strings.Contains(out, secret) {
			t.Errorf("a secret is printed as %s in\n%s", secret, out)
		}
	}
}

func TestEachReasonHasItsWord(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := range numReasons {
		w := r.String()
		if w == "" || seen[w] || strings.ToLower(w) != w || strings.ContainsAny(w, " -") {
			t.Errorf("reason %d has the label %q", r, w)
		}
		seen[w] = true
	}
	if Reason(200).String() != "unknown" || BadAuthenticator.NAK() || !AuthFailed.NAK() {
		t.Error("reasons are mixed up")
	}
}

func FuzzOpenCookie(f *testing.F) {
	ring, err := NewRing(RingConfig{}, t0)
	if err != nil {
		f.Fatal(err)
	}
	k := ring.Load()
	var scratch Scratch
	for _, id := range allAEADs {
		c, err := k.SealCookie(nil, testSession(id), &scratch)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c, uint8(0))
	}
	f.Fuzz(func(t *testing.T, c []byte, fix uint8) {
		if fix%2 == 1 && len(c) > 3 { // get past the cheap checks
			id := k.entries[int(fix/2)%len(k.entries)].id
			c[0], c[1], c[2] = byte(id>>16), byte(id>>8), byte(id)
		}
		var s SessionKeys
		err := k.OpenCookie(c, &s, &scratch)
		if r := Reason(0); err != nil && (!errors.As(err, &r) || !r.NAK()) {
			t.Fatalf("%v is no reason for a NAK", err)
		}
		if err == nil && s.AEAD != aead.ID(c[3]) {
			t.Fatalf("%v from %x", s, c)
		}
	})
}
