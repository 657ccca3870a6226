package ntsclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

// loopback opens a real socket that answers with the result of handle.
func loopback(t *testing.T, handle func(req []byte) []byte) netip.AddrPort {
	t.Helper()
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Skipf("no loopback network: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [2048]byte
		for {
			n, from, err := s.ReadFromUDPAddrPort(b[:])
			if err != nil {
				return
			}
			if ans := handle(b[:n]); ans != nil {
				s.WriteToUDPAddrPort(ans, from)
			}
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return s.LocalAddr().(*net.UDPAddr).AddrPort()
}

func serve(req []byte) []byte {
	var h ntp.Header
	if h.Parse(req) != nil {
		return nil
	}
	now := local(time.Now().UnixNano())
	a := ntp.Header{Version: 4, Mode: 4, Stratum: 1, Precision: -20, RefID: [4]byte{'X'}, RefTime: now.Add(-time.Second),
		Origin: h.Transmit, Receive: now, Transmit: local(time.Now().UnixNano())}
	b := make([]byte, ntp.HeaderLen)
	a.Put(b)
	return b
}

func TestSocketTimestamps(t *testing.T) {
	t.Parallel()
	addr := loopback(t, serve)
	cl, err := New(Config{Host: "127.0.0.1", Port: int(addr.Port()), Plain: true, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	// The kernel starts to timestamp received packets some time after the first socket
	// asked for it.
	tries := 1
	if runtime.GOOS == "linux" {
		tries = 20000
	}
	var r Reading
	for range tries {
		if r, err = cl.Query(context.Background()); err != nil {
			t.Fatal(err)
		}
		if r.Server != addr || r.Delay < 0 || r.Offset < -r.RootDistance() || r.Offset > r.RootDistance() {
			t.Errorf("same clock on both ends: %+v", r)
		}
		if r.Sent.Kernel && r.Received.Kernel {
			return
		}
	}
	if runtime.GOOS == "linux" {
		t.Errorf("no kernel timestamps: sent %v, received %v", r.Sent, r.Received)
	}
}

func TestSocketErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	addr := loopback(t, func([]byte) []byte { return nil })
	cl, err := New(Config{Host: "127.0.0.1", Port: int(addr.Port()), Plain: true, Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Query(context.Background()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	cl.cfg.Timeout = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := cl.Query(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	cl.cfg.Timeout = time.Millisecond
	if _, err := cl.Query(context.Background()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("after a cancelled query: %v", err)
	}

	for _, c := range []Config{{}, {Host: "x", Port: -1}, {Host: "x", Port: 65536}, {Host: "x", NTPPort: 70000}, {Host: "x", AEADs: []aead.ID{99}}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// The system chooses the source port (RFC 9109).
func TestEachClientHasItsOwnPort(t *testing.T) {
	t.Parallel()
	addr := loopback(t, serve)
	seen := map[int]bool{}
	for range 8 {
		cl, err := New(Config{Host: "127.0.0.1", Port: int(addr.Port()), Plain: true, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := cl.Query(context.Background()); err != nil {
			t.Fatal(err)
		}
		port := cl.conn.(interface{ LocalAddr() net.Addr }).LocalAddr().(*net.UDPAddr).Port
		if port < 1024 || seen[port] {
			t.Errorf("source port %d; earlier ports %v", port, seen)
		}
		seen[port] = true
	}
}
