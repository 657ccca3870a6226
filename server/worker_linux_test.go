package server

import (
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/transport/sockets"
)

// loopClient queries one worker over a real socket and allocates nothing.
type loopClient struct {
	id     aead.ID // 0: plain NTP
	c2s    aead.Key
	cookie []byte
	head   ntp.Header
	buf    [512]byte
}

// request returns the next request, interleaved after the first answer.
func (c *loopClient) request() []byte {
	b := c.buf[:ntp.HeaderLen]
	c.head.Put(b)
	if c.id == 0 {
		return b
	}
	var uid [minUniqueID]byte
	b = ntp.AppendField(b, ntp.ExtUniqueID, uid[:])
	b = ntp.AppendField(b, ntp.ExtCookie, c.cookie)
	var nonce [16]byte
	return nts.AppendAuth(b, &c.c2s, nonce[:c.id.NonceLen()], nil)
}

// socketLoop is one worker on a kernel socket and its clients, which share another.
// The test's goroutine runs both.
type socketLoop struct {
	*worker
	fd          int // of the clients' socket
	clients     []*loopClient
	answer      [MaxPacket]byte
	interleaved int // answers
	failed      int // rounds
}

// newSocketLoop has a client of every kind: plain and each AEAD, basic and
// interleaved. It skips the test where the AEADs allocate.
func newSocketLoop(t *testing.T) *socketLoop {
	t.Helper()
	path := filepath.Join(t.TempDir(), "status")
	snap, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { snap.Close() })
	snap.Write(lockedNow(0))
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	access, err := NewAccess(nil, prefixes("192.0.2.0/24"), prefixes("198.51.100.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Snapshot: path, Ring: ring, Access: access, Limit: LimitConfig{Rate: 1e6, Burst: 1e6},
		Endpoints: []Endpoint{{Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}}},
	})
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(s.Close)
	s.endpoints[0].offer(s.cfg.Snapshot)
	l := &socketLoop{worker: s.endpoints[0].workers[0]}
	t.Cleanup(l.feed.close)
	if l.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(l.fd) })
	if err := syscall.SetsockoptTimeval(l.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(l.fd, &syscall.SockaddrInet4{Port: int(s.Addrs()[0].Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	for i, id := range append([]aead.ID{0}, aeads...) {
		for k := range 2 { // basic, interleaved
			c := &loopClient{id: id, head: ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(2*i+k+1) << 8}}
			if id != 0 {
				c.establish(t, ring, nts.SessionKeys{AEAD: id, C2S: [aead.MaxKeyLen]byte{byte(i)}, S2C: [aead.MaxKeyLen]byte{byte(k)}})
			}
			l.clients = append(l.clients, c)
		}
	}
	return l
}

// establish gives the client keys and a cookie.
func (c *loopClient) establish(t *testing.T, ring *nts.Ring, sess nts.SessionKeys) {
	t.Helper()
	var scratch nts.Scratch
	var err error
	if c.cookie, err = ring.Load().SealCookie(nil, &sess, &scratch); err != nil {
		t.Fatal(err)
	}
	key := sess.C2S[:c.id.KeyLen()]
	if err := c.c2s.Init(c.id, key); err != nil {
		t.Fatal(err)
	}
	if testing.AllocsPerRun(10, func() { _ = c.c2s.Init(c.id, key) }) > 0 {
		t.Skipf("%v uses crypto/aes on this machine, which allocates", c.id)
	}
}

// round lets each client send a request, the worker answer all, and each client
// check its answer.
func (l *socketLoop) round() {
	if !l.sendAndServe() {
		l.failed++
		return
	}
	for range l.clients {
		if !l.receive() {
			l.failed++
			return
		}
	}
}

func (l *socketLoop) sendAndServe() bool {
	for _, c := range l.clients {
		if n, _ := syscall.Write(l.fd, c.request()); n < 0 {
			return false
		}
	}
	for want := l.metrics.received.Load() + uint64(len(l.clients)); l.metrics.received.Load() < want; {
		if l.step() != nil {
			return false
		}
	}
	return true
}

func (l *socketLoop) receive() bool {
	n, err := syscall.Read(l.fd, l.answer[:])
	var h ntp.Header
	if err != nil || h.Parse(l.answer[:n]) != nil || h.Stratum != 1 {
		return false
	}
	i := int(h.Origin>>8) - 1
	if i < 0 || i >= len(l.clients) {
		return false
	}
	if c := l.clients[i]; i%2 == 1 {
		if h.Origin != c.head.Transmit {
			l.interleaved++
		}
		c.head.Origin, c.head.Receive = h.Receive, c.head.Transmit+1
	}
	return true
}

// The whole loop of a worker allocates nothing: receiving a batch, sending its
// answers and reading their transmit timestamps, for every kind of request, over
// a real socket.
func TestWorkerAllocs(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	l := newSocketLoop(t)
	for range 20 { // tables of the kernel and of the runtime fill
		l.round()
	}
	const rounds = 300
	l.interleaved = 0
	if n := testing.AllocsPerRun(rounds, l.round); n > 0 {
		t.Errorf("%v allocations per %d requests", n, len(l.clients))
	}
	if l.failed > 0 {
		t.Errorf("%d rounds failed", l.failed)
	}
	// An entry of the table may replace another, whose client then gets a basic
	// answer. AllocsPerRun adds a run of its own.
	if want := (rounds + 1) * len(l.clients) / 2; l.interleaved < want*9/10 {
		t.Errorf("%d interleaved answers, want %d", l.interleaved, want)
	}
	for _, r := range []Reason{NTP, NTPInterleaved, NTS, NTSInterleaved} {
		if l.metrics.reasons[r].Load() == 0 {
			t.Errorf("no answer was %v", r)
		}
	}
	if l.metrics.early.sum.Load() == 0 && l.metrics.late.sum.Load() == 0 {
		t.Error("no transmit timestamp came")
	}
}
