package server

import (
	"fmt"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

// leapTable is a table with an invented leap second at the end of 2026.
func leapTable(sign int) (*tai.Table, tai.Leap) {
	l := tai.Leap{UTC: 1798761600, Offset: 37 + sign}
	return tai.Builtin().With(l), l
}

// published is a snapshot as refclockd makes it when its clock reads at, seen by
// a reader whose CLOCK_MONOTONIC_RAW is rxMono when the clock reads now.
func published(tb *tai.Table, at, now tai.Time) *status.Snapshot {
	s := locked(now)
	s.Clock, s.Mono, s.RefTime = at, rxMono-int64(now-at), at-3e8
	s.TAIOffset = int32(tb.Offset(at))
	if l, sign, ok := tb.Next(at); ok {
		s.LeapAt, s.LeapSign = l.At(), int8(sign)
	}
	if l, sign, ok := tb.Past(at); ok {
		s.LeapPast, s.PastSign = l.At(), int8(sign)
	}
	return s
}

// noons are the ends of the smear of a leap second at the end of 2026, by the
// calendar.
func noons(t *testing.T, tb *tai.Table) (from, to tai.Time) {
	t.Helper()
	from, err1 := tb.FromUTC(2026, 12, 31, 12, 0, 0, 0)
	to, err2 := tb.FromUTC(2027, 1, 1, 12, 0, 0, 0)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return from, to
}

// Smeared time is exact at both noons, half a second off in the middle, never goes
// back, and has a constant rate.
func TestSmearIsLinearBetweenTheNoons(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	for _, sign := range []int{1, -1} {
		tb, l := leapTable(sign)
		from, to := noons(t, tb)
		m := smearOf(published(tb, from, from), from)
		if m.from != from || m.to != to || to-from != (86400+tai.Time(sign))*tai.Second {
			t.Fatalf("sign %d: from %d to %d, want %d to %d", sign, m.from, m.to, from, to)
		}
		utc := func(at tai.Time) ntp.Timestamp { return ntp.FromTAI(at, tb.Offset(at)) }
		if m.timestamp(from) != utc(from) || m.timestamp(to) != utc(to) || m.timestamp(from+1) > utc(from+1) && sign > 0 {
			t.Errorf("sign %d: not exact at the noons", sign)
		}
		// Half way it is half a second from UTC, on the one side and then on the other.
		mid := from + (to-from)/2
		if lag := m.lag(mid); lag != tai.Time(sign)*tai.Second/2 {
			t.Errorf("sign %d: lag %d ns half way", sign, lag)
		}
		if before := m.timestamp(l.At() - 1).Sub(utc(l.At() - 1)); before.Abs() > 500012*time.Microsecond {
			t.Errorf("sign %d: %v from UTC before the leap", sign, before)
		}
		last, lastAt := m.timestamp(from), from
		for at := from; at < to; at += 1 + tai.Time(g.rnd.Int64N(int64(60*tai.Second))) {
			for _, x := range []tai.Time{at, at + 1, at + 2} {
				if x > to {
					continue
				}
				w := m.timestamp(x)
				d, want := w.Sub(last), time.Duration(float64(x-lastAt)*(1-float64(sign)/float64(86400+sign)))
				if d < 0 || (d-want).Abs() > 2 {
					t.Fatalf("sign %d: %d ns of the clock are %d on the wire", sign, x-lastAt, d)
				}
				last, lastAt = w, x
			}
		}
	}
}

// The examples are from the tests of ntpd (refidsmear).
func TestSmearRefIDEqualsNtpds(t *testing.T) {
	t.Parallel()
	m := newSmear(1<<60, 1, 37)
	for _, c := range []struct {
		name string
		at   tai.Time
		want [4]byte
	}{
		{"-0.25 s", m.from + 86401*tai.Second/4, [4]byte{0xfe, 0xf0, 0, 0}},
		{"-0.00000024 s", m.from + 86401*238, [4]byte{0xfe, 0xff, 0xff, 0xff}},
		{"0.00000024 s", m.to - 86401*238, [4]byte{0xfe, 0, 0, 1}},
		{"0.25 s", m.to - 86401*tai.Second/4, [4]byte{0xfe, 0x10, 0, 0}},
		{"nothing yet", m.from + 1, [4]byte{0xfe, 0, 0, 0}},
	} {
		if got := m.refID(c.at); got != c.want {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
	}
	n := newSmear(1<<60, -1, 37)
	if got := n.refID(n.from + 86399*tai.Second/4); got != [4]byte{0xfe, 0x10, 0, 0} {
		t.Errorf("a deletion: %x", got)
	}
}

// ask returns the header of an answer, plain or NTS.
func (g *rig) ask(secure bool) (h ntp.Header) {
	g.t.Helper()
	req := header(v4client)
	if secure {
		req = g.request(0)
	}
	out, _ := g.respond(req, 0)
	if err := h.Parse(out); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// smearDay is an instant of the day of a leap second.
type smearDay struct {
	table    *tai.Table
	from, to tai.Time // of the smear
	sign     float64
	snap     *status.Snapshot
	at       tai.Time // arrival of the requests
	in       bool     // within the smear
}

// utc returns the timestamp of an instant.
func (d *smearDay) utc(at tai.Time) ntp.Timestamp { return ntp.FromTAI(at, d.table.Offset(at)) }

// smeared returns the smeared timestamp of an instant by the definition, in floats.
func (d *smearDay) smeared(at tai.Time) ntp.Timestamp {
	if at <= d.from || at >= d.to {
		return d.utc(at)
	}
	behind := d.sign * float64(at-d.from) / float64(d.to-d.from) * 1e9
	return ntp.FromTAI(at-tai.Time(behind), 37)
}

// compare returns what is wrong with a plain and a smeared answer.
func (d *smearDay) compare(plain, smeared ntp.Header) string {
	tx := d.at + tai.Time(txMono-rxMono)
	p := [3]ntp.Timestamp{plain.RefTime, plain.Receive, plain.Transmit}
	s := [3]ntp.Timestamp{smeared.RefTime, smeared.Receive, smeared.Transmit}
	for i, at := range [3]tai.Time{d.snap.RefTime, d.at, tx} {
		if off := p[i].Sub(d.utc(at)); off.Abs() > 1 {
			return fmt.Sprintf("plain timestamp %d is off by %v", i, off)
		}
		if off := s[i].Sub(d.smeared(at)); off.Abs() > 2 {
			return fmt.Sprintf("smeared timestamp %d is off by %v", i, off)
		}
	}
	switch {
	case plain.Leap != d.snap.LeapIndicator(tx) || smeared.Leap != 0:
		return fmt.Sprintf("leap indicators %d and %d", plain.Leap, smeared.Leap)
	case (smeared.RefID[0] == 254) != d.in || !d.in && smeared.RefID != plain.RefID || plain.RefID != d.snap.RefID:
		return fmt.Sprintf("reference IDs %v and %v", plain.RefID, smeared.RefID)
	case smeared.RootDisp != plain.RootDisp || smeared.Stratum != plain.Stratum:
		return fmt.Sprintf("root dispersions %v and %v", plain.RootDisp.Duration(), smeared.RootDisp.Duration())
	}
	if d.in { // the reference ID has the offset from UTC
		id := int32(uint32(smeared.RefID[1])<<24|uint32(smeared.RefID[2])<<16|uint32(smeared.RefID[3])<<8) >> 8
		ahead := time.Duration(float64(id) / (1 << 22) * 1e9)
		if off := smeared.Transmit.Sub(d.utc(tx)) - ahead; off.Abs() > 120 {
			return fmt.Sprintf("the reference ID says %v, off by %v", ahead, off)
		}
	}
	return ""
}

// A smearing and a plain view of the same snapshot, before, during and after the
// smear: receive, transmit and reference timestamps are smeared alike, no leap
// second is announced, and the plain view does not change.
func TestSmearedAnswersOfOneDay(t *testing.T) {
	t.Parallel()
	for _, sign := range []int{1, -1} {
		tb, l := leapTable(sign)
		from, to := noons(t, tb)
		plain := newRig(t, aead.AESSIVCMAC256)
		smeared := newRig(t, aead.AESSIVCMAC256)
		smeared.View.Smear = true
		for _, c := range []struct {
			name string
			at   tai.Time
			in   bool
		}{
			{"month before", from - 30*86400*tai.Second, false},
			{"second before", from - 2*tai.Second, false},
			{"begins", from + tai.Second, true},
			{"second 58", l.At() - 3*tai.Second, true},
			{"over the leap", l.At() - 5000, true},
			{"second after", l.At() + tai.Second, true},
			{"hours after", l.At() + 40000*tai.Second, true},
			{"ends", to - tai.Second, true},
			{"over", to + 2*tai.Second, false},
			{"weeks after", to + 50*86400*tai.Second, false},
		} {
			snap := published(tb, c.at-1e8, c.at)
			for _, x := range []*rig{plain, smeared} {
				x.View.Set(snap, 0, rxMono, -24)
			}
			for _, secure := range []bool{false, true} {
				d := smearDay{tb, from, to, float64(sign), snap, c.at, c.in}
				if msg := d.compare(plain.ask(secure), smeared.ask(secure)); msg != "" {
					t.Errorf("sign %d, %s, NTS %v: %s", sign, c.name, secure, msg)
				}
			}
		}
		// An unsynchronised clock is not smeared.
		for _, x := range []func(){
			func() { smeared.View.SetNone(1798750000e9, rxMono, -24) },
			func() {
				s := published(tb, l.At(), l.At())
				s.RefTime = 0
				smeared.View.Set(s, 0, rxMono, -24)
			},
		} {
			x()
			out, _ := smeared.respond(header(v4client), 0)
			var h ntp.Header
			if h.Parse(out) != nil || h.Leap != 3 || h.Stratum != 16 || h.RefID != initID {
				t.Errorf("unsynchronised: %+v", h)
			}
		}
	}
}

// Each timestamp is that of its own instant, whenever the snapshot was published,
// before or after the leap second; also smeared.
func TestTimestampsAroundALeapSecond(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	for _, sign := range []int{1, -1} {
		tb, l := leapTable(sign)
		from, to := noons(t, tb)
		for _, edge := range []tai.Time{l.At(), from, to} {
			for i := range 4000 {
				rx := edge + tai.Time(g.rnd.Int64N(4e6)-2e6)
				tx := rx + tai.Time(1+g.rnd.Int64N(2e6))
				// Read once a batch: up to a while before the request came, or between.
				made := tx - tai.Time(g.rnd.Int64N(3e6))
				if i%2 == 0 {
					made = rx - tai.Time(g.rnd.Int64N(int64(10*tai.Second)))
				}
				g.View.Smear = i%3 == 0
				snap := published(tb, made, rx)
				snap.RefTime = edge + tai.Time(g.rnd.Int64N(4e6)-2e6)
				g.View.Set(snap, 0, rxMono, -24)
				g.tx = rxMono + int64(tx-rx)
				out, _ := g.respond(header(v4client), 0)
				var h ntp.Header
				if err := h.Parse(out); err != nil {
					t.Fatal(err)
				}
				for j, x := range [3]struct {
					got ntp.Timestamp
					at  tai.Time
				}{{h.RefTime, snap.RefTime}, {h.Receive, rx}, {h.Transmit, tx}} {
					want := ntp.FromTAI(x.at, tb.Offset(x.at))
					if g.View.Smear && x.at > from && x.at < to {
						m := newSmear(l.At(), int8(sign), 37)
						want = m.timestamp(x.at)
					}
					if d := x.got.Sub(want); d.Abs() > 1 {
						t.Fatalf("sign %d, timestamp %d at %v from the edge, snapshot of %v, smear %v: off by %v", sign, j, x.at-edge, made-edge, g.View.Smear, d)
					}
				}
			}
		}
	}
}

// The transmit timestamp of the earlier answer does not change when the leap
// second comes, whether it was known at once or comes later from a transmit
// timestamp; executed and smeared, plain and NTS.
func TestInterleavedAcrossALeapSecond(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, smeared := range []bool{false, true} {
			for _, sign := range []int{1, -1} {
				tb, l := leapTable(sign)
				g := newRig(t, aead.AESSIVCMAC256)
				g.View.Smear = smeared
				m := newSmear(l.At(), int8(sign), 37)
				label := func(at tai.Time) ntp.Timestamp {
					if smeared {
						return m.timestamp(at)
					}
					return ntp.FromTAI(at, tb.Offset(at))
				}
				ask := func(made, rx, tx tai.Time, origin ntp.Timestamp, want Reason) ntp.Header {
					t.Helper()
					g.View.Set(published(tb, made, rx), 0, rxMono, -24)
					g.tx = rxMono + int64(tx-rx)
					q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: 7, Transmit: ntp.Timestamp(g.rnd.Uint64() | 8)}
					b := make([]byte, ntp.HeaderLen)
					q.Put(b)
					if secure {
						b = g.seal(ntp.AppendField(ntp.AppendField(b, ntp.ExtUniqueID, g.uid), ntp.ExtCookie, g.cookie()))
						want += NTS - NTP
					}
					out, why := g.respond(b, 0)
					var h ntp.Header
					if h.Parse(out) != nil || why != want {
						t.Fatalf("%v, want %v", why, want)
					}
					return h
				}
				at := func(ns int64) tai.Time { return l.At() + tai.Time(ns) }
				a := ask(at(-3e9), at(-2e9), at(-2e9+1e4), 0, NTP)
				b := ask(at(-1e8), at(-5e3), at(5e3), a.Receive, NTP)       // the request before, the answer after
				c := ask(at(1e6), at(1e9), at(1e9+1e4), b.Receive, NTP+1)   // a snapshot from after
				g.View.Set(published(tb, at(2e6), at(3e6)), 0, rxMono, -24) // the timestamp of b, late
				g.Sent.Correct(c.Receive, g.View.timestamp(at(-2e3)))
				d := ask(at(3e6), at(2e9), at(2e9+1e4), c.Receive, NTP+1)
				for _, x := range []struct {
					what string
					got  ntp.Timestamp
					at   tai.Time
				}{
					{"receive before", b.Receive, at(-5e3)}, {"transmit after", b.Transmit, at(5e3)},
					{"interleaved transmit after", c.Transmit, at(5e3)}, {"timestamp from before the leap second that comes after it", d.Transmit, at(-2e3)},
				} {
					if e := x.got.Sub(label(x.at)); e.Abs() > 1 {
						t.Errorf("sign %d, smear %v, NTS %v: %s is off by %v", sign, smeared, secure, x.what, e)
					}
				}
			}
		}
	}
}

func TestSmearDoesNotAllocate(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	g := newRig(t, aead.AESSIVCMAC256)
	tb, l := leapTable(1)
	g.View.Smear = true
	snap, req, dst := published(tb, l.At()-1e8, l.At()), header(v4client), make([]byte, MaxPacket)
	if n := testing.AllocsPerRun(100, func() {
		g.View.Set(snap, 0, rxMono, -24)
		g.Respond(dst, req, Arrival{Mono: rxMono}, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// One plain answer with a new view, as in a batch of one: executed, smearing on a
// day without leap second, and on the day.
func BenchmarkSmear(b *testing.B) {
	tb, l := leapTable(1)
	for _, c := range []struct {
		name  string
		smear bool
		at    tai.Time
	}{{"off", false, l.At() - 1e9}, {"idle", true, l.At() - 30*noon}, {"on", true, l.At() - 1e9}} {
		b.Run(c.name, func(b *testing.B) {
			g := newRig(b, aead.AESSIVCMAC256)
			g.View.Smear = c.smear
			snap, req, dst := published(tb, c.at, c.at), header(v4client), make([]byte, MaxPacket)
			b.ReportAllocs()
			for b.Loop() {
				g.View.Set(snap, 0, rxMono, -24)
				g.Respond(dst, req, Arrival{Mono: rxMono}, 0)
			}
		})
	}
}
