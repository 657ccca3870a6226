package server

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"noonmark/server/mac"
	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

// symmetric gives the rig one symmetric key.
func (g *rig) symmetric(typ mac.Type) *mac.Key {
	n := 16
	if typ == mac.AES256 {
		n = 32
	}
	k, err := mac.NewKey(42, typ, bytes.Repeat([]byte{7}, n))
	if err == nil {
		g.MACs, err = mac.NewKeys(k)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return k
}

// keyed appends the MAC of the rig's key.
func (g *rig) keyed(b []byte) []byte {
	k := g.MACs.Find(42)
	return k.Append(bytes.Clone(b), k.Len(), new(mac.Scratch))
}

// Requests as clients send them: octets from their source code or from published
// captures, with a time of November 2026 where a client sends its clock.
var clientRequests = []struct {
	name string
	req  string // hexadecimal; followed by zeros up to 48 octets
	mode uint8  // of the answer
}{
	{"Windows Time with 0x8: version 3, client", "db0011e9 00000000 00010b5c 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49ba5", 4},
	{"Windows Time without 0x8: version 3, symmetric active", "d90011e9 00000000 00010b5c 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49ba5", 2},
	{"Windows Time, synchronised, without 0x8", "1903 0af5 00000a3d 000007ae c0000201 eeadf7c0a1cac083 eeadfb1233333333 eeadfb1266666666 eeae007f20c49ba5", 2},
	{"w32tm /stripchart: version 1, client", "0b000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49ba5", 4},
	{"busybox ntpd", "23000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 5b7e0d3c9f1142aa", 4},
	{"systemd-timesyncd", "23000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f1a2b3c4d", 4},
	{"openntpd", "23000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 a1b2c3d4e5f60718", 4},
	{"ntplib: version 2", "13000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49000", 4},
	{"ntplib, version=3", "1b000000 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49000", 4},
	{"Arduino NTPClient: no transmit timestamp", "e30006ec 00000000 00000000 31 4e 31 34", 4},
	{"ESP32, lwIP SNTP: all zeros", "23", 4},
	{"ESP8266, lwIP 1.4: version 3, all zeros", "1b", 4},
	{"SNTP of version 1, all zeros", "0b", 4},
	{"version 1, mode 0 (RFC 1059)", "08", 4},
	{"version 2, all zeros", "13", 4},
	{"ntpdate: version 4, poll 3", "e3 00 03 fa 00010000 00010000 00000000 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49ba5", 4},
	{"chronyd, version 3", "1b 00 06 20 00000000 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 7a7b7c7d7e7f8081", 4},
	{"Cisco IOS: version 3, symmetric active", "d9 10 06 ee 00000000 00010290 494e4954 0000000000000000 0000000000000000 0000000000000000 eeae007f20c49ba5", 2},
}

func clientRequest(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil || len(b) > ntp.HeaderLen {
		t.Fatalf("%s: %v", text, err)
	}
	return append(b, make([]byte, ntp.HeaderLen-len(b))...)
}

// Every client gets 48 octets with its version and its transmit timestamp, and the
// time.
func TestEveryClientIsAnswered(t *testing.T) {
	t.Parallel()
	for _, c := range clientRequests {
		g := newRig(t, aead.AESSIVCMAC256)
		g.From = netip.MustParseAddrPort("192.0.2.1:40000")
		req := clientRequest(t, c.req)
		out, why := g.respond(req, 0)
		var q, h ntp.Header
		if q.Parse(req) != nil || why != NTP || len(out) != ntp.HeaderLen || h.Parse(out) != nil {
			t.Errorf("%s: %v, %d octets", c.name, why, len(out))
			continue
		}
		if h.Version != q.Version || h.Mode != c.mode || h.Poll != q.Poll || h.Origin != q.Transmit || h.Leap != 0 || h.Stratum != 1 {
			t.Errorf("%s: %+v", c.name, h)
		}
		if h.Receive>>32 != 0xeeae0080 || h.Transmit <= h.Receive || h.RefTime == 0 {
			t.Errorf("%s: timestamps %x %x %x", c.name, h.RefTime, h.Receive, h.Transmit)
		}
	}
}

// RFC 1059 distinguishes clients and servers by their ports: a packet of version 1
// from port 123 may come from a server, and two servers must not answer each other.
func TestVersion1ModeZeroFromAServerIsIgnored(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	g.From = netip.MustParseAddrPort("192.0.2.1:123")
	if out, why := g.respond(header(1<<3), 0); why != ModeReserved || len(out) != 0 {
		t.Errorf("%v", why)
	}
	for version := range byte(8) {
		for mode := range byte(8) {
			g.From = netip.MustParseAddrPort("192.0.2.1:40000")
			out, _ := g.respond(header(version<<3|mode), 0)
			if len(out) == 0 {
				continue
			}
			g.From = netip.MustParseAddrPort("192.0.2.1:123")
			if again, why := g.respond(out, 0); len(again) != 0 {
				t.Errorf("version %d, mode %d: the answer is answered: %v", version, mode, why)
			}
		}
	}
}

// Requests in symmetric mode are answered without state: interleaved mode is for
// clients.
func TestSymmetricModeIsStateless(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	req := header(4<<3 | 1)
	for range 3 {
		out, why := g.respond(req, 0)
		var h ntp.Header
		if h.Parse(out) != nil || why != NTP || h.Origin != clientTx || h.Mode != ntp.ModeSymmetricPassive {
			t.Fatalf("%v %+v", why, h)
		}
		if g.Sent.Has(h.Receive) {
			t.Error("the answer is stored")
		}
		q := ntp.Header{Version: 4, Mode: ntp.ModeSymmetricActive, Origin: h.Receive, Receive: 5, Transmit: clientTx}
		q.Put(req)
	}
}

// The answer to a request with a valid MAC has one of the same key and length,
// over all of the answer.
func TestMACAnswer(t *testing.T) {
	t.Parallel()
	uid := ntp.AppendField(nil, ntp.ExtUniqueID, bytes.Repeat([]byte{1}, 32))
	for typ := mac.AES128; typ <= mac.SHA1; typ++ {
		g := newRig(t, aead.AESSIVCMAC256)
		k := g.symmetric(typ)
		for _, c := range []struct {
			name string
			req  []byte
			mode uint8
		}{
			{"version 4", header(v4client), 4},
			{"version 3", header(v3client), 4},
			{"version 1", header(1<<3 | 3), 4},
			{"symmetric active", header(3<<3 | 1), 2},
			{"unique identifier", append(header(v4client), uid...), 4},
		} {
			req := g.keyed(c.req)
			out, why := g.respond(req, 0)
			if why != MAC || len(out) != len(req) || out[0]&7 != c.mode {
				t.Errorf("%v, %s: %v, %d octets", typ, c.name, why, len(out))
				continue
			}
			n := len(out) - k.Len()
			if !k.Verify(out[:n], out[n:], out[0]>>3&7, new(mac.Scratch)) {
				t.Errorf("%v, %s: the MAC of the answer is wrong", typ, c.name)
			}
			if !bytes.Equal(out[ntp.HeaderLen:n], c.req[ntp.HeaderLen:]) {
				t.Errorf("%v, %s: fields %x", typ, c.name, out[ntp.HeaderLen:n])
			}
		}
		// Before version 4, the whole digest.
		whole := k.Append(header(v3client), mac.MaxLen, new(mac.Scratch))
		if out, why := g.respond(whole, 0); why != MAC || len(out) != len(whole) || !k.Verify(out[:48], out[48:], 3, new(mac.Scratch)) {
			t.Errorf("%v, whole digest: %v, %d octets", typ, why, len(out))
		}
		// A kiss code over the limit is authenticated as well.
		out, why := g.respond(g.keyed(header(v4client)), Kiss)
		if why != KissRate || !k.Verify(out[:48], out[48:], 4, new(mac.Scratch)) {
			t.Errorf("%v, kiss code: %v", typ, why)
		}
	}
}

// A MAC that is not accepted: silence as of chronyd, a crypto-NAK, or a plain
// answer.
func TestMACThatIsNotAccepted(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	g.symmetric(mac.SHA256)
	set := g.MACs
	uid := ntp.AppendField(nil, ntp.ExtUniqueID, g.uid)
	wrong := g.keyed(header(v4client))
	wrong[70] ^= 1
	unknown := g.keyed(header(v4client))
	unknown[51]++
	for _, c := range []struct {
		name string
		keys *mac.Keys
		req  []byte
		want Reason
	}{
		{"no keys", nil, wrong, LegacyMAC},
		{"crypto-NAK", set, cat(header(v4client), make([]byte, 4)), LegacyMAC},
		{"DES", set, cat(header(v3client), make([]byte, 12)), UnknownMACKey},
		{"unknown key", set, unknown, UnknownMACKey},
		{"wrong digest", set, wrong, BadMAC},
		{"wrong digest, with a field", set, cat(header(v4client), uid, wrong[48:]), BadMAC},
		{"truncated to 16 octets", set, g.keyed(header(v4client))[:48+20], BadMAC},
		{"Windows domain: version 3, MAC of zeros", set, cat(header(v3client), []byte{0, 0, 4, 0x57}, make([]byte, 16)), UnknownMACKey},
		{"Windows domain, extended", set, cat(header(v3client), []byte{0, 0, 4, 0x57}, make([]byte, 68)), UnknownMACKey},
	} {
		g.MACs = c.keys
		if out, why := g.respond(c.req, 0); why != c.want || len(out) != 0 {
			t.Errorf("%s: %v, %d octets; want %v", c.name, why, len(out), c.want)
		}
		echo := 0
		if bytes.Contains(c.req, g.uid) {
			echo = len(uid)
		}
		out, why := g.respond(c.req, NAKBadMAC)
		if why != CryptoNAK || len(out) != 48+echo+4 || !bytes.Equal(out[len(out)-4:], make([]byte, 4)) {
			t.Errorf("%s: %v %x, want a crypto-NAK", c.name, why, out)
		}
		out, why = g.respond(c.req, PlainBadMAC)
		if why != NTP || len(out) != 48+echo {
			t.Errorf("%s: %v, %d octets; want a plain answer", c.name, why, len(out))
		}
	}
}

// Requests with a valid MAC are counted apart from others: whoever forges an
// address takes nothing from the holder of a key.
func TestForgedRequestsTakeNothingFromTheHolderOfAKey(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	g.symmetric(mac.AES128)
	g.Limit = NewLimiter(LimitConfig{Rate: 1, Burst: 3})
	g.From, g.Mono = netip.MustParseAddrPort("192.0.2.1:40000"), rxMono
	bad := g.keyed(header(v4client))
	bad[60] ^= 1
	for range 10 {
		g.respond(header(v4client), 0)
		g.respond(bad, NAKBadMAC)
	}
	for i := range 5 {
		want := MAC
		if i >= 3 {
			want = RateLimited
		}
		if _, why := g.respond(g.keyed(header(v4client)), 0); why != want {
			t.Errorf("request %d: %v, want %v", i, why, want)
		}
	}
	if _, why := g.respond(bad, NAKBadMAC); why != RateLimited {
		t.Errorf("the eleventh wrong MAC: %v", why)
	}
}

// A client of interleaved mode with a symmetric key.
func TestInterleavedWithMAC(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	g.symmetric(mac.AES128)
	var h ntp.Header
	req := header(v4client)
	for i, want := range []Reason{MAC, MAC, MACInterleaved, MACInterleaved} {
		out, why := g.respond(g.keyed(req), 0)
		if h.Parse(out) != nil || why != want {
			t.Errorf("exchange %d: %v, want %v", i, why, want)
		}
		q := ntp.Header{Version: 4, Mode: ntp.ModeClient, Origin: h.Receive, Receive: 5, Transmit: ntp.Timestamp(100 + i)}
		q.Put(req)
	}
}
