package ntske

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/server/nts/aead"
)

// Clients that send nothing, at any stage, are cut off at the deadline, and the
// limits hold for others until then.
func TestSilentClientsAreCutOff(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, func(c *Config) { c.MaxConns, c.MaxPerAddr, c.Timeout = 20, 3, 5*time.Second })
		serve(t, s, func(l *pipes) {
			dial := func(from string) net.Conn {
				c, err := l.dial(tcp(from))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(time.Millisecond)
				return c
			}
			closed := func(c net.Conn) bool {
				_, err := c.Read(make([]byte, 1))
				return errors.Is(err, io.EOF)
			}
			var stalled []net.Conn
			for i := range 20 {
				stalled = append(stalled, dial(fmt.Sprintf("198.51.100.%d", i/3)))
			}
			if !closed(dial("198.51.100.0")) {
				t.Error("a fourth connection from one address is open")
			}
			got := s.Counters()
			if got.Open() != 20 || got.Get(AddressCap) != 1 {
				t.Errorf("%d open, counted %v", got.Open(), got.Snapshot())
			}
			// All places are taken: the oldest of an address with three makes room.
			fresh := dial("2001:db8::1")
			if !closed(stalled[0]) || got.Open() != 20 || got.Get(Displaced) != 1 {
				t.Errorf("%d open, counted %v", got.Open(), got.Snapshot())
			}
			begin := time.Now()
			for _, c := range append(stalled[1:], fresh) {
				c.Read(make([]byte, 1)) // until the server closes it
			}
			if d := time.Since(begin); d != 5*time.Second-time.Millisecond { // for the last one
				t.Errorf("closed after %v", d)
			}
			synctest.Wait()
			if got.Open() != 0 || got.Get(TimedOut) != 20 {
				t.Errorf("%d open, counted %v", got.Open(), got.Snapshot())
			}
			if recs, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil || len(recs) < 8 {
				t.Errorf("after the silent clients: %v, %v", recs, err)
			}
		})
	})
}

// badRequest is the answer with error 1.
var badRequest = []Record{{true, RecordError, []byte{0, 1}}}

// After the handshake and inside a record, where the client gets an answer (RFC
// 8915, section 4.1.3), and a client that never reads.
func TestClientsThatStallLaterAreCutOff(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			for _, part := range []int{0, 3, 9} {
				begin := time.Now()
				recs, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})[:part])
				if err != nil || fmt.Sprint(recs) != fmt.Sprint(badRequest) || time.Since(begin) != 5*time.Second {
					t.Errorf("after %d octets: %v, %v in %v", part, recs, err, time.Since(begin))
				}
			}
			l.slow = true
			c, tc := l.connect(t, a)
			tc.Write(appendRequest(nil, []aead.ID{15}))
			time.Sleep(6 * time.Second) // virtual time
			c.Close()
		})
		if n := s.Counters().Get(TimedOut); n != 4 {
			t.Errorf("counted %v", s.Counters().Snapshot())
		}
	})
}

// At each stage, closed or still reading.
func TestClientLeavesAtAnyStage(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			for _, part := range []int{0, 3, 9} {
				c, tc := l.connect(t, a)
				tc.Write(appendRequest(nil, []aead.ID{15})[:part])
				tc.CloseWrite()
				if part == 3 {
					recs, err := ReadMessage(tc, maxResponse)
					if err != nil || fmt.Sprint(recs) != fmt.Sprint(badRequest) {
						t.Errorf("half a request: %v, %v", recs, err)
					}
				}
				c.Close()
			}
		})
		if n := s.Counters().Get(ConnectionLost); n != 3 {
			t.Errorf("counted %v", s.Counters().Snapshot())
		}
	})
}

// An exchange that has begun when the server is stopped finishes, and no new one
// begins.
func TestExchangesInProgressFinishOnStop(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		ctx, cancel := context.WithCancel(t.Context())
		l := newPipes()
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		c, tc := l.connect(t, a)
		cancel()
		synctest.Wait()
		if _, err := l.dial(tcp("192.0.2.1")); err == nil {
			t.Error("a connection is accepted after the stop")
		}
		select {
		case <-done:
			t.Error("Serve ended during an open exchange")
		default:
		}
		if _, err := tc.Write(appendRequest(nil, []aead.ID{15})); err != nil {
			t.Fatal(err)
		}
		if recs, err := ReadMessage(tc, maxResponse); err != nil || len(recs) < 8 {
			t.Errorf("%v, %v", recs, err)
		}
		c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAcceptErrorsAreRetried(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			for range 5 {
				l.errs <- errors.New("too many open files")
			}
			if _, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil {
				t.Errorf("after errors of accept: %v", err)
			}
		})
		l := newPipes()
		l.Close()
		if err := s.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed listener: %v", err)
		}
	})
}

// Handshakes of one prefix above its rate are refused; those above the total rate
// wait for their turn.
func TestHandshakeRateIsLimited(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, func(c *Config) { c.Rate, c.RatePerIP = 10, 3 })
		serve(t, s, func(l *pipes) {
			nets := s.apart(10)
			start := time.Now()
			var wg sync.WaitGroup
			var got, refused atomic.Int32
			for i := range 80 {
				c, err := l.dial(tcp(fmt.Sprintf("2001:db8:0:%x00:%x::1", nets[i/8], i)))
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					tc := tls.Client(c, a.clientTLS())
					tc.Write(appendRequest(nil, []aead.ID{15}))
					if _, err := ReadMessage(tc, maxResponse); err != nil {
						refused.Add(1)
					} else {
						got.Add(1)
					}
					tc.Close()
				})
			}
			wg.Wait()
			// Six of each prefix are within two seconds' worth. Of those, twenty go at once
			// and ten per second after that.
			if d := time.Since(start); got.Load() != 60 || refused.Load() != 20 || d < 3900*time.Millisecond || d > 4100*time.Millisecond {
				t.Errorf("%d served, %d refused in %v", got.Load(), refused.Load(), d)
			}
		})
		if c := s.Counters(); c.Get(RateLimited) != 20 || c.Get(Served) != 60 {
			t.Errorf("counted %v", c.Snapshot())
		}
	})
}

// apart returns n numbers for prefixes 2001:db8:0:NUMBER00::/56 that share no bucket.
func (s *Server) apart(n int) (numbers []int) {
	synctest.Wait() // for the engine
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.engines {
		taken := map[uint64]bool{}
		for k := 0; len(numbers) < n; k++ {
			p := netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%x00::/56", k))
			if b := maphash.Comparable(e.each.seed, p) % bucketCount; !taken[b] {
				taken[b] = true
				numbers = append(numbers, k)
			}
		}
	}
	return numbers
}

// A client may not send without end while it waits for its turn.
func TestOctetsAreLimitedBeforeTheHandshake(t *testing.T) {
	a := newAuthority(t)
	hello := clientHello(t, a.clientTLS())
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, func(c *Config) { c.Rate = 0.001 })
		serve(t, s, func(l *pipes) {
			if _, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil {
				t.Fatal(err) // this takes the only turn
			}
			c, err := l.dial(tcp("192.0.2.1"))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			c.Write(hello)
			for range mostOctets>>10 + 1 {
				c.Write(make([]byte, 1<<10))
			}
			if n, err := c.Read(make([]byte, 1)); err == nil || time.Since(start) != 0 {
				t.Errorf("after %v: %d octets, %v", time.Since(start), n, err)
			}
		})
		if c := s.Counters(); c.Get(MessageTooLong) != 1 || c.Get(Served) != 1 {
			t.Errorf("counted %v", c.Snapshot())
		}
	})
}

func TestHangingServerIsStuck(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		var s *Server
		var busy, hanging error
		s = newServer(t, a, func(c *Config) {
			c.Done = func(netip.AddrPort, Reason, error) {
				busy = s.Stuck()
				for e := range s.engines {
					e.working.BeginAt(phc.MonoRaw() - int64(time.Hour))
				}
				hanging = s.Stuck()
			}
		})
		serve(t, s, func(l *pipes) {
			if _, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if err := s.Stuck(); err != nil {
				t.Errorf("idle: %v", err)
			}
		})
		if busy != nil || hanging == nil {
			t.Errorf("busy: %v, for an hour: %v", busy, hanging)
		}
	})
}
