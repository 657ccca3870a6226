package sockets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func cmsg(word int, level, typ uint32, body []byte) []byte {
	return pad(append(appendHeader(nil, word, level, typ, len(body)), body...), word)
}

func u32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.NativeEndian.AppendUint32(b, x)
	}
	return b
}

func u64(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.NativeEndian.AppendUint64(b, x)
	}
	return b
}

func TestParseControl(t *testing.T) {
	stamps := u64(1, 2, 0, 0, 3, 4)
	for _, w := range []int{4, 8} {
		for _, c := range []struct {
			name string
			b    []byte
			want control
		}{
			{"empty", nil, control{}},
			{"header cut", make([]byte, w+7), control{}},
			{"length 0", make([]byte, w+8), control{}},
			{"length beyond", append(appendHeader(nil, w, solSocket, scmTimestampingNew, 48), make([]byte, 40)...), control{}},
			{"stamps cut", cmsg(w, solSocket, scmTimestampingNew, stamps[:40]), control{}},
			{"nanoseconds out of range", cmsg(w, solSocket, scmTimestampingNew, u64(1, 1e9, 0, 0, 1<<40, 0)), control{}},
			{"pktinfo cut", cmsg(w, solIP, ipPktinfo, make([]byte, 8)), control{}},
			{"unknown", cmsg(w, 99, 99, stamps), control{}},
			{"stamps", cmsg(w, solSocket, scmTimestampingNew, stamps), control{soft: 1e9 + 2, hard: 3e9 + 4}},
			{"interface 0", append(cmsg(w, solSocket, scmStampPktinfo, u32(0, 90, 0, 0)), cmsg(w, solIP, ipPktinfo, append(u32(7), 10, 0, 0, 1, 10, 0, 0, 255))...),
				control{ifindex: 7, localIf: 7, local: netip.MustParseAddr("10.0.0.1")}},
			{"all", bytes.Join([][]byte{cmsg(w, solSocket, scmTimestampingNew, stamps), cmsg(w, solSocket, scmStampPktinfo, u32(3, 90, 0, 0)),
				cmsg(w, solIPv6, ipv6Pktinfo, append(netip.MustParseAddr("fe80::1").AsSlice(), u32(9)...))}, nil),
				control{soft: 1e9 + 2, hard: 3e9 + 4, ifindex: 3, length: 90, localIf: 9, local: netip.MustParseAddr("fe80::1")}},
			{"transmit", append(cmsg(w, solSocket, scmTimestampingNew, stamps), cmsg(w, solIP, ipRecvErr, append([]byte{42, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0}, u32(77)...))...),
				control{soft: 1e9 + 2, hard: 3e9 + 4, id: 77, isID: true}},
			{"another error", cmsg(w, solIP, ipRecvErr, make([]byte, 16)), control{}},
		} {
			var got control
			if parseControl(c.b, w, &got); got != c.want {
				t.Errorf("%s (word %d): %+v, want %+v", c.name, w, got, c.want)
			}
		}
	}
}

func TestAppendPktinfo(t *testing.T) {
	for _, w := range []int{4, 8} {
		for _, c := range []struct {
			addr string
			ifi  uint32
			want uint32
		}{{"10.1.2.3", 5, 0}, {"2001:db8::1", 5, 0}, {"fe80::1", 5, 5}, {"169.254.1.1", 5, 5}} {
			info := appendPktinfo(nil, w, netip.MustParseAddr(c.addr), c.ifi)
			b := appendStampRequest(info, w, 3)
			var got control
			if parseControl(b, w, &got); got.local.String() != c.addr || got.localIf != c.want || len(info)%w != 0 || len(b)%w != 0 || len(b) > 72 {
				t.Errorf("%s: %+v in %d and %d octets", c.addr, got, len(info), len(b))
			}
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(cmsg(8, solSocket, scmTimestampingNew, u64(1, 2, 0, 0, 3, 4)), true)
	f.Add(cmsg(4, solIP, ipPktinfo, u32(1, 2, 3)), false)
	f.Fuzz(func(t *testing.T, b []byte, wide bool) {
		w := 4
		if wide {
			w = 8
		}
		var c control
		parseControl(b, w, &c)
		if c.soft < 0 || c.hard < 0 {
			t.Errorf("negative stamp %+v", c)
		}
	})
}

func TestMode(t *testing.T) {
	if _, err := ParseMode("none"); err == nil {
		t.Error("an unknown mode is taken")
	}
	for m := Auto; m <= Off; m++ {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
}

// listenEcho runs workers that answer with what they get, and returns the stamps of
// each packet over a channel.
func listenEcho(t *testing.T, addr string, sockets int) (netip.AddrPort, <-chan Packet, <-chan Departure) {
	t.Helper()
	a := netip.MustParseAddrPort(addr)
	conns, err := Listen(Config{Addr: a, Sockets: sockets})
	if err != nil {
		t.Skipf("no socket on %s: %v", addr, err)
	}
	pkts, deps := make(chan Packet, 100), make(chan Departure, 100)
	done := make(chan error)
	for _, c := range conns {
		go func() {
			b := NewBatch()
			for {
				n, err := c.Recv(b)
				if err != nil {
					done <- err
					return
				}
				for i := range n {
					p := &b.Packets[i]
					p.Out = append(p.Out, p.Req...)
					p.Stamp = true
				}
				if sent, err := c.Send(b, 0, n); sent != n || err != nil {
					t.Errorf("sent %d of %d: %v", sent, n, err)
				}
				for i := range n {
					pkts <- b.Packets[i]
				}
				var d [8]Departure
				for _, d := range d[:c.Departures(d[:])] {
					deps <- d
				}
			}
		}()
	}
	t.Cleanup(func() {
		for _, c := range conns {
			c.Stop()
		}
		for _, c := range conns {
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("worker ended with %v", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return conns[0].Addr(), pkts, deps
}

// stamping returns once the kernel stamps what it receives, and keeps it at that:
// it begins some time after the first socket has asked for it
// (net_enable_timestamp, net/core/dev.c).
func stamping(t *testing.T) {
	t.Helper()
	if !hasStamps {
		return
	}
	at, pkts, _ := listenEcho(t, "127.0.0.1:0", 1)
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if p := <-pkts; p.Soft != 0 {
			return
		}
	}
}

func TestEcho(t *testing.T) {
	stamping(t)
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) {
			at, pkts, _ := listenEcho(t, addr, 2)
			host := "127.0.0.5" // an address of ours that routing would not choose
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
			for _, n := range []int{1, 48, MaxPacket, MaxPacket + 1} {
				msg := bytes.Repeat([]byte{byte(n)}, n)
				before := time.Now().UnixNano()
				if _, err := c.Write(msg); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 2*MaxPacket)
				m, err := c.Read(got) // connected: it comes from the address asked
				if err != nil {
					t.Fatal(err)
				}
				p := <-pkts
				after := time.Now().UnixNano()
				if want := msg[:min(n, MaxPacket)]; !bytes.Equal(got[:m], want) {
					t.Errorf("%d octets came back as %d", n, m)
				}
				if p.Truncated != (n > MaxPacket) {
					t.Errorf("%d octets: truncated %v", n, p.Truncated)
				}
				if p.Src.String() != c.LocalAddr().String() {
					t.Errorf("source %s, want %s", p.Src, c.LocalAddr())
				}
				// The stamp lies between sending and receiving.
				if hasStamps && (p.Soft < before || p.Soft > after) {
					t.Errorf("stamp %d is not within %d to %d", p.Soft, before, after)
				}
			}
		})
	}
}

// TestDepartures wants a transmit stamp for every answer, under its identifier,
// also after a refused answer made the kernel's count uncertain.
func TestDepartures(t *testing.T) {
	if !hasStamps {
		t.Skip("needs Linux: transmit stamps")
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
	b := NewBatch()
	for round := range 20 {
		for range 3 {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		n, err := s.Recv(b)
		if err != nil || n != 3 {
			t.Fatalf("%d datagrams, %v", n, err)
		}
		before := time.Now().UnixNano()
		for i := range n {
			p := &b.Packets[i]
			p.Out, p.Stamp = append(p.Out, p.Req...), i != 1
		}
		refuse := round%5 == 4
		if refuse {
			b.Packets[0].Out = b.Packets[0].Out[:MaxPacket]
			spoil(b, 0)
		}
		want := n
		if refuse {
			want--
		}
		if sent, err := s.Send(b, 0, n); sent != want || (err != nil) != refuse {
			t.Fatalf("sent %d, want %d: %v", sent, want, err)
		}
		after := time.Now().UnixNano()
		got := map[uint32]int64{}
		var d [8]Departure
		for _, d := range d[:s.Departures(d[:])] { // the loopback stamps before Send returns
			got[d.ID] = d.Soft
		}
		for i := range n {
			p := &b.Packets[i]
			at, ok := got[p.ID]
			switch {
			case p.Stamp && !ok:
				t.Errorf("round %d, packet %d: no stamp", round, i)
			case p.Stamp && (at < before || at > after):
				t.Errorf("round %d, packet %d: left at %d, not within %d to %d", round, i, at, before, after)
			}
			if p.Stamp {
				delete(got, p.ID)
			}
		}
		if len(got) > 0 {
			t.Errorf("round %d: stamps of nothing: %v", round, got)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	for _, n := range []int{1, 2} {
		conns, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: n})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []int{1, 2} {
			again, err := Listen(Config{Addr: conns[0].Addr(), Sockets: m})
			if err == nil {
				t.Errorf("%d sockets beside %d on the same address", m, n)
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
	if _, err := Listen(Config{Addr: netip.MustParseAddrPort("192.0.2.1:0")}); err == nil {
		t.Error("an address that is not ours")
	}
	if _, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "nonexistent0"}); err == nil && hasStamps {
		t.Error("an interface that is not there")
	}
	if _, err := Listen(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "lo", Stamps: Hardware}); !errors.Is(err, ErrNoHardware) {
		t.Errorf("hardware stamps of the loopback: %v", err)
	}
}

func TestSteering(t *testing.T) {
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
	done := make(chan error)
	for i, c := range conns {
		go func() {
			b := NewBatch()
			for {
				n, err := c.Recv(b)
				if err != nil {
					done <- err
					return
				}
				for k := range n {
					got <- arrival{i, b.Packets[k].Src.Addr()}
				}
			}
		}()
	}
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
	for _, c := range conns {
		c.Stop()
	}
	for _, c := range conns {
		<-done
		c.Close()
	}
}

// TestSendTime wants plausible figures of this machine, or none.
func TestSendTime(t *testing.T) {
	warm, cold := SendTime()
	t.Logf("warm %+v, cold %+v", warm, cold)
	for _, s := range []Sending{warm, cold} {
		if s.Least < 0 || s.Stamping < 0 || s.Least > time.Second || s.Stamping > time.Second {
			t.Errorf("%+v", s)
		}
	}
}
