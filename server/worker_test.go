package server

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/threads"
	"noonmark/server/transport"
)

// testClock is a host clock of which each reading takes tick ns.
type testClock struct {
	real, raw int64 // ns
	tick      int64
	readings  int
	pauses    map[int]int64 // ns before the reading with this number
}

func (c *testClock) now() (real, mono int64) {
	c.readings++
	c.advance(time.Duration(c.tick + c.pauses[c.readings]))
	return c.real, c.raw
}

func (c *testClock) mono() int64 {
	_, mono := c.now()
	return mono
}

func (c *testClock) advance(d time.Duration) {
	c.real += int64(d)
	c.raw += int64(d)
}

// loop is a worker on a transport in memory, with a clock and a snapshot of the
// test's own.
type loop struct {
	*worker
	t    *testing.T
	peer *transport.Peer
	host *testClock
}

func newLoop(t *testing.T, s *Server) *loop {
	s.precision = -24
	memory, peer := transport.NewPair()
	s.limit = NewLimiter(s.cfg.Limit)
	l := &loop{
		worker: newWorker(s, memory, 0), t: t, peer: peer,
		host: &testClock{real: 1795392000e9, raw: rxMono, tick: 100},
	}
	l.clock, l.realtime = l.host, newRealtimeOffset(l.host.real, l.host.raw)
	l.feed.snap, l.feed.valid = *bounded(t2026), true
	return l
}

// served returns the reading of the served clock at mono.
func (l *loop) served(mono int64) tai.Time { return l.feed.snap.ClockAt(mono) }

// query returns a plain request with this origin and transmit timestamp.
func query(origin, transmit ntp.Timestamp) []byte {
	q := ntp.Header{Version: 4, Mode: ntp.ModeClient, Origin: origin, Receive: transmit + 1, Transmit: transmit}
	b := make([]byte, ntp.HeaderLen)
	q.Put(b)
	return b
}

// from returns a request as it arrives from address 192.0.2.i, with a kernel
// timestamp of now.
func (l *loop) from(i int, octets []byte) transport.Datagram {
	src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(1000+i))
	return transport.Datagram{From: src, Octets: octets, SoftStamp: l.host.real, PHC: -1}
}

// exchange sends requests, lets the worker answer one batch, and returns the
// answers.
func (l *loop) exchange(d ...transport.Datagram) []transport.Answer {
	l.t.Helper()
	l.peer.Send(d...)
	if err := l.step(); err != nil {
		l.t.Fatal(err)
	}
	return l.peer.Take()
}

// header parses an answer.
func (l *loop) header(a transport.Answer) (h ntp.Header) {
	l.t.Helper()
	if err := h.Parse(a.Octets); err != nil {
		l.t.Fatal(err)
	}
	return h
}

// counts fails unless the worker has counted so many of each reason, and no
// others.
func (l *loop) counts(want map[Reason]uint64) {
	l.t.Helper()
	for r := range numReasons {
		if got := l.metrics.reasons[r].Load(); got != want[r] {
			l.t.Errorf("%v is counted %d times, want %d", r, got, want[r])
		}
	}
}

func TestWorkerAnswersABatchInOrder(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	const n = 2*groupLen + 3
	var requests []transport.Datagram
	for i := range n {
		requests = append(requests, l.from(i, query(0, ntp.Timestamp(i)<<8)))
	}
	requests[5].Octets = header(4<<3 | 6)                         // no answer
	requests[6].Octets = make([]byte, transport.MaxPacket+1)      // truncated
	requests[7].SoftStamp = 0                                     // no receive timestamp
	requests[8].PHC, requests[8].HardStamp = 3, int64(t2026-3000) // of the served clock
	arrived := l.host.raw
	answers := l.exchange(requests...)
	if len(answers) != n-2 {
		t.Fatalf("%d answers, want %d", len(answers), n-2)
	}
	var last ntp.Timestamp
	for k, a := range answers {
		i := k
		if k >= 5 {
			i += 2
		}
		h := l.header(a)
		if a.To != requests[i].From || h.Origin != ntp.Timestamp(i)<<8 || h.Stratum != 1 {
			t.Errorf("answer %d goes to %v: %+v", k, a.To, h)
		}
		received := l.served(arrived)
		switch i {
		case 7: // read a tick later
			received = l.served(arrived + l.host.tick)
		case 8:
			received = t2026 - 3000
		}
		if d := h.Receive.Sub(ntp.FromTAI(received, 37)); d.Abs() > 1 {
			t.Errorf("answer %d: receive timestamp is off by %v", k, d)
		}
		if h.Transmit < last || h.Transmit < h.Receive {
			t.Errorf("answer %d: transmit timestamp goes back", k)
		}
		last = h.Transmit
	}
	l.counts(map[Reason]uint64{NTP: n - 2, ModeControl: 1, TooLong: 1})
	m := l.metrics
	if m.received.Load() != n || m.softStamps.Load() != n-3 || m.hardStamps.Load() != 1 || m.unstamped.Load() != 1 {
		t.Errorf("%d requests: %d with kernel, %d with hardware, %d without timestamp", m.received.Load(), m.softStamps.Load(), m.hardStamps.Load(), m.unstamped.Load())
	}
}

func TestWorkerDeniesByAccessLists(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	a, err := NewAccess(nil, prefixes("192.0.2.1/32"), prefixes("192.0.2.2/32"))
	if err != nil {
		t.Fatal(err)
	}
	l.srv.SetAccess(a)
	requests := []transport.Datagram{l.from(1, query(0, 7)), l.from(2, query(0, 7)), l.from(3, query(0, 7))}
	if got := l.exchange(requests...); len(got) != 1 || got[0].To != requests[2].From {
		t.Errorf("answers %+v, want one to %v", got, requests[2].From)
	}
	l.counts(map[Reason]uint64{Denied: 1, PlainOff: 1, NTP: 1})
	l.srv.SetAccess(nil)
	if got := l.exchange(requests...); len(got) != 3 {
		t.Errorf("%d answers without lists, want 3", len(got))
	}
}

func TestWorkerLimitsTheRate(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{cfg: Config{Limit: LimitConfig{Rate: 1e-6, Burst: 2, KissRate: 1e-6}}})
	var kisses int
	for i := range 10 {
		for _, a := range l.exchange(l.from(1, query(0, 7))) {
			h := l.header(a)
			if kiss := h.Stratum == 0 && string(h.RefID[:]) == "RATE"; kiss {
				kisses++
			} else if i >= 2 {
				t.Errorf("request %d is answered: %+v", i, h)
			}
		}
	}
	// A port gets its kiss code after a whole burst was refused, and only one.
	if kisses != 1 {
		t.Errorf("%d kiss codes, want 1", kisses)
	}
	l.counts(map[Reason]uint64{NTP: 2, KissRate: 1, RateLimited: 7})
}

// An interruption between reading the clock and sending does not make a
// transmit timestamp early: the answers get new ones.
func TestInterruptedAnswersGetNewTimestamps(t *testing.T) {
	t.Parallel()
	const pause = int64(time.Millisecond)
	for _, c := range []struct {
		name    string
		pauses  map[int]int64 // before the first reading: of the batch; second: of the timestamps; third: ready to send
		redated uint64
		latest  int64 // what the last reading for the timestamps is after the pauses, in readings
	}{
		{"twice", map[int]int64{3: pause, 5: pause}, 2, 6},
		{"always", map[int]int64{3: pause, 5: pause, 7: pause, 9: pause}, maxTries - 1, 6},
		{"once", map[int]int64{3: pause}, 1, 4},
		{"before reading the clock", map[int]int64{2: pause}, 0, 2},
		{"never", nil, 0, 2},
	} {
		l := newLoop(t, &Server{})
		for range 3 { // learn how long it takes, cold
			l.exchange(l.from(1, query(0, 7)))
			l.host.advance(time.Second)
		}
		l.feed.snap.Mono, l.feed.snap.Clock = l.host.raw, t2026
		start := l.host.raw
		l.host.readings, l.host.pauses = 0, c.pauses
		h := l.header(l.exchange(l.from(1, query(0, 7)))[0])
		read := start + c.latest*l.host.tick
		for n, p := range c.pauses {
			if int64(n) <= c.latest {
				read += p
			}
		}
		if d := h.Transmit.Sub(ntp.FromTAI(l.served(read), 37)); d.Abs() > 1 {
			t.Errorf("%s: transmit timestamp is off by %v", c.name, d)
		}
		if got := l.metrics.redated.Load(); got != c.redated {
			t.Errorf("%s: new timestamps %d times, want %d", c.name, got, c.redated)
		}
	}
}

// The kernel's transmit timestamp of an answer is in the next interleaved answer,
// and teaches the worker the latency.
func TestTxStampCorrectsInterleavedAnswer(t *testing.T) {
	t.Parallel()
	const latency = 9000 // ns from the reading of the clock to the departure
	l := newLoop(t, &Server{})
	first := l.header(l.exchange(l.from(1, query(0, 7)))[0])
	l.host.advance(time.Second)
	answer := l.exchange(l.from(1, query(first.Receive, 700)))[0] // stored from now on
	second := l.header(answer)
	if second.Origin != 700 || !answer.Stamped {
		t.Fatalf("%+v, timestamp requested: %v", second, answer.Stamped)
	}
	departure := l.timing.read + latency
	l.peer.Stamp(transport.TxStamp{ID: answer.ID, Soft: l.host.real - (l.host.raw - departure)})
	l.host.advance(time.Second / 2)
	third := l.header(l.exchange(l.from(1, query(second.Receive, 900)))[0])
	if third.Origin != 901 { // the request's receive timestamp: interleaved
		t.Fatalf("not interleaved: %+v", third)
	}
	if d := third.Transmit.Sub(ntp.FromTAI(l.served(departure), 37)); d.Abs() > 1 {
		t.Errorf("the interleaved transmit timestamp is off by %v", d)
	}
	if got := l.timing.toWire.learned(0); got != latency {
		t.Errorf("learned a latency of %d ns, want %d", got, latency)
	}
	if l.stamps.pending != 1 { // of the third answer
		t.Errorf("%d timestamps are expected, want 1", l.stamps.pending)
	}
	l.counts(map[Reason]uint64{NTP: 2, NTPInterleaved: 1})
}

// Timestamps that never come are given up.
func TestMissingTxStampsAreGivenUp(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	requested := 0
	for range 3 * maxMissing {
		for _, a := range l.exchange(l.from(1, query(0, 7))) {
			if a.Stamped {
				requested++
			}
		}
		l.host.advance(2 * time.Second)
	}
	// Then one every missingPause.
	if want := maxMissing + 1 + int(2*maxMissing*2*time.Second/time.Duration(missingPause)); requested < want-1 || requested > want+1 {
		t.Errorf("%d timestamps were requested, want about %d", requested, want)
	}
	if l.stamps.pending > 1 {
		t.Errorf("%d timestamps are still expected", l.stamps.pending)
	}
}

func TestRefusedAnswersAreCounted(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	l.peer.Refuse(2)
	if got := l.exchange(l.from(1, query(0, 7)), l.from(2, query(0, 7)), l.from(3, query(0, 7))); len(got) != 1 {
		t.Errorf("%d answers, want 1", len(got))
	}
	if got := l.metrics.refused.Load(); got != 2 {
		t.Errorf("%d answers are counted as refused, want 2", got)
	}
}

// failingConn fails to receive a number of times.
type failingConn struct {
	packetConn
	failures int
}

var errReceive = errors.New("receive failed")

func (c *failingConn) Receive(p []transport.Packet, gather time.Duration) (int, error) {
	if c.failures > 0 {
		c.failures--
		return 0, errReceive
	}
	return c.packetConn.Receive(p, gather)
}

func TestWorkerRunsUntilStopped(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	l.worker.conn = &failingConn{l.conn, maxErrors - 1} // a worker survives these
	l.peer.Send(l.from(1, query(0, 7)))
	ended := make(chan error)
	go func() { ended <- l.run(func() {}) }()
	var got []transport.Answer
	for len(got) == 0 {
		got = l.peer.Take()
	}
	l.conn.Stop()
	if err := <-ended; err != nil {
		t.Errorf("run ends with %v", err)
	}
	if n := l.metrics.failed.Load(); n != maxErrors-1 {
		t.Errorf("%d receive errors are counted, want %d", n, maxErrors-1)
	}
}

func TestWorkerGivesUpABrokenSocket(t *testing.T) {
	t.Parallel()
	l := newLoop(t, &Server{})
	l.worker.conn = &failingConn{l.conn, maxErrors}
	ended := make(chan error)
	go func() { ended <- l.run(func() {}) }()
	if err := <-ended; !errors.Is(err, errReceive) {
		t.Errorf("run ends with %v, want %v", err, errReceive)
	}
}

// gatherConn records the gather time of the last Receive.
type gatherConn struct {
	packetConn
	gather time.Duration
}

func (c *gatherConn) Receive(p []transport.Packet, gather time.Duration) (int, error) {
	c.gather = gather
	return c.packetConn.Receive(p, gather)
}

// Requests gather only while they come fast and do not fill a batch anyway.
func TestRequestsGatherUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		every time.Duration // between batches
		n     int           // requests of a batch
		want  time.Duration
	}{
		{"one a second", time.Second, 1, 0},
		{"4000 a second", 250 * time.Microsecond, 1, 0},
		{"flood", 100 * time.Microsecond, transport.BatchLen, 0},
		{"10,000 a second", 100 * time.Microsecond, 1, maxGather},
		{"10,000 a second, gathered", 1100 * time.Microsecond, 11, maxGather},
		{"50,000 a second, gathered", 450 * time.Microsecond, 22, minGather},
	} {
		l := newLoop(t, &Server{})
		conn := &gatherConn{packetConn: l.conn}
		l.worker.conn = conn
		batch := func(n int, after time.Duration) {
			l.host.advance(after)
			var requests []transport.Datagram
			for i := range n {
				requests = append(requests, l.from(i, query(0, 7)))
			}
			l.exchange(requests...)
		}
		batch(1, 0)
		if batch(1, c.every); conn.gather != 0 {
			t.Errorf("%s: gathers from the start", c.name)
		}
		for range 50 {
			batch(c.n, c.every-time.Duration(10*l.host.tick))
		}
		if conn.gather != c.want {
			t.Errorf("%s: gathers for %v, want %v", c.name, conn.gather, c.want)
		}
		for range 3 {
			batch(1, time.Second)
		}
		if conn.gather != 0 {
			t.Errorf("%s: still gathers after a pause", c.name)
		}
	}
}

// Without a yield in 10 ms the Go runtime wakes up all the time. Only a real-time worker
// can lose its processor to a thread of a lower priority by one, so only that one pauses.
func TestOnlyRealTimeWorkersPauseAfterASlowYield(t *testing.T) {
	t.Parallel()
	for _, p := range []threads.Priority{threads.Normal, threads.High, threads.Realtime} {
		slow := yieldEvery
		if p == threads.Realtime {
			slow = yieldPause
		}
		if got := nextYield(yieldSlow, p); got != yieldEvery {
			t.Errorf("%v: %d ns after a short yield", p, got)
		}
		if got := nextYield(yieldSlow+1, p); got != slow {
			t.Errorf("%v: %d ns after a slow yield, want %d", p, got, slow)
		}
	}
}

// A snapshot from before a sleep of the machine is refused at once, and the next
// one after it is served at once.
func TestWorkerRefusesASnapshotFromBeforeSleep(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	writer, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	l := newLoop(t, &Server{cfg: Config{Snapshot: path}})
	l.clock = newHostClock() // the snapshot is of this machine's clocks
	l.srv.endpoints = []*endpoint{{workers: []*worker{l.worker}}}
	l.srv.endpoints[0].offer(path)
	defer l.feed.close()
	reader, err := status.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	slept := phc.Slept()
	for _, c := range []struct {
		slept  time.Duration // when the snapshot was made
		usable bool
	}{{slept, true}, {slept - time.Hour, false}, {slept, true}, {slept - 10*time.Millisecond, false}, {slept, true}} {
		snap := lockedNow(0)
		snap.Slept = c.slept
		writer.Write(snap)
		h := l.header(l.exchange(l.from(1, query(0, 7)))[0])
		is, why := l.srv.updateSynced(reader)
		switch {
		case !c.usable && (h.Leap != ntp.LeapUnknown || h.Stratum != 16 || h.RefTime != 0 || string(h.RefID[:]) != "INIT"):
			t.Errorf("made %v of sleep ago: %+v", slept-c.slept, h)
		case !c.usable && (is != "unsynchronised" || why != status.ErrSlept.Error()):
			t.Errorf("made %v of sleep ago: logged as %s, %s", slept-c.slept, is, why)
		case c.usable && (h.Leap != 0 || h.Stratum != 1 || !l.srv.synced.Load()):
			t.Errorf("made since: %+v, %s, %s", h, is, why)
		}
	}
}
