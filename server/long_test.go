package server

import (
	"net/netip"
	"testing"

	"noonmark/server/mac"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// longForgeries are requests of 1500 octets and more with a valid cookie whose authenticator
// does not verify: with a long ciphertext, and with long fields before it.
func (g *rig) longForgeries() map[string][]byte {
	b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
	room := 1300
	if g.sess.AEAD == aead.AESSIVCMAC512 {
		room = MaxPacket
	}
	inside := ntp.AppendField(nil, 0x2005, make([]byte, room))
	long := g.sealWith(b, inside)
	fields := g.seal(ntp.AppendField(b, 0x2005, make([]byte, room)))
	long[len(long)-5] ^= 1
	fields[len(fields)-5] ^= 1
	return map[string][]byte{"ciphertext": long, "fields": fields}
}

// A request that is longer than any client needs is refused before its
// authenticator is verified, which takes time in proportion to the length.
func TestLongRequestsAreNotVerified(t *testing.T) {
	t.Parallel()
	for _, id := range aeads {
		g := newRig(t, id)
		for name, req := range g.longForgeries() {
			if out, why := g.respond(req, 0); why != TooLong || len(out) != 0 {
				t.Errorf("%v, long %s: %v", id, name, why)
			}
		}
		// What is behind the authenticator is not read at all.
		req := append(g.request(7), make([]byte, 300)...)
		if out, why := g.respond(req, 0); why != NTS || len(g.openNTS(out)) != mostCookies[id] {
			t.Errorf("%v: octets behind the authenticator: %v", id, why)
		}
		// Some room is left for fields that are not known here.
		b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
		if _, why := g.respond(g.seal(ntp.AppendField(b, 0x2005, make([]byte, 200))), 0); why != NTS {
			t.Errorf("%v: an unknown field: %v", id, why)
		}
	}
}

// mostCookies is how many cookies fit into an answer with an identifier of 32 octets.
var mostCookies = map[aead.ID]int{aead.AESSIVCMAC512: 6, aead.AESSIVCMAC256: 8, aead.AES128GCMSIV: 8}

// An answer that is longer than 1232 octets would be lost on a link of 1280 octets:
// it has fewer cookies. It has as many as there is room for.
func TestAnswersFitTheLink(t *testing.T) {
	t.Parallel()
	for id, want := range mostCookies {
		for _, from := range []string{"192.0.2.1:40000", "[2001:db8::1]:40000"} {
			g := newRig(t, id)
			g.From = netip.MustParseAddrPort(from)
			req := g.request(7)
			out, why := g.respond(req, 0)
			if why != NTS || len(out) > 1232 || len(out) > len(req) {
				t.Errorf("%s, %v: %v, %d octets for a request of %d", from, id, why, len(out), len(req))
				continue
			}
			n := len(g.openNTS(out))
			if n != want {
				t.Errorf("%s, %v: %d cookies in %d octets, want %d", from, id, n, len(out), want)
			}
			if n < 8 && 1232-len(out) > ntp.FieldLen(nts.CookieLen(id)) {
				t.Errorf("%s, %v: %d cookies in %d octets, there is room for more", from, id, n, len(out))
			}
		}
	}
}

// No answer of any kind is longer than 1280 octets with its headers, however long the
// identifier that it repeats.
func TestAnswersFitIntoAFrame(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC512)
	other := newRig(t, aead.AESSIVCMAC512) // whose cookies are not known here
	seen := map[Reason]int{}
	for n := minUniqueID; n <= 1280; n += 4 {
		uid := make([]byte, n)
		g.uid, other.uid = uid, uid
		plain := ntp.AppendField(header(v4client), ntp.ExtUniqueID, uid)
		for name, req := range map[string][]byte{
			"plain": plain, "MAC": append(plain[:len(plain):len(plain)], make([]byte, mac.MaxLen)...),
			"NTS": g.request(0), "placeholders": g.request(2), "unknown cookie": other.request(0),
		} {
			if len(req) > MaxPacket {
				continue
			}
			out, why := g.respond(req, NAKBadMAC|PlainBadMAC)
			if len(out) > 1232 || len(out) > len(req) {
				t.Errorf("%s, %d octets of identifier: %v, an answer of %d octets", name, n, why, len(out))
			}
			seen[why]++
		}
	}
	for _, why := range []Reason{NTP, NTS, NAKKey, NoRoom} {
		if seen[why] == 0 {
			t.Errorf("no request met %v: %v", why, seen)
		}
	}
}

func BenchmarkLongForgery(b *testing.B) {
	dst := make([]byte, MaxPacket)
	for _, id := range aeads {
		g := newRig(b, id)
		for name, req := range g.longForgeries() {
			b.Run(id.String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					g.Respond(dst, req, Arrival{Mono: rxMono}, 0)
				}
			})
		}
	}
}
