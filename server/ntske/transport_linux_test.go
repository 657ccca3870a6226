package ntske

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/nts/aead"
)

// listen starts a server on loopback. stop ends it and checks that it ends well.
func listen(t *testing.T, s *Server) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	addr = l.Addr().String()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
			if n := s.Counters().Open(); n != 0 {
				t.Errorf("%d connections left open", n)
			}
		})
	}
	t.Cleanup(stop)
	return addr, stop
}

func connect(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

func TestManyClientsAtOnceOverTCP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := newServer(t, a, func(c *Config) { c.MaxConns, c.Timeout = 64, time.Minute })
	addr, stop := listen(t, s)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				tc := tls.Client(c, a.clientTLS())
				req := appendRequest(nil, []aead.ID{15})
				if i%2 == 0 { // in pieces
					tc.Write(req[:5])
					req = req[5:]
				}
				tc.Write(req)
				if recs, err := ReadMessage(tc, maxResponse); err != nil || len(recs) < 8 {
					t.Errorf("%v, %v", recs, err)
				}
				if _, err := tc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // close_notify
					t.Errorf("after the answer: %v", err)
				}
				tc.Close()
			}
		})
	}
	wg.Wait()
	stop()
	if n := s.Counters().Get(Served); n != 40 {
		t.Errorf("counted %v", s.Counters().Snapshot())
	}
}

// What clients do to a connection, at any stage, costs the server a place for no
// longer than the deadline, and nothing of it is left behind.
func TestRudeClientsOverTCP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	hello := clientHello(t, a.clientTLS())
	s := newServer(t, a, func(c *Config) { c.Timeout = time.Second })
	addr, stop := listen(t, s)
	t.Run("at once", func(t *testing.T) {
		rude(t, addr, hello)
	})
	// Each exchange has a second, like those; a slow machine needs several tries.
	proctest.UntilState(t, "a client gets cookies afterwards", func() (bool, string) {
		tc := tls.Client(connect(t, addr), a.clientTLS())
		defer tc.Close()
		tc.Write(appendRequest(nil, []aead.ID{15}))
		recs, err := ReadMessage(tc, maxResponse)
		return err == nil && len(recs) >= 8, fmt.Sprintf("%v, %v", recs, err)
	})
	stop()
}

func rude(t *testing.T, addr string, hello []byte) {
	reset := func(c *net.TCPConn) { c.SetLinger(0); c.Close() }
	for name, do := range map[string]func(c *net.TCPConn){
		"reset at once":              reset,
		"reset after an octet":       func(c *net.TCPConn) { c.Write(hello[:1]); reset(c) },
		"reset after the hello":      func(c *net.TCPConn) { c.Write(hello); reset(c) },
		"half closed after an octet": func(c *net.TCPConn) { c.Write(hello[:1]); c.CloseWrite(); io.Copy(io.Discard, c) },
		"half closed after hello":    func(c *net.TCPConn) { c.Write(hello); c.CloseWrite(); io.Copy(io.Discard, c) },
		"silent":                     func(c *net.TCPConn) { io.Copy(io.Discard, c) },
		"silent after the hello":     func(c *net.TCPConn) { c.Write(hello); io.Copy(io.Discard, c) },
		"octet by octet": func(c *net.TCPConn) {
			for i := range hello[:50] {
				c.Write(hello[i : i+1])
			}
			reset(c)
		},
		"no TLS":  func(c *net.TCPConn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); io.Copy(io.Discard, c) },
		"endless": func(c *net.TCPConn) { c.Write(make([]byte, 100<<10)); io.Copy(io.Discard, c) },
		"hello of 16 kB without its end": func(c *net.TCPConn) {
			b := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc}, make([]byte, 15000)...)
			c.Write(b)
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			do(connect(t, addr))
		})
	}
}

func TestDeniedAddressesAreClosedBeforeTheHandshake(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	denied := true
	s := newServer(t, a, func(c *Config) {
		c.Denied = func(ip netip.Addr) bool { return denied && ip.Is4() && ip.IsLoopback() }
	})
	addr, _ := listen(t, s)
	c := connect(t, addr)
	c.Write([]byte{22})
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a denied client gets %d octets, %v", n, err)
	}
	if n := s.Counters().Get(AccessDenied); n != 1 {
		t.Errorf("counted %v", s.Counters().Snapshot())
	}
}

func TestEachConnectionFreesItsDescriptor(t *testing.T) {
	a := newAuthority(t)
	s := newServer(t, a, func(c *Config) { c.MaxConns = 10 })
	addr, stop := listen(t, s)
	for range 100 {
		c := connect(t, addr)
		c.Write([]byte{22})
	}
	stop()
	for fd := range 256 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
			continue
		}
		sa, err := syscall.Getsockname(fd)
		if v4, ok := sa.(*syscall.SockaddrInet4); err == nil && ok && fmt.Sprintf("127.0.0.1:%d", v4.Port) == addr {
			t.Fatalf("descriptor %d is still open", fd)
		}
	}
}
