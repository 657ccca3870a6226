package server

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
	"noonmark/server/network"
	"noonmark/server/ntp"
	"noonmark/server/transport"
	"noonmark/server/transport/sockets"
)

// virtualClock reads the host's clocks in the virtual time of a test.
type virtualClock struct{ start time.Time }

func (c virtualClock) mono() int64             { return 1e9 + int64(time.Since(c.start)) }
func (c virtualClock) now() (real, mono int64) { return time.Now().UnixNano(), c.mono() }

// gate blocks who passes it while it is shut, whatever it waits for elsewhere.
type gate struct {
	closed atomic.Bool
	hold   chan struct{} // closed: all go on
}

func newGate() *gate { return &gate{hold: make(chan struct{})} }

func (g *gate) pass() {
	if g.closed.Load() {
		<-g.hold
	}
}

func (g *gate) shut()    { g.closed.Store(true) }
func (g *gate) release() { g.closed.Store(false); close(g.hold) }

// blockingConn blocks in the call that has a gate.
type blockingConn struct {
	packetConn
	compose, transmit *gate
}

func (c *blockingConn) Compose(from, to int)   { c.compose.pass(); c.packetConn.Compose(from, to) }
func (c *blockingConn) Transmit() (int, error) { c.transmit.pass(); return c.packetConn.Transmit() }

// blockingLog blocks who logs, as the pipe of a hanging journal does.
type blockingLog struct {
	slog.Handler
	*gate
}

func (l blockingLog) Handle(context.Context, slog.Record) error { l.pass(); return nil }

// newIdleServer returns a server without endpoints whose watches are idle.
func newIdleServer(g *gate) *Server {
	s := &Server{log: slog.New(blockingLog{slog.NewTextHandler(io.Discard, nil), g}), network: &netWatch{}}
	s.watching.Clock = virtualClock{time.Now()}.mono
	return s
}

// expectStuck fails unless the server is alive after an hour without work, and reports
// who hangs once that has lasted for longer than stuckAfter, and no sooner.
func expectStuck(t *testing.T, s *Server, g *gate, hang func(), who string) {
	t.Helper()
	time.Sleep(time.Hour)
	if err := s.Stuck(); err != nil {
		t.Errorf("after an hour without anything to do: %v", err)
	}
	g.shut()
	hang()
	synctest.Wait()
	time.Sleep(stuckAfter / 2)
	if err := s.Stuck(); err != nil {
		t.Errorf("after %v: %v", stuckAfter/2, err)
	}
	time.Sleep(stuckAfter)
	if err := s.Stuck(); err == nil || !strings.Contains(err.Error(), who+": stuck for ") {
		t.Errorf("after %v: %v; want %q", stuckAfter*3/2, err, who)
	}
	g.release()
	synctest.Wait()
	time.Sleep(time.Hour)
	if err := s.Stuck(); err != nil {
		t.Errorf("after it went on: %v", err)
	}
}

// A worker that waits for requests is alive, however long it does, and one that does
// not come back from a call on the way to the answer is not.
func TestHangingWorkerIsStuck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*blockingConn, *gate)
	}{
		{"compose", func(b *blockingConn, g *gate) { b.compose = g }},
		{"transmit", func(b *blockingConn, g *gate) { b.transmit = g }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, g, clock := newIdleServer(newGate()), newGate(), virtualClock{time.Now()}
				e := &endpoint{name: "x"}
				var last *loop
				for range 3 {
					last = newLoop(t, s)
					last.worker.clock, last.realtime = clock, newRealtimeOffset(clock.now())
					last.feed.valid = false
					last.working.Clock = clock.mono
					e.workers = append(e.workers, last.worker)
				}
				conn := &blockingConn{last.conn, newGate(), newGate()}
				c.set(conn, g)
				last.worker.conn = conn
				s.endpoints = []*endpoint{e}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- s.serveEndpoint(ctx, e, func() {}, false) }()
				ask := func() {
					last.peer.Send(transport.Datagram{From: netip.MustParseAddrPort("192.0.2.1:123"), Octets: query(0, ntp.Timestamp(7)), PHC: -1})
				}
				ask()
				synctest.Wait()
				if n := len(last.peer.Take()); n != 1 {
					t.Errorf("%d answers, want 1", n)
				}
				expectStuck(t, s, g, ask, "endpoint x: worker 3")
				if n := len(last.peer.Take()); n != 1 {
					t.Errorf("%d answers after it went on, want 1", n)
				}
				cancel()
				<-ended
			})
		})
	}
}

// The watch of the snapshot hangs when it logs that the clock's state has changed.
func TestHangingWatchOfTheSnapshotIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := newIdleServer(g)
		s.cfg.Snapshot = filepath.Join(t.TempDir(), "status")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.watch(ctx); close(ended) }()
		expectStuck(t, s, g, func() {
			w, err := status.Create(s.cfg.Snapshot)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			if err := w.Write(&status.Snapshot{State: status.Unlocked, Mono: phc.MonoRaw()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(watchEvery)
		}, "watch of the snapshot")
		cancel()
		<-ended
	})
}

// An endpoint hangs while it is opened.
func TestHangingOpeningIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := newIdleServer(g)
		e := newEndpoint(Endpoint{Name: "x", Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}})
		e.opening.Clock = virtualClock{time.Now()}.mono
		s.endpoints = []*endpoint{e}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		expectStuck(t, s, g, func() {
			go func() { s.keep(ctx, e, func() {}); close(ended) }()
			synctest.Wait()
			if err := s.Waiting(); err != nil { // the daemon asks for this in between
				t.Errorf("waits: %v", err)
			}
			cancel() // it ends once it goes on
		}, "endpoint x: open or close")
		<-ended
	})
}

// quietNetwork never changes.
type quietNetwork struct{ *gate }

func (n quietNetwork) Wait(ctx context.Context, limit time.Duration) error {
	n.pass()
	select {
	case <-ctx.Done():
	case <-time.After(limit):
	}
	return ctx.Err()
}

func (n quietNetwork) Close() error { return nil }

// The watch of the network hangs in each of its calls to the kernel. The one that waits
// for changes has a limit, so not to return from it is to hang, too.
func TestHangingWatchOfTheNetworkIsStuck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(w *netWatch, g *gate)
	}{
		{"wait", func(w *netWatch, g *gate) { w.kernel = quietNetwork{g} }},
		{"read", func(w *netWatch, g *gate) {
			w.read = func() (network.Links, error) { g.pass(); return nil, nil }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, open := newGate(), newGate()
				s := newIdleServer(newGate())
				w := s.network
				w.log, w.kernel = s.log, quietNetwork{open}
				w.open = func() (changes, error) { return quietNetwork{open}, nil }
				w.read = func() (network.Links, error) { return nil, nil }
				w.turning.Clock = virtualClock{time.Now()}.mono
				c.set(w, g)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { w.run(ctx); close(ended) }()
				expectStuck(t, s, g, func() { time.Sleep(lookEvery + lookPause) }, "watch of the network")
				cancel()
				<-ended
			})
		})
	}
}
