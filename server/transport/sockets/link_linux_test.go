package sockets

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFrame wants a card's receive stamp moved to the end of the frame that it
// stamped at the beginning, by the speed of the wire it came by; stamps of the
// kernel and of cards whose wire is not known stay.
func TestFrame(t *testing.T) {
	const hard = 7e9
	for _, c := range []struct {
		name    string
		speed   int64  // Mb/s, 0: no link
		ifindex uint32 // 3 is the card
		told    uint32 // length that the kernel tells
		octets  int    // of the datagram
		from    string
		want    int64 // ns
	}{
		{"another interface", 1000, 4, 90, 48, "192.0.2.1:123", 0},
		{"no wire", 0, 3, 90, 48, "192.0.2.1:123", 0},
		{"told", 1000, 3, 90, 48, "192.0.2.1:123", 752},
		{"told, with IPv4 options", 1000, 3, 94, 48, "192.0.2.1:123", 784},
		{"told nonsense", 1000, 3, 1 << 30, 48, "192.0.2.1:123", 752},
		{"not told, IPv4", 1000, 3, 0, 48, "192.0.2.1:123", 752},
		{"not told, IPv6", 1000, 3, 0, 48, "[2001:db8::1]:123", 912},
		{"100 Mb/s", 100, 3, 90, 48, "192.0.2.1:123", 7520},
		{"2.5 Gb/s", 2500, 3, 90, 48, "192.0.2.1:123", 300},
		{"shorter than a frame", 1000, 3, 46, 4, "192.0.2.1:123", 512},
	} {
		b := NewBatch()
		conn := &Conn{cards: []Stamping{{Index: 3, PHC: 1, Receive: true}}}
		if c.speed != 0 {
			conn.cards[0].link = new(link)
			conn.cards[0].link.speed.Store(c.speed)
		}
		ne := binary.NativeEndian
		ctl := appendHeader(b.sys.ctl[0][:0], word, solSocket, scmTimestampingNew, 48)
		for _, v := range []uint64{5, 0, 0, 0, hard / 1e9, 0} {
			ctl = ne.AppendUint64(ctl, v)
		}
		ctl = appendHeader(ctl, word, solSocket, scmStampPktinfo, 16)
		ctl = append(ne.AppendUint32(ne.AppendUint32(ctl, c.ifindex), c.told), make([]byte, 8)...)
		b.sys.rx[0].Hdr.SetControllen(len(ctl))
		b.sys.rx[0].Len = uint32(c.octets)
		b.sys.name[0] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddrPort(c.from).Addr().As16()}
		b.sys.rx[0].Hdr.Namelen = unix.SizeofSockaddrInet6
		conn.unpack(b, 0)
		if p := &b.Packets[0]; p.Soft != 5e9 || p.Hard != hard+c.want {
			t.Errorf("%s: stamps %d and %d, want %d and %d", c.name, p.Soft, p.Hard, int64(5e9), hard+c.want)
		}
	}
}

// TestLinkSpeed wants a wire's speed taken from the driver, and what was known
// kept where it does not tell.
func TestLinkSpeed(t *testing.T) {
	l := newLink("no such interface")
	if got := l.speed.Load(); got != usualSpeed {
		t.Errorf("unknown: %d Mb/s, want %d", got, usualSpeed)
	}
	l.speed.Store(100)
	for _, name := range []string{"no such interface", "lo"} { // lo has no driver that could tell
		if l.look(name); l.speed.Load() != 100 {
			t.Errorf("%s: %d Mb/s, want what was known", name, l.speed.Load())
		}
	}
}
