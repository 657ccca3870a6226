package sockets

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"noonmark/server/transport"
)

func TestParseModeInvertsString(t *testing.T) {
	t.Parallel()
	if _, err := ParseMode("none"); err == nil {
		t.Error("an unknown mode is accepted")
	}
	for m := Auto; m <= Off; m++ {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
}

// send sends the answers of a batch of n.
func send(c *Conn, n int) (int, error) {
	c.Compose(0, n)
	return c.Transmit()
}

// listenEcho runs workers that answer with what they receive. It returns their
// address and a channel of the received packets.
func listenEcho(t *testing.T, addr string, sockets int) (netip.AddrPort, <-chan transport.Packet) {
	t.Helper()
	a := netip.MustParseAddrPort(addr)
	conns, err := Listen(Config{Addr: a, Sockets: sockets})
	if err != nil {
		t.Skipf("no socket on %s: %v", addr, err)
	}
	pkts := make(chan transport.Packet, 100)
	receive(t, conns, func(worker int, batch []transport.Packet) {
		for i := range batch {
			p := &batch[i]
			p.Out = append(p.Out, p.Req...)
		}
		if sent, err := send(conns[worker], len(batch)); sent != len(batch) || err != nil {
			t.Errorf("sent %d of %d: %v", sent, len(batch), err)
		}
		for i := range batch {
			pkts <- batch[i]
		}
	})
	return conns[0].Addr(), pkts
}

// receive passes each batch that a socket receives to take, until the test ends.
func receive(t *testing.T, conns []*Conn, take func(worker int, batch []transport.Packet)) {
	t.Helper()
	done := make(chan error)
	for i, c := range conns {
		go func() {
			var b [transport.BatchLen]transport.Packet
			for {
				n, err := c.Receive(b[:], 0)
				if err != nil {
					done <- err
					return
				}
				take(i, b[:n])
			}
		}()
	}
	t.Cleanup(func() {
		for _, c := range conns {
			c.Stop()
		}
		for _, c := range conns {
			if err := <-done; !errors.Is(err, transport.ErrClosed) {
				t.Errorf("worker ended with %v", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// stamping returns when the kernel timestamps what it receives, and keeps it
// doing so until the test ends: the kernel starts some time after the first
// socket asked for it (net_enable_timestamp, net/core/dev.c).
func stamping(t *testing.T) {
	t.Helper()
	if !hasStamps {
		return
	}
	at, pkts := listenEcho(t, "127.0.0.1:0", 1)
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if p := <-pkts; p.SoftStamp != 0 {
			return
		}
	}
}

func TestEchoFromTheAddressThatWasAsked(t *testing.T) {
	stamping(t)
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) {
			at, pkts := listenEcho(t, addr, 2)
			host := "127.0.0.5" // a local address that routing would not choose
			if at.Addr().Is6() {
				host = "::1"
			} else if !at.Addr().IsUnspecified() {
				host = "127.0.0.1"
			}
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), at.Port())))
			if err != nil {
				t.Skipf("no route to %s: %v", host, err)
			}
			defer c.Close()
			for _, n := range []int{1, 48, transport.MaxPacket, transport.MaxPacket + 1} {
				msg := bytes.Repeat([]byte{byte(n)}, n)
				before := time.Now().UnixNano()
				if _, err := c.Write(msg); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 2*transport.MaxPacket)
				m, err := c.Read(got) // connected: it receives only from the address it sent to
				if err != nil {
					t.Fatal(err)
				}
				p := <-pkts
				after := time.Now().UnixNano()
				if want := msg[:min(n, transport.MaxPacket)]; !bytes.Equal(got[:m], want) {
					t.Errorf("%d octets came back as %d", n, m)
				}
				if p.Truncated != (n > transport.MaxPacket) {
					t.Errorf("%d octets: truncated %v", n, p.Truncated)
				}
				if p.Src.String() != c.LocalAddr().String() {
					t.Errorf("source %s, want %s", p.Src, c.LocalAddr())
				}
				// The timestamp lies between sending and receiving.
				if hasStamps && (p.SoftStamp < before || p.SoftStamp > after) {
					t.Errorf("timestamp %d is not within %d to %d", p.SoftStamp, before, after)
				}
			}
		})
	}
}

// Each answer that asks for a transmit timestamp gets it under its identifier,
// also after a refused answer made the kernel's count uncertain.
func TestEveryRequestedTxStampComes(t *testing.T) {
	if !hasStamps {
		t.Skip("needs Linux: transmit timestamps")
	}
	conns, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	s := conns[0]
	defer s.Close()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b [transport.BatchLen]transport.Packet
	for round := range 20 {
		const all = 3
		for range all {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for done := 0; done < all; { // a busy kernel delivers them one after the other
			n, err := s.Receive(b[:], 0)
			if err != nil || done+n > all {
				t.Fatalf("%d datagrams after %d, %v", n, done, err)
			}
			before := time.Now().UnixNano()
			for i := range n {
				p := &b[i]
				p.Out, p.WantStamp = append(p.Out, p.Req...), done+i != 1
			}
			refuse := round%5 == 4 && done == 0
			if refuse {
				b[0].Out = b[0].Out[:transport.MaxPacket]
				refuseAnswer(s, 0)
			}
			want := n
			if refuse {
				want--
			}
			if sent, err := send(s, n); sent != want || (err != nil) != refuse {
				t.Fatalf("sent %d, want %d: %v", sent, want, err)
			}
			after := time.Now().UnixNano()
			got := map[uint32]int64{}
			var stamps [8]transport.TxStamp
			for _, x := range stamps[:s.TxStamps(stamps[:])] { // the loopback timestamps before Transmit returns
				got[x.ID] = x.Soft
			}
			for i := range n {
				p := &b[i]
				at, ok := got[p.ID]
				switch {
				case p.WantStamp && !ok:
					t.Errorf("round %d, packet %d: no timestamp", round, done+i)
				case p.WantStamp && (at < before || at > after):
					t.Errorf("round %d, packet %d: left at %d, not within %d to %d", round, done+i, at, before, after)
				}
				if p.WantStamp {
					delete(got, p.ID)
				}
			}
			if len(got) > 0 {
				t.Errorf("round %d: timestamps of no answer: %v", round, got)
			}
			done += n
		}
	}
}

func TestAddressInUseIsRefused(t *testing.T) {
	for _, n := range []int{1, 2} {
		conns, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: n})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []int{1, 2} {
			again, err := Listen(Config{Addr: conns[0].Addr(), Sockets: m})
			if err == nil {
				t.Errorf("%d sockets opened beside %d on the same address", m, n)
				for _, c := range again {
					c.Close()
				}
			}
		}
		for _, c := range conns {
			c.Close()
		}
	}
}

func TestListenErrors(t *testing.T) {
	if conns, err := Listen(Config{Addr: netip.MustParseAddrPort("192.0.2.1:0")}); err != nil && hasStamps {
		t.Errorf("an address that may come later: %v", err)
	} else if err == nil {
		conns[0].Close()
	}
	if _, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "nonexistent0"}); err == nil && hasStamps {
		t.Error("an interface that does not exist is accepted")
	}
	if _, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "lo", Stamps: Hardware}); !errors.Is(err, ErrNoHardware) {
		t.Errorf("hardware timestamps of the loopback: %v", err)
	}
}

func TestClientAlwaysMeetsTheSameSocket(t *testing.T) {
	if !hasStamps {
		t.Skip("needs Linux: sockets that share an address")
	}
	conns, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 4})
	if err != nil {
		t.Fatal(err)
	}
	type arrival struct {
		worker int
		src    netip.Addr
	}
	got := make(chan arrival, 1000)
	receive(t, conns, func(worker int, batch []transport.Packet) {
		for i := range batch {
			got <- arrival{worker, batch[i].Src.Addr()}
		}
	})
	worker := map[netip.Addr]int{}
	used := map[int]bool{}
	for i := range 40 {
		src := netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)})
		for range 3 { // each from another port
			c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0)), net.UDPAddrFromAddrPort(conns[0].Addr()))
			if err != nil {
				t.Skipf("no second loopback address: %v", err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			c.Close()
			a := <-got
			if w, ok := worker[a.src]; ok && w != a.worker {
				t.Errorf("%s met workers %d and %d", a.src, w, a.worker)
			}
			worker[a.src] = a.worker
			used[a.worker] = true
		}
	}
	if len(used) < 3 {
		t.Errorf("40 clients met %d of 4 workers", len(used))
	}
}

func TestMeasureSendIsPlausibleOrZero(t *testing.T) {
	warm, cold := MeasureSend()
	t.Logf("warm %+v, cold %+v", warm, cold)
	for _, s := range []SendCost{warm, cold} {
		if s.Least < 0 || s.Stamping < 0 || s.Least > time.Second || s.Stamping > time.Second {
			t.Errorf("%+v", s)
		}
	}
}
