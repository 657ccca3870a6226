package server

import (
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"noonmark/refclock/status"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/transport/sockets"
)

// loopClient asks one worker over a real socket and allocates nothing.
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

// The whole loop of a worker allocates nothing: receiving a batch, sending its
// answers and reading their transmit timestamps, for every kind of request, over
// a real socket.
func TestWorkerAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	path := filepath.Join(t.TempDir(), "status")
	snap, err := status.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
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
	defer s.Close()
	s.remap()
	w := s.endpoints[0].workers[0]
	defer w.feed.close()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(s.Addrs()[0].Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}

	var clients []*loopClient
	for i, id := range append([]aead.ID{0}, aeads...) {
		for k := range 2 { // basic, interleaved
			c := &loopClient{id: id, head: ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(2*i+k+1) << 8}}
			clients = append(clients, c)
			if id == 0 {
				continue
			}
			sess := nts.SessionKeys{AEAD: id}
			sess.C2S[0], sess.S2C[0] = byte(i), byte(k)
			var scratch nts.Scratch
			if c.cookie, err = ring.Load().SealCookie(nil, &sess, &scratch); err != nil {
				t.Fatal(err)
			}
			if err := c.c2s.Init(id, sess.C2S[:id.KeyLen()]); err != nil {
				t.Fatal(err)
			}
			if testing.AllocsPerRun(10, func() { _ = c.c2s.Init(id, sess.C2S[:id.KeyLen()]) }) > 0 {
				t.Skipf("%v runs over crypto/aes here, which allocates", id)
			}
		}
	}
	var answer [MaxPacket]byte
	interleaved, failed := 0, 0
	round := func() {
		for _, c := range clients {
			if n, _ := syscall.Write(fd, c.request()); n < 0 {
				failed++
				return
			}
		}
		for want := w.metrics.received.Load() + uint64(len(clients)); w.metrics.received.Load() < want; {
			if w.step() != nil {
				failed++
				return
			}
		}
		for range clients {
			n, err := syscall.Read(fd, answer[:])
			var h ntp.Header
			if err != nil || h.Parse(answer[:n]) != nil || h.Stratum != 1 {
				failed++
				return
			}
			i := int(h.Origin>>8) - 1
			if i < 0 || i >= len(clients) {
				failed++
				return
			}
			if c := clients[i]; i%2 == 1 {
				if h.Origin != c.head.Transmit {
					interleaved++
				}
				c.head.Origin, c.head.Receive = h.Receive, c.head.Transmit+1
			}
		}
	}
	for range 20 { // tables of the kernel and of the runtime fill
		round()
	}
	const rounds = 300
	interleaved = 0
	if n := testing.AllocsPerRun(rounds, round); n > 0 {
		t.Errorf("%v allocations per %d requests", n, len(clients))
	}
	if failed > 0 {
		t.Errorf("%d rounds failed", failed)
	}
	// An entry of the table may take the place of another's: that client gets a
	// basic answer. AllocsPerRun adds a run of its own.
	if want := (rounds + 1) * len(clients) / 2; interleaved < want*9/10 {
		t.Errorf("%d interleaved answers, want %d", interleaved, want)
	}
	for _, r := range []Reason{NTP, NTPInterleaved, NTS, NTSInterleaved} {
		if w.metrics.reasons[r].Load() == 0 {
			t.Errorf("no answer was %v", r)
		}
	}
	if early, late := &w.metrics.early, &w.metrics.late; early.sum.Load() == 0 && late.sum.Load() == 0 {
		t.Error("no transmit stamp came")
	}
}
