package server

import (
	"net/netip"
	"testing"

	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// longForgeries are requests of nearly 2 kB with a valid cookie whose authenticator
// does not verify: with a long ciphertext, and with long fields before it.
func (g *rig) longForgeries() map[string][]byte {
	b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
	inside := ntp.AppendField(nil, 0x2005, make([]byte, 1700))
	long := g.sealWith(b, inside)
	fields := g.seal(ntp.AppendField(b, 0x2005, make([]byte, 1700)))
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
		req := append(g.request(7), make([]byte, 400)...)
		if out, why := g.respond(req, 0); why != NTS || len(g.openNTS(out)) != 8 {
			t.Errorf("%v: octets behind the authenticator: %v", id, why)
		}
		// Some room is left for fields that are not known here.
		b := ntp.AppendField(ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie())
		if _, why := g.respond(g.seal(ntp.AppendField(b, 0x2005, make([]byte, 200))), 0); why != NTS {
			t.Errorf("%v: an unknown field: %v", id, why)
		}
	}
}

// An answer that is longer than the link allows would never leave: it has fewer
// cookies.
func TestAnswersFitTheLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from    string
		id      aead.ID
		limit   int
		cookies int
	}{
		{"[2001:db8::1]:40000", aead.AESSIVCMAC512, 1232, 6},
		{"[2001:db8::1]:40000", aead.AESSIVCMAC256, 1232, 8},
		{"[2001:db8::1]:40000", aead.AES128GCMSIV, 1232, 8},
		{"192.0.2.1:40000", aead.AESSIVCMAC512, 1472, 8},
		{"192.0.2.1:40000", aead.AESSIVCMAC256, 1472, 8},
	} {
		g := newRig(t, c.id)
		g.From = netip.MustParseAddrPort(c.from)
		out, why := g.respond(g.request(7), 0)
		if why != NTS {
			t.Errorf("%s, %v: %v", c.from, c.id, why)
			continue
		}
		if n := len(g.openNTS(out)); n != c.cookies || len(out) > c.limit {
			t.Errorf("%s, %v: %d cookies in %d octets, want %d in at most %d", c.from, c.id, n, len(out), c.cookies, c.limit)
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

// An answer fits into a frame of the network it goes to, with fewer cookies than were
// asked for if need be. A longer one would not be sent at all.
func TestAnswersFitIntoAFrame(t *testing.T) {
	t.Parallel()
	fewer := 0
	for _, id := range aeads {
		for _, c := range []struct {
			from string
			most int // octets of UDP payload: the frame without headers of IP and UDP
		}{{"192.0.2.1:1024", 1500 - 20 - 8}, {"[2001:db8::1]:1024", 1280 - 40 - 8}} {
			g := newRig(t, id)
			g.From = netip.MustParseAddrPort(c.from)
			req := g.request(7)
			out, why := g.respond(req, 0)
			if why != NTS || len(out) > c.most || len(out) > len(req) {
				t.Errorf("%v from %s: %v, %d octets for a request of %d, want at most %d", id, c.from, why, len(out), len(req), c.most)
				continue
			}
			n := len(g.openNTS(out))
			if n < 1 || n < 8 && c.most-len(out) > ntp.FieldLen(nts.CookieLen(id)) {
				t.Errorf("%v from %s: %d cookies in %d octets, there is room for more", id, c.from, n, len(out))
			}
			if n < 8 {
				fewer++
			}
		}
	}
	if fewer == 0 {
		t.Error("no answer had fewer cookies: the test shows nothing")
	}
}
