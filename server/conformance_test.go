package server

import (
	"bytes"
	"testing"

	"github.com/facebook/time/ntp/protocol"

	"noonmark/server/ntp"
)

// The content of a placeholder is ignored and is not in the answer (RFC 8915,
// section 5.5).
func TestPlaceholderContentIsIgnored(t *testing.T) {
	t.Parallel()
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

// A nonce is never used twice (RFC 8915, section 5.6), also if the same request is
// answered twice at the same instant.
func TestNonceIsNeverReused(t *testing.T) {
	t.Parallel()
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

// Differential: our reading of a packet against that of facebook/time. Ours is
// stricter: where it finds only fields, the other finds the same fields.
func FuzzParsers(f *testing.F) {
	g := newRig(f, aeads[0])
	f.Add(header(v4client))
	f.Add(g.request(0))
	f.Add(g.request(3))
	f.Add(append(header(v4client), make([]byte, 20)...))
	f.Add(append(g.request(1), make([]byte, 24)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h ntp.Header
		ourErr := h.Parse(b)
		p, theirErr := protocol.BytesToPacket(b)
		if len(b) < ntp.HeaderLen {
			if ourErr == nil || theirErr == nil {
				t.Fatalf("%d octets: %v, %v", len(b), ourErr, theirErr)
			}
			return
		}
		theirs := ntp.Header{
			Leap: p.Settings >> 6, Version: p.Settings >> 3 & 7, Mode: p.Settings & 7, Stratum: p.Stratum, Poll: p.Poll, Precision: p.Precision,
			RootDelay: ntp.Short(p.RootDelay), RootDisp: ntp.Short(p.RootDispersion),
			RefID:   [4]byte{byte(p.ReferenceID >> 24), byte(p.ReferenceID >> 16), byte(p.ReferenceID >> 8), byte(p.ReferenceID)},
			RefTime: stamp(p.RefTimeSec, p.RefTimeFrac), Origin: stamp(p.OrigTimeSec, p.OrigTimeFrac),
			Receive: stamp(p.RxTimeSec, p.RxTimeFrac), Transmit: stamp(p.TxTimeSec, p.TxTimeFrac),
		}
		if h != theirs {
			t.Fatalf("ours %+v, theirs %+v", h, theirs)
		}
		var fields []ntp.Field
		off := ntp.HeaderLen
		for {
			f, ok, err := ntp.NextField(b, off)
			if err != nil || !ok && off < len(b) {
				return // refused, or a MAC: theirs may think otherwise
			}
			if !ok {
				break
			}
			fields = append(fields, f)
			off = f.End
		}
		if theirErr != nil || p.MAC != nil || len(p.ExtensionFields) != len(fields) {
			t.Fatalf("we see %d fields; they %d, %v", len(fields), len(p.ExtensionFields), theirErr)
		}
		for i, f := range fields {
			if e := p.ExtensionFields[i]; uint16(e.Type) != f.Type || !bytes.Equal(e.Body, f.Body) {
				t.Fatalf("field %d: %#x, %#x", i, f.Type, e.Type)
			}
		}
	})
}

func stamp(sec, frac uint32) ntp.Timestamp { return ntp.Timestamp(sec)<<32 | ntp.Timestamp(frac) }
