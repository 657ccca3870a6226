package server

import (
	"fmt"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/transport"
)

// clockRig is a worker without a socket, whose clocks the test moves.
type clockRig struct {
	*worker
	t          *testing.T
	real, mono int64         // CLOCK_REALTIME and CLOCK_MONOTONIC_RAW, ns
	phc        time.Duration // of the card's clock minus t2026, at rxMono
	id         uint32        // of the last answer
}

func newClockRig(t *testing.T) *clockRig {
	r := &clockRig{worker: newWorker(&Server{precision: -24}, nil, 0), t: t, real: 1795392000e9, mono: rxMono}
	r.publish(bounded(t2026))
	return r
}

// card returns the reading of the card's clock at mono.
func (s *clockRig) card(mono int64) tai.Time { return t2026.Add(time.Duration(mono-rxMono) + s.phc) }

// advance lets time pass.
func (s *clockRig) advance(d time.Duration) { s.real, s.mono = s.real+int64(d), s.mono+int64(d) }

// publish begins a batch with a snapshot.
func (s *clockRig) publish(snap *status.Snapshot) {
	s.feed.snap, s.feed.valid = *snap, true
	s.setView(s.real, s.mono)
}

// dispersion returns the root dispersion of the next batch.
func (s *clockRig) dispersion() time.Duration {
	s.setView(s.real, s.mono)
	return s.resp.View.header(s.resp.View.clockAt(s.mono)).RootDisp.Duration()
}

// answer answers a request, with a transmit timestamp of lead ns from now, and
// requests the timestamp of its departure.
func (s *clockRig) answer(lead int64, origin ntp.Timestamp, card bool) (d *Draft, h ntp.Header, why Reason) {
	s.t.Helper()
	s.timing.toWire = txLatency{floor: lead}
	q := ntp.Header{Version: 4, Mode: 3, Origin: origin, Receive: 11, Transmit: 22}
	req := make([]byte, ntp.HeaderLen)
	q.Put(req)
	p := &s.batch[0]
	*p = transport.Packet{Req: req, Out: make([]byte, 0, transport.MaxPacket), PHC: -1, SoftStamp: s.real}
	if card {
		p.PHC, p.StampsTx = 3, true
	}
	d = &s.drafts[0]
	why = s.prepare(d, p, s.real, s.mono)
	s.timing.read = s.mono
	g := group{to: 1, count: 1}
	s.finish(g)
	if err := h.Parse(p.Out); err != nil {
		s.t.Fatalf("%v: %v", why, err)
	}
	s.id++
	p.WantStamp, p.ID = true, s.id
	s.recordStamps(g, s.mono)
	return d, h, why
}

// move is what may happen to clocks between an answer and its transmit timestamp.
type move struct {
	name         string
	phc, real    time.Duration // steps of the card's clock and of CLOCK_REALTIME
	how          int
	kernel, card bool // a kernel timestamp, a hardware timestamp is still valid
	interleaved  bool // and the next answer is interleaved
}

var moves = []move{
	{"-1 s", -time.Second, 0, shown, true, false, false},
	{"1 s", time.Second, 0, shown, true, false, false},
	{"-1 s, counted", -time.Second, 0, counted, true, false, false},
	{"1 s, counted", time.Second, 0, counted, true, false, false},
	{"-1 s, by another", -time.Second, 0, hidden, true, false, true},
	{"1 s, by another", time.Second, 0, hidden, true, false, true},
	{"0.3 s, counted", 300 * time.Millisecond, 0, counted, true, false, false},
	{"0.3 s, by another", 300 * time.Millisecond, 0, hidden, true, false, true},
	{"-0.1 ms, by another", -100 * time.Microsecond, 0, hidden, true, false, true},
	{"0.1 ms", 100 * time.Microsecond, 0, shown, true, false, false},
	{"1 us, counted", time.Microsecond, 0, counted, true, false, false},
	{"a moment without clock", 0, 0, lost, true, false, false},
	{"the system clock, -1 s", 0, -time.Second, shown, false, true, true},
	{"the system clock, 1 s", 0, time.Second, shown, false, true, true},
	{"the system clock, -20 ms", 0, -20 * time.Millisecond, shown, false, true, true},
	{"the system clock, 0.5 ms", 0, 500 * time.Microsecond, shown, false, true, true},
	{"-1 us", -time.Microsecond, 0, shown, true, true, true},
	{"1 us", time.Microsecond, 0, shown, true, true, true},
	{"nothing", 0, 0, shown, true, true, true},
}

// How a move is published.
const (
	shown   = iota // the next snapshot shows it
	counted        // and its count of steps
	hidden         // not yet
	lost           // there was no clock in between
)

// Clocks are stepped before the transmit timestamp of an answer comes. A step
// must not look like a late answer: neither the root dispersion nor the learned
// latency contains it, and what was really late is still reported. No timestamp
// from before a step is sent with the quality from after it.
func TestClockStepBeforeTxStamp(t *testing.T) {
	t.Parallel()
	for _, m := range moves {
		for i := range 4 {
			card, after := i&1 != 0, i&2 != 0 // after: the answer left after the step
			t.Run(fmt.Sprintf("%s, card %v, left after it %v", m.name, card, after), func(t *testing.T) {
				t.Parallel()
				m.run(t, card, after)
			})
		}
	}
}

// The answer of a move is predicted to leave lead ns after the reading of the
// clock, and leaves late ns before that.
const lead, late = 8000, 2000

func (m *move) run(t *testing.T, card, after bool) {
	s := newClockRig(t)
	_, first, _ := s.answer(lead, 1, card) // it is stored, because the origin is marked
	stamp := transport.TxStamp{ID: s.id, Soft: s.real + lead - late}
	if card {
		stamp.Hard = int64(s.card(s.mono + lead - late))
	}
	before := s.dispersion()
	s.advance(5 * time.Millisecond)
	s.phc += m.phc
	s.real += int64(m.real)
	if after {
		stamp.Soft += int64(m.real)
		if card {
			stamp.Hard += int64(m.phc)
		}
	}
	m.publish(s)
	s.takeStamp(&stamp, s.real, s.mono)
	if s.stamps.pending != 0 {
		t.Error("the timestamp is still expected")
	}

	valid, tolerance := m.kernel, int64(0) // of the timestamp
	if card {
		valid = m.card || m.how == hidden && !after
		if m.card {
			tolerance = int64(m.phc.Abs()) // the step is within the bound
		}
	}
	wantLate, wantLatency, wantCorrection := int64(0), int64(lead), int64(0)
	if valid {
		wantLate, wantLatency, wantCorrection = late, lead-late, -late
	} else {
		tolerance = 0
	}
	differs := func(got, want, tolerance int64) bool { return max(got-want, want-got) > tolerance }
	if got := int64(s.timing.late); differs(got, wantLate, tolerance) {
		t.Errorf("learned that timestamps are %d ns late, want %d", got, wantLate)
	}
	if got := s.timing.toWire.learned(lead); differs(got, wantLatency, tolerance) {
		t.Errorf("learned a latency of %d ns, want %d", got, wantLatency)
	}
	if got := s.dispersion(); got < time.Duration(s.timing.late) || got > before+time.Duration(s.timing.late)+2*resolution {
		t.Errorf("root dispersion %v, was %v", got, before)
	}
	_, second, why := s.answer(lead, first.Receive, card)
	if (why == NTPInterleaved) != m.interleaved {
		t.Errorf("the next answer is %v", why)
	}
	if got := int64(second.Transmit.Sub(first.Transmit)); why == NTPInterleaved && differs(got, wantCorrection, tolerance+2) {
		t.Errorf("its transmit timestamp was corrected by %d ns, want %d", got, wantCorrection)
	}
}

// publish publishes the clock after the move.
func (m *move) publish(s *clockRig) {
	snap := bounded(s.card(s.mono))
	snap.Mono, snap.Clock = s.mono, s.card(s.mono)
	switch m.how {
	case hidden:
		snap.Clock = snap.Clock.Add(-m.phc)
	case counted:
		snap.Epoch++
	case lost:
		s.feed.valid = false
		s.setView(s.real, s.mono)
	}
	s.publish(snap)
}

// A hardware timestamp may be before the reading of the clock by the error of the
// snapshot's line, but not by more.
func TestTxStampWithinLineError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line time.Duration
		good bool
	}{{0, false}, {20 * time.Microsecond, false}, {100 * time.Microsecond, true}} {
		s := newClockRig(t)
		snap := bounded(t2026)
		snap.LineErr, snap.Updates = c.line, 1
		s.publish(snap)
		s.answer(0, 1, true)
		s.takeStamp(&transport.TxStamp{ID: s.id, Hard: int64(s.card(s.mono)) - 80_000}, s.real, s.mono)
		if learned := s.timing.late > 79_000; learned != c.good {
			t.Errorf("line error %v: learned %d ns", c.line, s.timing.late)
		}
	}
}

// resolution is that of root dispersion.
const resolution = 15259 * time.Nanosecond

// bounded is locked with a bound of a microsecond.
func bounded(at tai.Time) *status.Snapshot {
	s := locked(at)
	s.Bound = 1000
	return s
}

// An answer with an earlier answer's timestamp reports no better quality than the
// earlier one; the next may.
func TestInterleavedAnswerReportsTheEarlierQuality(t *testing.T) {
	t.Parallel()
	s := newClockRig(t)
	publishBound := func(d time.Duration) {
		s.advance(time.Second)
		snap := locked(s.card(s.mono))
		snap.Mono, snap.Clock, snap.Bound = s.mono, s.card(s.mono), d
		s.publish(snap)
	}
	publishBound(500 * time.Microsecond)
	_, first, _ := s.answer(0, 1, false)
	publishBound(time.Microsecond)
	_, second, why := s.answer(0, first.Receive, false)
	if why != NTPInterleaved || second.RootDisp < first.RootDisp {
		t.Errorf("%v with root dispersion %v, want %v", why, second.RootDisp.Duration(), first.RootDisp.Duration())
	}
	_, third, why := s.answer(0, second.Receive, false)
	if why != NTPInterleaved || third.RootDisp.Duration() > 3*resolution {
		t.Errorf("%v with root dispersion %v", why, third.RootDisp.Duration())
	}
}

// A hardware receive timestamp is used only if the kernel's confirms it: the
// card's clock may just have been stepped, and a receive timestamp that is too
// early makes an error that the client cannot see.
func TestHardStampNeedsTheKernelsConfirmation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		step time.Duration
		soft bool
		hard bool
	}{
		{"-0.5 s", -500 * time.Millisecond, true, false},
		{"-11 ms", -11 * time.Millisecond, true, false},
		{"1 s", time.Second, true, false},
		{"1 s, no kernel timestamp", time.Second, false, false},
		{"nothing", 0, true, true},
		{"nothing, no kernel timestamp", 0, false, true},
	} {
		s := newClockRig(t)
		came := s.mono
		p := &transport.Packet{PHC: 3, HardStamp: int64(s.card(came - 5000).Add(c.step)), SoftStamp: s.real}
		s.advance(20 * time.Millisecond) // it waited in the socket
		if !c.soft {
			p.SoftStamp = 0
		}
		s.publish(bounded(t2026))
		switch got := s.arrival(p, s.real, s.mono); {
		case c.hard && got != Arrival{Hard: tai.Time(p.HardStamp)}:
			t.Errorf("%s: %+v, want the hardware timestamp", c.name, got)
		case !c.hard && c.soft && got != Arrival{Mono: came}:
			t.Errorf("%s: %+v, want the kernel timestamp", c.name, got)
		case !c.hard && !c.soft && got != Arrival{Mono: s.mono}:
			t.Errorf("%s: %+v, want the time of reading", c.name, got)
		}
	}
}

// Kernel timestamps are of CLOCK_REALTIME. In the first batch after that clock was
// set, requests get the time at which they are read.
func TestKernelStampIsIgnoredAfterTheSystemClockWasSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set    time.Duration
		steady bool
	}{{-time.Second, false}, {-300 * time.Millisecond, false}, {time.Millisecond, false}, {0, true}, {4 * time.Microsecond, true}} {
		s := newClockRig(t)
		s.advance(10 * time.Millisecond)
		p := &transport.Packet{PHC: -1, SoftStamp: s.real - 1000}
		s.real += int64(c.set)
		s.setView(s.real, s.mono)
		want := Arrival{Mono: s.mono}
		if c.steady {
			want.Mono -= 1000 + int64(c.set)
		}
		if got := s.arrival(p, s.real, s.mono); got != want {
			t.Errorf("set by %v: %+v, want %+v", c.set, got, want)
		}
		s.advance(time.Millisecond)
		s.setView(s.real, s.mono)
		if got := s.arrival(&transport.Packet{PHC: -1, SoftStamp: s.real - 1000}, s.real, s.mono); got.Mono != s.mono-1000 {
			t.Errorf("set by %v: the next batch is %d ns early", c.set, s.mono-got.Mono)
		}
	}
}

// What does not move the clock does not change its generation.
func TestGenerationChangesOnlyWithTheClock(t *testing.T) {
	t.Parallel()
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
		{"a leap second announced late, smeared", true, nil, 0, leap, true},
		{"a leap second announced", false, nil, 0, leap, false},
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
		{"the writer restarted", false, nil, time.Second, func(s *status.Snapshot) { s.PID, s.Updates = 7, 1 }, false},
		{"nothing", false, nil, 0, func(*status.Snapshot) {}, false},
	} {
		s := newClockRig(t)
		s.resp.View.Smear = c.smear
		snap := locked(t2026)
		snap.Limit, snap.Updates = time.Second, 1
		if c.first != nil {
			c.first(snap)
		}
		s.publish(snap)
		was := s.generation.count
		s.advance(c.wait)
		again := *snap
		again.LeapAt, again.LeapSign = 0, 0
		again.Mono, again.Clock = s.mono, snap.ClockAt(s.mono)
		again.Updates++
		c.change(&again)
		s.publish(&again)
		if moved := s.generation.count != was; moved != c.moved {
			t.Errorf("%s: moved %v", c.name, moved)
		}
	}
}
