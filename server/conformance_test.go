package server

import (
	"bytes"
	"testing"

	"noonmark/server/ntp"
)

// What a placeholder holds is of no interest (RFC 8915, section 5.5), and does
// not come back.
func TestConformancePlaceholder(t *testing.T) {
	for _, id := range aeads {
		g := newRig(t, id)
		c := g.cookie()
		junk := make([]byte, len(c))
		for i := range junk {
			junk[i] = byte(g.rnd.Uint32())
		}
		for name, body := range map[string][]byte{"zeros": make([]byte, len(c)), "junk": junk, "a cookie": g.cookie()} {
			b := ntp.AppendField(header(v4client), ntp.ExtUniqueID, g.uid)
			b = ntp.AppendField(ntp.AppendField(b, ntp.ExtCookie, c), ntp.ExtPlaceholder, body)
			out, why := g.respond(g.seal(b), 0)
			if why != NTS {
				t.Errorf("%v, %s: %v", id, name, why)
				continue
			}
			cookies := g.openNTS(out)
			if len(cookies) != 2 {
				t.Errorf("%v, %s: %d cookies", id, name, len(cookies))
			}
			for _, k := range cookies {
				if bytes.Equal(k, body) || bytes.Equal(k, c) {
					t.Errorf("%v, %s: what the client sent came back", id, name)
				}
			}
			if bytes.Contains(out, body[:32]) && name == "junk" {
				t.Errorf("%v: the placeholder is in the answer", id)
			}
		}
	}
}

// A nonce is never used twice (RFC 8915, section 5.6), also where the same
// request is answered again at the same instant.
func TestConformanceNonce(t *testing.T) {
	for _, id := range aeads {
		g := newRig(t, id)
		req := g.request(0)
		seen := map[string]bool{}
		for range 2000 {
			out, why := g.respond(req, 0)
			if why != NTS {
				t.Fatal(why)
			}
			f, ok, err := ntp.NextField(out, ntp.HeaderLen)
			if !ok || err != nil {
				t.Fatal(err)
			}
			f, ok, err = ntp.NextField(out, f.End)
			if !ok || err != nil || f.Type != ntp.ExtAuthenticator {
				t.Fatal(err)
			}
			n := int(f.Body[0])<<8 | int(f.Body[1])
			nonce := string(f.Body[4 : 4+n])
			if n != id.NonceLen() || seen[nonce] {
				t.Fatalf("%v: nonce %x of %d octets, seen %v", id, nonce, n, seen[nonce])
			}
			seen[nonce] = true
		}
	}
}
