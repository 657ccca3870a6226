package server

import (
	"testing"

	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

// A client as in figure 1 of RFC 9769.
func TestInterleavedMode(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		g := newRig(t, aead.AESSIVCMAC256)
		basic, inter := NTP, NTPInterleaved
		if secure {
			basic, inter = NTS, NTSInterleaved
		}
		round := 0
		ask := func(origin, receive, transmit ntp.Timestamp, want Reason) ntp.Header {
			t.Helper()
			round++
			g.tx = txMono + int64(round) // each answer leaves at an instant of its own
			q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: receive, Transmit: transmit}
			b := make([]byte, ntp.HeaderLen)
			q.Put(b)
			if secure {
				b = g.seal(ntp.AppendField(ntp.AppendField(b, ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie()))
			}
			out, why := g.respond(b, 0)
			var h ntp.Header
			if h.Parse(out) != nil || why != want {
				t.Fatalf("secure %v, request %d: %v, want %v", secure, round, why, want)
			}
			return h
		}
		a := ask(0, 0, 100, basic)
		b := ask(a.Receive, 200, 300, basic) // the first answer was not stored
		if b.Origin != 300 {
			t.Errorf("basic answer has origin %d", b.Origin)
		}
		g.Sent.Correct(b.Receive, 0xeeae008000ffff01) // its transmit timestamp came
		c := ask(b.Receive, 400, 500, inter)
		if c.Origin != 400 || c.Transmit != 0xeeae008000ffff00 {
			t.Errorf("interleaved answer %+v", c)
		}
		d := ask(c.Receive, 600, 700, inter) // no timestamp came: the predicted one is used
		if want := ntp.FromTAI(t2026+12345+3, 37) &^ 1; d.Transmit != want || d.Origin != 600 {
			t.Errorf("interleaved answer %+v, want transmit %x", d, want)
		}
		ask(d.Receive^0x10, 800, 900, basic) // not ours
		ask(d.Receive, 800, 800, basic)      // two equal timestamps: no client of RFC 9769
		ask(d.Transmit, 800, 900, basic)     // a basic client
		ask(b.Receive, 800, 900, basic)      // each transmit timestamp is used once
		if e := ask(d.Receive, 1000, 1100, inter); e.Receive == d.Receive || e.Receive == c.Receive {
			t.Error("two answers under one receive timestamp")
		}
		g.Sent = nil
		ask(d.Receive, 800, 900, basic)
	}
}

func TestSentHasFixedMemory(t *testing.T) {
	t.Parallel()
	s := NewSent()
	for i := range ntp.Timestamp(100000) {
		s.Put(i<<20|1, i, 7)
	}
	found := 0
	for i := range ntp.Timestamp(100000) {
		if tx, ok := s.Get(i<<20 | 1); ok {
			found++
			if tx != i {
				t.Fatalf("entry %d gives %d", i, tx)
			}
		}
	}
	if found == 0 || found > 1<<sentBits {
		t.Errorf("%d entries of %d", found, 1<<sentBits)
	}
	if _, ok := NewSent().Get(0); ok {
		t.Error("an empty table has an entry")
	}
}
