package server

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/mac"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

var aeads = []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512, aead.AES128GCMSIV}

const (
	rxMono = int64(1000e9) // arrival of a test's request, CLOCK_MONOTONIC_RAW
	txMono = rxMono + 12345
)

// t2026 is 2026-11-23 00:00:00 UTC.
var t2026 = tai.FromUnix(1795392000, 0, 37)

// locked is a snapshot whose clock reads at at rxMono.
func locked(at tai.Time) *status.Snapshot {
	return &status.Snapshot{
		State: status.Locked, Kind: status.PHCClock, PHCIndex: 3, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'},
		Mono: rxMono - 1e8, Clock: at - 1e8, Bound: 200, LineErr: 50, BoundRate: 100, Limit: time.Millisecond,
		TAIOffset: 37, RefTime: at - 3e8, RootDelay: 5 * time.Microsecond,
	}
}

// rig is a responder with one client.
type rig struct {
	*Responder
	t    testing.TB
	ring *nts.Ring
	sess nts.SessionKeys
	key  aead.Key // C2S
	s2c  aead.Key
	scr  nts.Scratch
	rnd  *rand.Rand
	uid  []byte
	tx   int64
}

func newRig(t testing.TB, id aead.ID) *rig {
	ring, err := nts.NewRing(nts.RingConfig{}, time.Unix(1795392000, 0))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := &rig{t: t, ring: ring, rnd: rand.New(rand.NewPCG(seed, 1)), uid: bytes.Repeat([]byte{0x75}, 32), tx: txMono}
	g.Responder = &Responder{Keys: ring.Load(), Sent: NewSent(), Now: func() int64 { return g.tx }}
	g.View.Set(locked(t2026), 1795392000e9, rxMono, -24)
	g.sess.AEAD = id
	n := id.KeyLen()
	for i := range n {
		g.sess.C2S[i], g.sess.S2C[i] = byte(g.rnd.Uint32()), byte(g.rnd.Uint32())
	}
	if g.key.Init(id, g.sess.C2S[:n]) != nil || g.s2c.Init(id, g.sess.S2C[:n]) != nil {
		t.Fatal("keys")
	}
	return g
}

func (g *rig) cookie() []byte {
	c, err := g.Keys.SealCookie(nil, &g.sess, &g.scr)
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// clientTx is the transmit timestamp of a test's requests.
const clientTx ntp.Timestamp = 0x0123456789abcdef

func header(first byte) []byte {
	h := ntp.Header{Poll: 6, Precision: 32, Transmit: clientTx}
	b := make([]byte, ntp.HeaderLen)
	h.Put(b)
	b[0] = first
	return b
}

const v4client, v3client = 4<<3 | 3, 3<<3 | 3

// request makes a good NTS request with the given number of placeholders.
func (g *rig) request(placeholders int) []byte {
	b := ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid)
	c := g.cookie()
	b = ntp.AppendField(b, ntp.ExtCookie, c)
	for range placeholders {
		b = ntp.AppendField(b, ntp.ExtPlaceholder, make([]byte, len(c)))
	}
	return g.seal(b)
}

func (g *rig) seal(b []byte) []byte { return g.sealWith(b, nil) }

// sealWith seals with encrypted fields inside.
func (g *rig) sealWith(b, inside []byte) []byte {
	return nts.AppendAuth(bytes.Clone(b), &g.key, g.scr.Random(g.sess.AEAD.NonceLen()), inside)
}

func (g *rig) respond(req []byte, p Policy) ([]byte, Reason) {
	g.t.Helper()
	dst := bytes.Repeat([]byte{0xee}, MaxPacket)
	was := bytes.Clone(req)
	n, why := g.Respond(dst, req, Arrival{Mono: rxMono}, p)
	if !bytes.Equal(was, req) {
		g.t.Errorf("%v: the request was changed", why)
	}
	if n > len(req) {
		g.t.Errorf("%v: %d octets answer %d", why, n, len(req))
	}
	if (n > 0) != why.Answered() {
		g.t.Errorf("%v: %d octets", why, n)
	}
	return dst[:n], why
}

func TestInvalidRequestsGetNoAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	cookie := g.cookie()
	f := ntp.AppendField
	uid := f(nil, ntp.ExtUniqueID, g.uid)
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	base := header(v4client)
	nonce := func(n int) []byte { return bytes.Repeat([]byte{9}, n) }
	authBody := func(nl, cl, room int) []byte {
		return append([]byte{byte(nl >> 8), byte(nl), byte(cl >> 8), byte(cl)}, make([]byte, room)...)
	}
	good := cat(base, uid, f(nil, ntp.ExtCookie, cookie))
	// With a nonce of 4 octets and no additional padding.
	ct := g.key.Seal(nil, nonce(4), nil, good)
	symmetric := cat(header(4<<3|1), uid, f(nil, ntp.ExtCookie, cookie))
	symmetric = g.seal(symmetric)
	noPad := f(bytes.Clone(good), ntp.ExtAuthenticator, append(append(authBody(4, len(ct), 0), nonce(4)...), ct...))
	for _, c := range []struct {
		name string
		req  []byte
		p    Policy
		want Reason
	}{
		{"nothing", nil, 0, TooShort},
		{"47 octets", base[:47], 0, TooShort},
		{"too long", cat(base, f(nil, 1, make([]byte, MaxPacket))), 0, TooLong},
		{"version 0", header(3), 0, BadVersion},
		{"version 5", header(5<<3 | 3), 0, BadVersion},
		{"version 7", header(7<<3 | 3), 0, BadVersion},
		{"mode 0", header(4 << 3), 0, ModeReserved},
		{"mode 0 of version 2", header(2 << 3), 0, ModeReserved},
		{"mode 2", header(4<<3 | 2), 0, ModeSymmetric},
		{"mode 2 of version 1", header(1<<3 | 2), 0, ModeSymmetric},
		{"mode 4", header(4<<3 | 4), 0, ModeServer},
		{"mode 5", header(4<<3 | 5), 0, ModeBroadcast},
		{"mode 6", header(4<<3 | 6), 0, ModeControl},
		{"mode 7", header(4<<3 | 7), 0, ModePrivate},
		{"one octet behind", cat(base, []byte{0}), 0, BadField},
		{"version 3, octets behind", cat(header(v3client), make([]byte, 40)), 0, BadField},
		{"version 3, MAC", cat(header(v3client), make([]byte, 20)), 0, LegacyMAC},
		{"version 3, DES MAC", cat(header(v3client), make([]byte, 12)), 0, LegacyMAC},
		{"version 4, MAC", cat(base, make([]byte, 20)), 0, LegacyMAC},
		{"version 4, crypto-NAK", cat(base, make([]byte, 4)), 0, LegacyMAC},
		{"version 1, octets behind", cat(header(1<<3|3), make([]byte, 8)), 0, BadField},
		{"version 2, MAC", cat(header(2<<3|3), make([]byte, 20)), 0, LegacyMAC},
		{"MAC where only NTS is served", cat(base, make([]byte, 20)), NoPlain, PlainOff},
		{"NTS in mode 1", symmetric, 0, ModeSymmetric},
		{"NTS with a MAC", cat(good, make([]byte, 20)), 0, LegacyMAC},
		{"field, MAC", cat(base, f(nil, 1, nil), make([]byte, 24)), 0, LegacyMAC},
		{"field length 0", cat(base, make([]byte, 28)), 0, BadField},
		{"plain where only NTS is served", base, NoPlain, PlainOff},
		{"plain with fields where only NTS is served", cat(base, uid), NoPlain, PlainOff},
		{"version 3 where only NTS is served", header(v3client), NoPlain, PlainOff},
		{"short unique identifier without NTS", cat(base, f(nil, ntp.ExtUniqueID, g.uid[:28])), 0, ShortUniqueID},
		{"NTS where it is off", g.request(0), NoNTS, NTSOff},
		{"two unique identifiers", g.seal(cat(base, uid, uid, f(nil, ntp.ExtCookie, cookie))), 0, DuplicateField},
		{"two cookies", g.seal(cat(good, f(nil, ntp.ExtCookie, cookie))), 0, DuplicateField},
		{"no authenticator", good, 0, NoAuthenticator},
		{"placeholder only", cat(base, uid, f(nil, ntp.ExtPlaceholder, cookie)), 0, NoAuthenticator},
		{"no unique identifier", g.seal(cat(base, f(nil, ntp.ExtCookie, cookie))), 0, NoUniqueID},
		{"unique identifier too late", cat(g.seal(cat(base, f(nil, ntp.ExtCookie, cookie))), uid), 0, NoUniqueID},
		{"short unique identifier", g.seal(cat(base, f(nil, ntp.ExtUniqueID, g.uid[:28]), f(nil, ntp.ExtCookie, cookie))), 0, ShortUniqueID},
		{"no cookie", g.seal(cat(base, uid)), 0, NoCookie},
		{"longer placeholder", g.seal(cat(good, f(nil, ntp.ExtPlaceholder, make([]byte, len(cookie)+4)))), 0, PlaceholderLength},
		{"shorter placeholder", g.seal(cat(good, f(nil, ntp.ExtPlaceholder, make([]byte, len(cookie)-4)))), 0, PlaceholderLength},
		{"placeholders that differ", g.seal(cat(good, f(nil, ntp.ExtPlaceholder, make([]byte, len(cookie))), f(nil, ntp.ExtPlaceholder, make([]byte, 28)))), 0, PlaceholderLength},
		{"placeholder before a longer cookie", g.seal(cat(base, uid, f(nil, ntp.ExtPlaceholder, make([]byte, 24)), f(nil, ntp.ExtCookie, cookie))), 0, PlaceholderLength},
		{"encrypted octets that are no field", g.sealWith(good, []byte{1, 2, 3}), 0, BadField},
		{"encrypted placeholder that is longer", g.sealWith(good, f(nil, ntp.ExtPlaceholder, make([]byte, len(cookie)+4))), 0, PlaceholderLength},
		{"nonce longer than the field", f(bytes.Clone(good), ntp.ExtAuthenticator, authBody(100, 16, 32)), 0, BadAuthenticator},
		{"ciphertext longer than the field", f(bytes.Clone(good), ntp.ExtAuthenticator, authBody(16, 100, 32)), 0, BadAuthenticator},
		{"ciphertext shorter than a tag", f(bytes.Clone(good), ntp.ExtAuthenticator, authBody(16, 15, 32)), 0, BadAuthenticator},
		{"no nonce", f(bytes.Clone(good), ntp.ExtAuthenticator, authBody(0, 16, 32)), 0, BadNonce},
		{"short nonce, no padding", noPad, 0, ShortPadding},
	} {
		out, why := g.respond(c.req, c.p)
		if why != c.want || len(out) != 0 {
			t.Errorf("%s: %v, %d octets; want %v", c.name, why, len(out), c.want)
		}
	}
	g.Keys = nil
	if _, why := g.respond(g.requestWith(cookie), 0); why != NTSOff {
		t.Errorf("without cookie keys: %v", why)
	}
}

func (g *rig) requestWith(cookie []byte) []byte {
	b := ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid)
	return g.seal(ntp.AppendField(b, ntp.ExtCookie, cookie))
}

// goldenPlain is the answer of a rig to header(v4client), laid out by hand
// from RFC 5905, figure 8: 2026-11-23 00:00:00 UTC is NTP second 4004380800 =
// 0xeeae0080.
const goldenPlain = "24" + "01" + "06" + "e8" + // leap 0, version 4, mode 4; stratum 1; poll as asked; precision -24
	"00000001" + "00000001" + "47505300" + // root delay 5 us and root dispersion 261 ns, rounded up to 15.3 us; GPS
	"eeae007f" + "b3333333" + // reference timestamp 0.3 s before
	"01234567" + "89abcdef" + // origin
	"eeae0080" + "00000001" + // receive, marked
	"eeae0080" + "0000cf1c" // transmit 12345 ns later: 53021.3 units, 0xcf1d, unmarked

func TestPlainAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	out, why := g.respond(header(v4client), 0)
	want, _ := hex.DecodeString(goldenPlain)
	if why != NTP || !bytes.Equal(out, want) {
		t.Errorf("%v\n got %x\nwant %x", why, out, want)
	}
	out, why = g.respond(header(v3client), 0)
	want[0] = 3<<3 | 4
	if why != NTP || !bytes.Equal(out, want) {
		t.Errorf("version 3: %v\n got %x\nwant %x", why, out, want)
	}
	want[0] = 4<<3 | 4
	uid := ntp.AppendField(nil, ntp.ExtUniqueID, g.uid)
	for _, c := range []struct {
		name string
		tail []byte
		echo []byte
	}{
		{"unknown field", ntp.AppendField(nil, 0x2005, make([]byte, 24)), nil},
		{"unique identifier", uid, uid},
		{"unknown field, unique identifier", append(ntp.AppendField(nil, 0x2005, nil), uid...), uid},
	} {
		out, why := g.respond(append(header(v4client), c.tail...), 0)
		if why != NTP || !bytes.Equal(out[:48], want) || !bytes.Equal(out[48:], c.echo) {
			t.Errorf("%s: %v %x", c.name, why, out)
		}
	}
	out, why = g.respond(header(v4client), Kiss)
	var h ntp.Header
	if h.Parse(out) != nil || why != KissRate || h.Stratum != 0 || h.RefID != [4]byte{'R', 'A', 'T', 'E'} || h.Origin != clientTx {
		t.Errorf("kiss: %v %+v", why, h)
	}
}

// openNTS verifies an answer as a client does and returns its fresh cookies.
func (g *rig) openNTS(out []byte) (cookies [][]byte) {
	g.t.Helper()
	f, ok, err := ntp.NextField(out, ntp.HeaderLen)
	if !ok || err != nil || f.Type != ntp.ExtUniqueID || !bytes.Equal(f.Body, g.uid) {
		g.t.Fatalf("no unique identifier: %v %x", err, out)
	}
	f, ok, err = ntp.NextField(out, f.End)
	if !ok || err != nil || f.Type != ntp.ExtAuthenticator || f.End != len(out) {
		g.t.Fatalf("no authenticator: %v %x", err, out)
	}
	plain, err := nts.OpenAuth(out, f.Start, f.End, &g.s2c, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for off := 0; ; {
		f, ok, err := ntp.NextInner(plain, off)
		if err != nil {
			g.t.Fatal(err)
		}
		if !ok {
			return cookies
		}
		if f.Type != ntp.ExtCookie {
			g.t.Errorf("field %#x inside", f.Type)
		}
		cookies = append(cookies, f.Body)
		off = f.End
	}
}

func TestNTSAnswer(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		seen := map[string]bool{}
		for _, c := range []struct{ placeholders, want int }{{0, 1}, {1, 2}, {7, 8}, {8, 8}} {
			out, why := g.respond(g.request(c.placeholders), 0)
			if why != NTS {
				t.Fatalf("%v: %v", id, why)
			}
			cookies := g.openNTS(out)
			if len(cookies) != min(c.want, mostCookies[id]) {
				t.Errorf("%v: %d placeholders gave %d cookies", id, c.placeholders, len(cookies))
			}
			for _, k := range cookies {
				if seen[string(k)] || len(k) != nts.CookieLen(id) {
					t.Errorf("%v: a repeated cookie, or one of %d octets", id, len(k))
				}
				seen[string(k)] = true
				if _, why := g.respond(g.requestWith(k), 0); why != NTS {
					t.Errorf("%v: a new cookie gives %v", id, why)
				}
			}
			var h ntp.Header
			if h.Parse(out) != nil || h.Stratum != 1 || h.Origin != clientTx || h.Mode != ntp.ModeServer || h.Receive&1 != 1 || h.Transmit&1 != 0 {
				t.Errorf("%v: %+v", id, h)
			}
		}
	}
}

// What follows the authenticator is ignored. An unknown field before it is
// authenticated and ignored.
func TestUnknownFieldsOfNTSRequestAreIgnored(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		for _, tail := range [][]byte{{1}, make([]byte, 20), g.request(0), bytes.Repeat([]byte{0xff}, 33)} {
			if out, why := g.respond(append(g.request(0), tail...), 0); why != NTS || len(g.openNTS(out)) != 1 {
				t.Errorf("%v: %d octets after the authenticator: %v", id, len(tail), why)
			}
		}
		b := ntp.AppendField(header(v4client), 0x2005, make([]byte, 40))
		b = ntp.AppendField(ntp.AppendField(b, ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
		if out, why := g.respond(g.seal(b), 0); why != NTS || len(g.openNTS(out)) != 1 {
			t.Errorf("%v: unknown field: %v", id, why)
		}
	}
}

// All or some placeholders may be encrypted; other encrypted fields are ignored.
func TestEncryptedPlaceholdersCount(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		cookie := g.cookie()
		place := ntp.AppendField(nil, ntp.ExtPlaceholder, make([]byte, len(cookie)))
		open := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, cookie)
		for _, c := range []struct {
			outside, inside []byte
			want            int
		}{
			{nil, place, 2}, {place, bytes.Repeat(place, 2), 4}, {nil, bytes.Repeat(place, 7), 8},
			{nil, []byte{0x20, 5, 0, 4}, 1}, {nil, append([]byte{0x20, 5, 0, 8, 1, 2, 3, 4}, place...), 2},
		} {
			out, why := g.respond(g.sealWith(append(bytes.Clone(open), c.outside...), c.inside), 0)
			if why != NTS || len(g.openNTS(out)) != min(c.want, mostCookies[id]) {
				t.Errorf("%v: %d octets outside and %d inside: %v, %d cookies, want %d", id, len(c.outside), len(c.inside), why, len(g.openNTS(out)), min(c.want, mostCookies[id]))
			}
		}
	}
}

func TestKissCodeOfASessionIsAuthenticated(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		out, why := g.respond(g.request(0), Kiss)
		if why != KissRate || len(g.openNTS(out)) != 1 || string(out[12:16]) != "RATE" {
			t.Errorf("%v: %v", id, why)
		}
	}
}

// Nonces that AES-SIV allows but nobody recommends, with the padding that RFC
// 8915, section 5.6, requires.
func TestShortNonceWithPaddingIsAnswered(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	for n := 1; n < 40; n++ {
		b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
		out, why := g.respond(nts.AppendAuth(b, &g.key, make([]byte, n), nil), 0)
		if why != NTS || len(g.openNTS(out)) != 1 {
			t.Errorf("nonce of %d octets: %v", n, why)
		}
	}
}

func TestUnknownCookiesAndKeysGetANAK(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		other, err := nts.NewRing(nts.RingConfig{}, time.Unix(1795392000, 0))
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := other.Load().SealCookie(nil, &g.sess, &g.scr)
		if err != nil {
			t.Fatal(err)
		}
		bent := g.cookie()
		bent[len(bent)-1] ^= 1
		tampered := g.request(2)
		tampered[len(tampered)-1] ^= 0x80 // in the tag or ciphertext
		moved := g.request(0)
		moved[2]++ // in the header, which is authenticated
		for _, c := range []struct {
			name string
			req  []byte
			want Reason
		}{
			{"cookie of another server", g.requestWith(foreign), NAKKey},
			{"bent cookie", g.requestWith(bent), NAKCookie},
			{"cookie of no length", g.requestWith(make([]byte, 52)), NAKCookie},
			{"bent tag", tampered, NAKAuth},
			{"bent header", moved, NAKAuth},
		} {
			out, why := g.respond(c.req, 0)
			var h ntp.Header
			if why != c.want || h.Parse(out) != nil || h.Stratum != 0 || string(h.RefID[:]) != "NTSN" || h.Leap != 3 || h.Origin != clientTx {
				t.Errorf("%v, %s: %v %+v, want %v", id, c.name, why, h, c.want)
				continue
			}
			f, ok, err := ntp.NextField(out, ntp.HeaderLen)
			if !ok || err != nil || f.End != len(out) || !bytes.Equal(f.Body, g.uid) {
				t.Errorf("%v, %s: behind the header %x", id, c.name, out[48:])
			}
		}
	}
}

// Each bit of a valid request is flipped, and the request is truncated at each
// octet: no answer is an authenticated one, or longer than the request.
func TestAnyFlippedBitIsDetected(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		req := g.request(1)
		for i := range 8 * len(req) {
			bad := bytes.Clone(req)
			bad[i/8] ^= 1 << (i % 8)
			if _, why := g.respond(bad, 0); why == NTS || why == NTSInterleaved {
				t.Errorf("%v: bit %d flipped: %v", id, i, why)
			}
		}
		for n := range req {
			if _, why := g.respond(req[:n], 0); why == NTS {
				t.Errorf("%v: cut to %d: %v", id, n, why)
			}
		}
	}
}

// Receive, origin and transmit timestamps differ, also if a client predicts ours.
func TestTimestampsOfAnAnswerDiffer(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	try := func(origin, receive, transmit ntp.Timestamp) {
		b := header(v4client)
		q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: receive, Transmit: transmit}
		q.Put(b)
		g.Sent = NewSent()
		out, _ := g.respond(b, 0)
		var h ntp.Header
		if h.Parse(out) != nil || h.Origin == h.Receive || h.Origin == h.Transmit || h.Receive == h.Transmit || h.Transmit == 0 {
			t.Errorf("%+v", h)
		}
		if d := h.Receive.Sub(ntp.FromTAI(t2026, 37)); d < -2 || d > 2 {
			t.Errorf("receive moved by %v", d)
		}
	}
	rx, tx := ntp.FromTAI(t2026, 37), ntp.FromTAI(t2026+12345, 37)
	for d := ntp.Timestamp(0); d < 8; d++ {
		for _, base := range []ntp.Timestamp{rx - 4, tx - 4} {
			try(0, 0, base+d)
			try(base+d, base+d, base+d)
			try(base+d, base-d, base+d+1)
		}
	}
	// Clocks that stand still or run backwards between arrival and departure.
	for _, now := range []int64{rxMono, rxMono - 1, rxMono - 1e6} {
		g.tx = now
		for d := ntp.Timestamp(0); d < 8; d++ {
			try(0, 0, rx-2+d)
		}
	}
}

func TestEachReasonHasItsWord(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := Reason(0); r < numReasons; r++ {
		if w := r.String(); w == "" || w == "unknown" || seen[w] {
			t.Errorf("reason %d is named %q", r, w)
		}
		seen[r.String()] = true
	}
	if numReasons.String() != "unknown" {
		t.Error("a reason beyond the last")
	}
}

func TestRespondDoesNotAllocate(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	dst := make([]byte, MaxPacket)
	for _, id := range aeads {
		g := newRig(t, id)
		var k aead.Key
		if testing.AllocsPerRun(10, func() { _ = k.Init(id, g.sess.C2S[:id.KeyLen()]) }) > 0 {
			t.Skipf("%v runs over crypto/aes here, which allocates", id)
		}
		for name, req := range map[string][]byte{
			"plain": header(v4client), "NTS": g.request(0), "NTS with 7 placeholders": g.request(7),
			"NAK": g.requestWith(make([]byte, 52)), "no answer": header(4<<3 | 6),
			"version 1": header(1<<3 | 3), "mode 1": header(3<<3 | 1),
		} {
			if n := testing.AllocsPerRun(500, func() { g.Respond(dst, req, Arrival{Mono: rxMono}, 0) }); n > 0 {
				t.Errorf("%v, %s: %v allocations", id, name, n)
			}
		}
		for typ := mac.AES128; typ <= mac.SHA1; typ++ {
			g.symmetric(typ)
			for name, req := range map[string][]byte{"good": g.keyed(header(v4client)), "bad": append(g.keyed(header(v4client))[:64], 1, 2, 3, 4)} {
				for _, p := range []Policy{0, NAKBadMAC, PlainBadMAC} {
					if n := testing.AllocsPerRun(500, func() { g.Respond(dst, req, Arrival{Mono: rxMono}, p) }); n > 0 {
						t.Errorf("%v MAC, %s: %v allocations", typ, name, n)
					}
				}
			}
		}
	}
}

// Several answers are prepared before they are finished, twice as after an
// interruption: each equals the answer of Respond at that time.
func TestFinishedDraftsEqualRespond(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	reqs := [][]byte{g.request(0), header(v4client), g.request(2), header(4<<3 | 6), g.requestWith(make([]byte, 52))}
	var drafts [5]Draft
	var out [5][MaxPacket]byte
	var why [5]Reason
	for i, req := range reqs {
		why[i] = g.Prepare(&drafts[i], out[i][:], req, Arrival{Mono: rxMono}, 0)
	}
	if drafts[3].Answered() || why[3] != ModeControl {
		t.Errorf("mode 6: %v", why[3])
	}
	for _, late := range []int64{0, 5_000_000} {
		for i, req := range reqs {
			d := &drafts[i]
			if !d.Answered() {
				continue
			}
			n := g.Finish(d, out[i][:], g.tx+late)
			var dst [MaxPacket]byte
			g.Responder.Now = func() int64 { return g.tx + late }
			m, same := g.Respond(dst[:], req, Arrival{Mono: rxMono}, 0)
			if same != why[i] || m != n {
				t.Errorf("request %d: %v, %d octets; Respond: %v, %d octets", i, why[i], n, same, m)
			}
			if n < ntp.HeaderLen || !bytes.Equal(dst[:ntp.HeaderLen], out[i][:ntp.HeaderLen]) {
				t.Errorf("request %d: another header than Respond's", i)
			}
			if d.Departure != g.View.clockAt(g.tx+late) {
				t.Errorf("request %d: left at %v", i, d.Departure)
			}
			if d.Secure() {
				g.openNTS(out[i][:n])
			}
		}
	}
}

// Any octets, with any policy.
func FuzzRespond(f *testing.F) {
	g := newRig(f, aead.AESSIVCMAC256)
	f.Add(header(v4client), uint8(0))
	f.Add(g.request(1), uint8(0))
	f.Add(append(header(v4client), make([]byte, 24)...), uint8(3))
	g.symmetric(mac.SHA256)
	f.Add(g.keyed(header(v4client)), uint8(0))
	f.Add(g.keyed(header(1<<3|1)), uint8(NAKBadMAC))
	f.Fuzz(func(t *testing.T, req []byte, p uint8) {
		g.t = t
		out, why := g.respond(req, Policy(p)&(NoPlain|NoNTS|Kiss|NAKBadMAC|PlainBadMAC))
		if len(out) > 0 && (out[0]&7 != ntp.ModeServer && out[0]&7 != ntp.ModeSymmetricPassive || out[0]&0x38 != req[0]&0x38) {
			t.Errorf("%v: mode %d", why, out[0]&7)
		}
	})
}

// The fuzzer's octets are where only the holder of the keys can put them: between
// header and authenticator, and correctly sealed in the authenticator.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{}, uint8(0))
	f.Add(ntp.AppendField(nil, ntp.ExtPlaceholder, make([]byte, 100)), []byte{1, 2, 3}, []byte{4}, uint8(1))
	var rigs []*rig
	for _, id := range aeads {
		rigs = append(rigs, newRig(f, id))
	}
	f.Fuzz(func(t *testing.T, between, inside, behind []byte, which uint8) {
		if len(between)+len(inside)+len(behind) > 1000 {
			return // longer than any packet
		}
		g := rigs[int(which)%len(rigs)]
		g.t = t
		b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
		b = append(b, between...)
		b = nts.AppendAuth(b, &g.key, g.scr.Random(g.sess.AEAD.NonceLen()), inside)
		out, why := g.respond(append(b, behind...), 0)
		switch {
		case why == NTS:
			if n := len(g.openNTS(out)); n < 1 || n > maxCookies {
				t.Errorf("%d cookies", n)
			}
		case len(between) > 0:
		case why == TooLong && len(inside) > maxOther:
		case why == BadField || why == PlaceholderLength:
			f := fields{cookie: ntp.Field{Body: make([]byte, nts.CookieLen(g.sess.AEAD))}}
			if f.scanInner(inside) != why {
				t.Errorf("%v of %x", why, inside)
			}
		default:
			t.Errorf("a good request gives %v", why)
		}
	})
}

func BenchmarkRespond(b *testing.B) {
	dst := make([]byte, MaxPacket)
	run := func(name string, g *rig, req []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Respond(dst, req, Arrival{Mono: rxMono}, 0)
			}
		})
	}
	run("plain", newRig(b, aead.AESSIVCMAC256), header(v4client))
	for _, id := range aeads {
		g := newRig(b, id)
		run(id.String(), g, g.request(0))
	}
	// With limits, and what a request costs that does not authenticate.
	g := newRig(b, aead.AESSIVCMAC256)
	g.Limit = NewLimiter(LimitConfig{Rate: 1e9, Burst: 1e6})
	g.From = netip.MustParseAddrPort("192.0.2.1:40000")
	run("limited/plain", g, header(v4client))
	run("limited/"+g.sess.AEAD.String(), g, g.request(0))
	g.Limit = NewLimiter(LimitConfig{Rate: 1e-6, Burst: 1})
	bad := g.request(0)
	bad[len(bad)-1] ^= 1
	run("limited/failed", g, bad)
	for _, typ := range []mac.Type{mac.AES128, mac.SHA256} {
		g := newRig(b, aead.AESSIVCMAC256)
		g.symmetric(typ)
		run("MAC/"+typ.String(), g, g.keyed(header(v4client)))
	}
}
