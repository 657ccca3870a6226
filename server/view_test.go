package server

import (
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

func TestAnswerReportsTheSnapshotsState(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	const real = 1795392000e9 + 777
	for _, c := range []struct {
		name    string
		change  func(*status.Snapshot)
		system  bool // the time is that of the system clock
		leap    uint8
		stratum uint8
		refid   string
		disp    time.Duration // at least
		ref     bool
	}{
		{"none", nil, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"unlocked", func(s *status.Snapshot) { s.State = status.Unlocked }, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"acquiring", func(s *status.Snapshot) { s.State = status.Acquiring }, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"faulty", func(s *status.Snapshot) { s.State = status.Faulty }, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"invalid state", func(s *status.Snapshot) { s.State = 200 }, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"only watching", func(s *status.Snapshot) { s.Kind = status.NoClock }, true, 3, 16, "INIT", 18 * time.Hour, false},
		{"never measured", func(s *status.Snapshot) { s.RefTime = 0 }, false, 3, 16, "INIT", 0, false},
		{"stale", func(s *status.Snapshot) { s.Mono -= 3600e9; s.Clock -= 3600e9; s.BoundRate = 1000 }, false, 3, 16, "INIT", 3600 * time.Microsecond, true},
		{"bound without end", func(s *status.Snapshot) { s.Bound = math.MaxInt64 }, false, 3, 16, "INIT", 18 * time.Hour, true},
		{"rate is NaN", func(s *status.Snapshot) { s.BoundRate = math.NaN() }, false, 3, 16, "INIT", 18 * time.Hour, true},
		{"stratum 0", func(s *status.Snapshot) { s.Stratum = 0 }, false, 3, 16, "INIT", 0, true},
		{"stratum 16", func(s *status.Snapshot) { s.Stratum = 16 }, false, 3, 16, "INIT", 0, true},
		{"locked", func(s *status.Snapshot) {}, false, 0, 1, "GPS\x00", 250, true},
		{"stratum 2", func(s *status.Snapshot) { s.Stratum = 2; s.RefID = [4]byte{10, 0, 0, 1} }, false, 0, 2, "\x0a\x00\x00\x01", 250, true},
		{"holdover", func(s *status.Snapshot) { s.State = status.Holdover; s.Bound = 900 * time.Microsecond }, false, 0, 1, "GPS\x00", 900 * time.Microsecond, true},
	} {
		if c.change == nil {
			g.View.SetNone(real, rxMono, -24)
		} else {
			s := locked(t2026)
			c.change(s)
			g.View.Set(s, real, rxMono, -24)
		}
		out, why := g.respond(header(v4client), 0)
		var h ntp.Header
		if why != NTP || h.Parse(out) != nil {
			t.Errorf("%s: %v", c.name, why)
			continue
		}
		if h.Leap != c.leap || h.Stratum != c.stratum || string(h.RefID[:]) != c.refid || h.RootDisp.Duration() < c.disp || (h.RefTime != 0) != c.ref {
			t.Errorf("%s: %+v", c.name, h)
		}
		want := t2026
		if c.system {
			want = tai.FromUnix(1795392000, 777, 37)
		}
		if d := h.Receive.Sub(ntp.FromTAI(want, 37)); d < -1 || d > 1 {
			t.Errorf("%s: receive timestamp is off by %v", c.name, d)
		}
		if _, why := g.respond(g.request(0), 0); why != NTS {
			t.Errorf("%s: NTS: %v", c.name, why)
		}
	}
}

// Half the root delay and the root dispersion are together never below the bound,
// at any instant at which the view may be used.
func TestRootDistanceIsNeverBelowTheBound(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	for range 2000 {
		s := locked(t2026)
		s.Bound = time.Duration(g.rnd.Int64N(1e6))
		s.BoundRate = g.rnd.Float64() * 1e5
		s.Limit = time.Second
		s.RootDelay = time.Duration(g.rnd.Int64N(2 * int64(s.Bound+1)))
		g.View.Set(s, 0, rxMono, int8(-30+g.rnd.IntN(20)))
		out, _ := g.respond(header(v4client), 0)
		var h ntp.Header
		if h.Parse(out) != nil || h.RootDelay.Duration()/2+h.RootDisp.Duration() < s.BoundAt(rxMono+int64(viewSpan)) || h.RootDisp.Duration() < Resolution(h.Precision) ||
			h.RootDelay.Duration() < s.RootDelay {
			t.Fatalf("bound %v: %+v", s.BoundAt(rxMono), h)
		}
	}
}

func TestLeapSecondIsAnnouncedAndExecuted(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	leap := tai.FromUnix(1798761600, 0, 38) // 2027-01-01, if a second were inserted before it
	for _, sign := range []int8{1, -1} {
		at := leap
		if sign < 0 {
			at = tai.FromUnix(1798761600-1, 0, 37) // 23:59:59 is left out
		}
		for _, c := range []struct {
			d    time.Duration // arrival relative to the leap
			leap uint8         // of an inserted second
		}{
			{-25 * time.Hour, 0}, {-86402 * time.Second, 0}, {-86398 * time.Second, 1}, {-time.Second - 1, 1}, {-time.Second, 1},
			{-20 * time.Microsecond, 1}, {-time.Microsecond, 0}, {0, 0}, {time.Hour, 0},
		} {
			rx := at.Add(c.d)
			s := locked(rx)
			s.LeapAt, s.LeapSign = at, sign
			g.View.Set(s, 0, rxMono, -24)
			out, _ := g.respond(header(v4client), 0)
			var h ntp.Header
			if err := h.Parse(out); err != nil {
				t.Fatal(err)
			}
			want := c.leap
			if sign < 0 && want == 1 {
				want = 2
			}
			off := func(t tai.Time) int {
				if t >= at {
					return 37 + int(sign)
				}
				return 37
			}
			tx := rx + tai.Time(txMono-rxMono)
			if h.Leap != want {
				t.Errorf("sign %d, %v: leap %d, want %d", sign, c.d, h.Leap, want)
			}
			if d := h.Receive.Sub(ntp.FromTAI(rx, off(rx))); d < -1 || d > 1 {
				t.Errorf("sign %d, %v: receive off by %v", sign, c.d, d)
			}
			if d := h.Transmit.Sub(ntp.FromTAI(tx, off(tx))); d < -1 || d > 1 {
				t.Errorf("sign %d, %v: transmit off by %v", sign, c.d, d)
			}
		}
	}
}

func TestTimestampsAcrossTheNTPEra(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	era1 := tai.FromUnix(2085978496, 0, 37) // 2036-02-07 06:28:16 UTC
	for _, d := range []time.Duration{-time.Second, -12346, -12345, -12344, -1, 0, 1, time.Second, 300 * time.Millisecond} {
		rx := era1.Add(d)
		g.View.Set(locked(rx), 0, rxMono, -24)
		out, _ := g.respond(header(v4client), 0)
		var h ntp.Header
		if err := h.Parse(out); err != nil {
			t.Fatal(err)
		}
		if h.Receive == 0 || h.Transmit == 0 || h.RefTime == 0 {
			t.Errorf("%v: a timestamp is 0: %+v", d, h)
		}
		if got := h.Receive.TAI(rx, 37).Sub(rx); got < -1 || got > 1 {
			t.Errorf("%v: receive off by %v", d, got)
		}
		if got := h.Transmit.Sub(h.Receive); got < 12344 || got > 12346 {
			t.Errorf("%v: transmit %v after receive", d, got)
		}
		if got := h.Receive.Sub(h.RefTime); got < 299999999 || got > 300000001 {
			t.Errorf("%v: reference %v before receive", d, got)
		}
	}
}

func TestHardStampOfTheServedClockIsUsed(t *testing.T) {
	t.Parallel()
	g := newRig(t, aead.AESSIVCMAC256)
	if !g.View.IsPHC(3) || g.View.IsPHC(0) || g.View.IsPHC(-1) {
		t.Error("timestamps of another clock are used")
	}
	dst := make([]byte, MaxPacket)
	n, _ := g.Respond(dst, header(v4client), Arrival{Mono: rxMono, Hard: t2026 - 5000}, 0)
	var h ntp.Header
	if h.Parse(dst[:n]) != nil || h.Receive != ntp.FromTAI(t2026-5000, 37)|1 {
		t.Errorf("%+v", h)
	}
	s := locked(t2026)
	s.Kind = status.SimClock
	if g.View.Set(s, 0, rxMono, -24); g.View.IsPHC(3) {
		t.Error("a simulated clock has hardware timestamps")
	}
	if g.View.SetNone(0, rxMono, -24); g.View.IsPHC(3) || g.View.IsPHC(0) {
		t.Error("no clock has hardware timestamps")
	}
}

func TestSlackIsAddedToRootDispersion(t *testing.T) {
	t.Parallel()
	var v View
	dispersion := func() ntp.Short {
		v.Set(locked(t2026), 1795392000e9, rxMono, -24)
		return v.header(t2026).RootDisp
	}
	without := dispersion()
	v.Slack = 100 * time.Microsecond
	if with := dispersion(); with < without+ntp.ShortFrom(90*time.Microsecond) || with > without+ntp.ShortFrom(110*time.Microsecond) {
		t.Errorf("root dispersion %d without, %d with 100 us of slack", without, with)
	}
}
