package server

import (
	"fmt"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/transport/sockets"
)

// still is a worker without a socket, whose clocks a test moves.
type still struct {
	*worker
	t          *testing.T
	real, mono int64
	phc        time.Duration // the card's clock, ahead of t2026 at rxMono
	id         uint32
}

func newStill(t *testing.T) *still {
	s := &still{worker: newWorker(&Server{precision: -24}, nil, 0), t: t, real: 1795392000e9, mono: rxMono}
	s.tellIt(bounded(t2026))
	return s
}

// card returns what the card's clock reads at mono.
func (s *still) card(mono int64) tai.Time { return t2026.Add(time.Duration(mono-rxMono) + s.phc) }

// pass lets time go by.
func (s *still) pass(d time.Duration) { s.real, s.mono = s.real+int64(d), s.mono+int64(d) }

// tellIt begins a batch with a snapshot.
func (s *still) tellIt(snap *status.Snapshot) {
	s.snap, s.seen = *snap, true
	s.tell(s.real, s.mono)
}

// dispersion returns the root dispersion that is told at the next batch.
func (s *still) dispersion() time.Duration {
	s.tell(s.real, s.mono)
	return s.resp.View.header(s.resp.View.at(s.mono)).RootDisp.Duration()
}

// answer answers a request, dated lead after now and asking for its stamp.
func (s *still) answer(lead int64, origin ntp.Timestamp, card bool) (d *Draft, h ntp.Header, why Reason) {
	s.t.Helper()
	s.toWire = latency{floor: lead}
	q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: 11, Transmit: 22}
	req := make([]byte, ntp.HeaderLen)
	q.Put(req)
	p := &s.batch.Packets[0]
	*p = sockets.Packet{Req: req, Out: make([]byte, 0, sockets.MaxPacket), PHC: -1, Soft: s.real}
	if card {
		p.PHC, p.Transmits = 3, true
	}
	d = &s.drafts[0]
	why = s.packet(d, p, s.real, s.mono)
	s.active = s.mono
	p.Out = p.Out[:s.resp.Finish(d, p.Out[:cap(p.Out)], s.mono+lead)]
	if err := h.Parse(p.Out); err != nil {
		s.t.Fatalf("%v: %v", why, err)
	}
	s.id++
	p.Stamp, p.ID = true, s.id
	s.remember(0, 1, 0, 1, s.mono)
	return d, h, why
}

// moves are what may happen to clocks between an answer and its stamp.
var moves = []struct {
	name         string
	phc, real    time.Duration // the card's clock is stepped, CLOCK_REALTIME is
	how          int
	kernel, card bool // a stamp of the kernel, of the card, is still good
	lives        bool // so is the interleaved timestamp
}{
	{"-1 s", -time.Second, 0, shown, true, false, false},
	{"1 s", time.Second, 0, shown, true, false, false},
	{"-1 s, told", -time.Second, 0, told, true, false, false},
	{"1 s, told", time.Second, 0, told, true, false, false},
	{"-1 s, by another", -time.Second, 0, hidden, true, false, true},
	{"1 s, by another", time.Second, 0, hidden, true, false, true},
	{"0.3 s, told", 300 * time.Millisecond, 0, told, true, false, false},
	{"0.3 s, by another", 300 * time.Millisecond, 0, hidden, true, false, true},
	{"-0.1 ms, by another", -100 * time.Microsecond, 0, hidden, true, false, true},
	{"0.1 ms", 100 * time.Microsecond, 0, shown, true, false, false},
	{"1 us, told", time.Microsecond, 0, told, true, false, false},
	{"a moment without a clock", 0, 0, lost, true, false, false},
	{"the system's clock, -1 s", 0, -time.Second, shown, false, true, true},
	{"the system's clock, 1 s", 0, time.Second, shown, false, true, true},
	{"the system's clock, -20 ms", 0, -20 * time.Millisecond, shown, false, true, true},
	{"the system's clock, 0.5 ms", 0, 500 * time.Microsecond, shown, false, true, true},
	{"-1 us", -time.Microsecond, 0, shown, true, true, true},
	{"1 us", time.Microsecond, 0, shown, true, true, true},
	{"nothing", 0, 0, shown, true, true, true},
}

// How a move is published.
const (
	shown  = iota // the line shows it
	told          // and the epoch tells of it
	hidden        // not yet
	lost          // there was no clock meanwhile
)

// TestMoved steps clocks while the transmit stamp of an answer is still to come. No
// step is taken for a late answer: neither root dispersion nor learned latency
// hold it, and what was really late is told all the same. No timestamp of before
// goes out with the quality of after.
func TestMoved(t *testing.T) {
	const lead, late = 8000, 2000 // ns: dated 8 us after the reading, gone 6 us after it
	for _, c := range moves {
		for i := range 4 {
			card, after := i&1 != 0, i&2 != 0 // the answer left after the move
			t.Run(fmt.Sprintf("%s, card %v, left after it %v", c.name, card, after), func(t *testing.T) {
				s := newStill(t)
				_, first, _ := s.answer(lead, 1, card) // it is remembered: the origin is marked
				gone := s.mono + lead - late
				dep := sockets.Departure{ID: s.id, Soft: s.real + lead - late}
				if card {
					dep.Hard = int64(s.card(gone))
				}
				without := s.dispersion()
				s.pass(5 * time.Millisecond)
				s.phc += c.phc
				s.real += int64(c.real)
				if after {
					dep.Soft += int64(c.real)
					if card {
						dep.Hard += int64(c.phc)
					}
				}
				snap := bounded(s.card(s.mono))
				snap.Mono, snap.Clock = s.mono, s.card(s.mono)
				switch c.how {
				case hidden:
					snap.Clock = snap.Clock.Add(-c.phc)
				case told:
					snap.Epoch++
				case lost:
					s.seen = false
					s.tell(s.real, s.mono)
				}
				s.tellIt(snap)
				s.departed(&dep, s.real, s.mono)
				if s.pending != 0 {
					t.Error("the stamp is awaited still")
				}

				good := c.kernel
				if card {
					good = c.card || c.how == hidden && !after
				}
				wobble := int64(0)
				if card && c.card {
					wobble = int64(c.phc.Abs()) // not to be told from the bound
				}
				if got := int64(s.late); good && max(got-late, late-got) > wobble || !good && got != 0 {
					t.Errorf("%d ns late is learned", got)
				}
				if got := s.toWire.of(0, 1, 0); good && max(got-(lead-late), lead-late-got) > wobble || !good && got != lead {
					t.Errorf("%d ns to the wire are learned", got)
				}
				if got := s.dispersion(); got < time.Duration(s.late) || got > without+time.Duration(s.late)+2*resolution {
					t.Errorf("root dispersion %v, was %v", got, without)
				}
				_, second, why := s.answer(lead, first.Receive, card)
				if (why == NTPInterleaved) != c.lives {
					t.Errorf("the next answer is %v", why)
				}
				if why == NTPInterleaved {
					d, want := int64(second.Transmit.Sub(first.Transmit)), int64(0)
					if good {
						want = -late
					}
					if max(d-want, want-d) > wobble+2 {
						t.Errorf("its transmit timestamp was corrected by %d ns, want %d", d, want)
					}
				}
			})
		}
	}
}

// TestLineError wants a card's stamp taken that is as early as its clock may be
// behind the line, and none that is earlier.
func TestLineError(t *testing.T) {
	for _, c := range []struct {
		line time.Duration
		good bool
	}{{0, false}, {20 * time.Microsecond, false}, {100 * time.Microsecond, true}} {
		s := newStill(t)
		snap := bounded(t2026)
		snap.LineErr, snap.Updates = c.line, 1
		s.tellIt(snap)
		s.answer(0, 1, true)
		s.departed(&sockets.Departure{ID: s.id, Hard: int64(s.card(s.mono)) - 80_000}, s.real, s.mono)
		if learned := s.late > 79_000; learned != c.good {
			t.Errorf("line within %v: learned %d ns", c.line, s.late)
		}
	}
}

// resolution is that of root dispersion.
const resolution = 15259 * time.Nanosecond

// bounded is locked with a bound that a microsecond is within.
func bounded(at tai.Time) *status.Snapshot {
	s := locked(at)
	s.Bound = 1000
	return s
}

// TestInterleavedQuality wants an answer that carries an earlier one's timestamps
// to tell no better quality than the earlier one did, and a better one to be told
// again after that.
func TestInterleavedQuality(t *testing.T) {
	s := newStill(t)
	tellBound := func(d time.Duration) {
		s.pass(time.Second)
		snap := locked(s.card(s.mono))
		snap.Mono, snap.Clock, snap.Bound = s.mono, s.card(s.mono), d
		s.tellIt(snap)
	}
	tellBound(500 * time.Microsecond)
	_, first, _ := s.answer(0, 1, false)
	tellBound(time.Microsecond)
	_, second, why := s.answer(0, first.Receive, false)
	if why != NTPInterleaved || second.RootDisp < first.RootDisp {
		t.Errorf("%v with root dispersion %v, want %v", why, second.RootDisp.Duration(), first.RootDisp.Duration())
	}
	_, third, why := s.answer(0, second.Receive, false)
	if why != NTPInterleaved || third.RootDisp.Duration() > 3*resolution {
		t.Errorf("%v with root dispersion %v", why, third.RootDisp.Duration())
	}
}

// TestHardLag wants the card's receive stamp only where the kernel's confirms it:
// the card's clock may have been stepped a moment ago, and a request that seems to
// come too early makes an error that its client cannot see.
func TestHardLag(t *testing.T) {
	for _, c := range []struct {
		name string
		step time.Duration
		soft bool
		hard bool
	}{
		{"-0.5 s", -500 * time.Millisecond, true, false},
		{"-11 ms", -11 * time.Millisecond, true, false},
		{"1 s", time.Second, true, false},
		{"1 s, no other stamp", time.Second, false, false},
		{"nothing", 0, true, true},
		{"nothing, no other stamp", 0, false, true},
	} {
		s := newStill(t)
		came := s.mono
		p := &sockets.Packet{PHC: 3, Hard: int64(s.card(came - 5000).Add(c.step)), Soft: s.real}
		s.pass(20 * time.Millisecond) // it waited
		if !c.soft {
			p.Soft = 0
		}
		s.tellIt(bounded(t2026))
		switch got := s.stamp(p, s.real, s.mono); {
		case c.hard && got != Stamp{Hard: tai.Time(p.Hard)}:
			t.Errorf("%s: %+v, want the card's stamp", c.name, got)
		case !c.hard && c.soft && got != Stamp{Mono: came}:
			t.Errorf("%s: %+v, want the kernel's stamp", c.name, got)
		case !c.hard && !c.soft && got != Stamp{Mono: s.mono}:
			t.Errorf("%s: %+v, want the time of reading", c.name, got)
		}
	}
}

// TestWall wants requests dated when they are read in a batch before which the
// system's clock, in which the kernel stamps, was set.
func TestWall(t *testing.T) {
	for _, c := range []struct {
		set  time.Duration
		even bool
	}{{-time.Second, false}, {-300 * time.Millisecond, false}, {time.Millisecond, false}, {0, true}, {4 * time.Microsecond, true}} {
		s := newStill(t)
		s.pass(10 * time.Millisecond)
		p := &sockets.Packet{PHC: -1, Soft: s.real - 1000}
		s.real += int64(c.set)
		s.tell(s.real, s.mono)
		want := Stamp{Mono: s.mono}
		if c.even {
			want.Mono -= 1000 + int64(c.set)
		}
		if got := s.stamp(p, s.real, s.mono); got != want {
			t.Errorf("set by %v: %+v, want %+v", c.set, got, want)
		}
		s.pass(time.Millisecond)
		s.tell(s.real, s.mono)
		if got := s.stamp(&sockets.Packet{PHC: -1, Soft: s.real - 1000}, s.real, s.mono); got.Mono != s.mono-1000 {
			t.Errorf("set by %v: the next batch is dated %d ns early", c.set, s.mono-got.Mono)
		}
	}
}

// TestEraFollows wants what is no move taken for none.
func TestEraFollows(t *testing.T) {
	leap := func(s *status.Snapshot) { s.LeapAt, s.LeapSign = t2026.Add(time.Hour), 1 }
	for _, c := range []struct {
		name   string
		smear  bool
		first  func(*status.Snapshot)
		wait   time.Duration
		change func(*status.Snapshot)
		moved  bool
	}{
		{"another clock", false, nil, 0, func(s *status.Snapshot) { s.PHCIndex = 4 }, true},
		{"another kind", false, nil, 0, func(s *status.Snapshot) { s.Kind = status.SystemClock }, true},
		{"TAI - UTC corrected", false, nil, 0, func(s *status.Snapshot) { s.TAIOffset-- }, true},
		{"a leap second learned late, smeared", true, nil, 0, leap, true},
		{"a leap second learned", false, nil, 0, leap, false},
		{"a leap second executed", false, leap, 2 * time.Hour, func(s *status.Snapshot) {
			s.LeapPast, s.PastSign = t2026.Add(time.Hour), 1
			s.TAIOffset++
		}, false},
		{"a leap second executed, smeared", true, leap, 2 * time.Hour, func(s *status.Snapshot) {
			s.LeapPast, s.PastSign = t2026.Add(time.Hour), 1
			s.TAIOffset++
		}, false},
		{"a long wait and another frequency", false, func(s *status.Snapshot) { s.BoundRate = 100 }, time.Hour, func(s *status.Snapshot) {
			s.Clock, s.RatePPB = s.Clock.Add(300*time.Microsecond), 50
		}, false},
		{"the writer began anew", false, nil, time.Second, func(s *status.Snapshot) { s.PID, s.Updates = 7, 1 }, false},
		{"nothing", false, nil, 0, func(*status.Snapshot) {}, false},
	} {
		s := newStill(t)
		s.resp.View.Smear = c.smear
		snap := locked(t2026)
		snap.Limit, snap.Updates = time.Second, 1
		if c.first != nil {
			c.first(snap)
		}
		s.tellIt(snap)
		was := s.era.n
		s.pass(c.wait)
		again := *snap
		again.LeapAt, again.LeapSign = 0, 0
		again.Mono, again.Clock = s.mono, snap.ClockAt(s.mono)
		again.Updates++
		c.change(&again)
		s.tellIt(&again)
		if moved := s.era.n != was; moved != c.moved {
			t.Errorf("%s: moved %v", c.name, moved)
		}
	}
}
