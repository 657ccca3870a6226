package sockets

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"noonmark/server/transport"
)

// received is what the kernel would have returned for one datagram.
type received struct {
	soft, hard int64  // timestamps, ns; both 0: no control message with timestamps
	stampIf    uint32 // interface index of SCM_TIMESTAMPING_PKTINFO
	length     uint32 // frame length of SCM_TIMESTAMPING_PKTINFO; both 0: no such message
	pktinfoIf  uint32 // interface index of IP_PKTINFO; 0: no such message
	octets     int    // of the datagram
	from       string
}

// unpackOne puts r where recvmmsg would, and returns the packet that c makes of it.
func unpackOne(c *Conn, r received) transport.Packet {
	c.init()
	ne := binary.NativeEndian
	ctl := c.rx.control[0][:0]
	if r.soft != 0 || r.hard != 0 {
		ctl = appendHeader(ctl, wordSize, solSocket, scmTimestampingNew, 48)
		for _, v := range []int64{r.soft, 0, r.hard} {
			ctl = ne.AppendUint64(ctl, uint64(v/1e9))
			ctl = ne.AppendUint64(ctl, uint64(v%1e9))
		}
	}
	if r.stampIf != 0 || r.length != 0 {
		ctl = appendHeader(ctl, wordSize, solSocket, scmStampPktinfo, 16)
		ctl = append(ne.AppendUint32(ne.AppendUint32(ctl, r.stampIf), r.length), make([]byte, 8)...)
	}
	if r.pktinfoIf != 0 {
		ctl = appendHeader(ctl, wordSize, solIP, ipPktinfo, 12)
		ctl = append(ne.AppendUint32(ctl, r.pktinfoIf), 127, 0, 0, 1, 127, 0, 0, 1)
	}
	c.rx.headers[0].Hdr.SetControllen(len(ctl))
	c.rx.headers[0].Len = uint32(r.octets)
	if r.from != "" {
		c.rx.sources[0] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddrPort(r.from).Addr().As16()}
		c.rx.headers[0].Hdr.Namelen = unix.SizeofSockaddrInet6
	}
	c.batch = make([]transport.Packet, 1)
	c.unpack(0)
	return c.batch[0]
}

func TestReceiveLatencyMovesHardwareStampsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ soft, hard, want int64 }{{5e9, 0, 0}, {5e9, 7e9 + 400, 7e9 + 100}} {
		p := unpackOne(&Conn{rxLatency: 300}, received{soft: c.soft, hard: c.hard})
		if p.SoftStamp != c.soft || p.HardStamp != c.want {
			t.Errorf("stamps %d and %d, want %d and %d", p.SoftStamp, p.HardStamp, c.soft, c.want)
		}
	}
}

// A packet names the clock of its interface, also if the card timestamps only
// what it sends.
func TestPacketNamesTheClockOfItsInterface(t *testing.T) {
	t.Parallel()
	cards := []Card{{Index: 3, PHC: 1, Transmit: true}, {Index: 4, PHC: 0, Receive: true}}
	for _, c := range []struct {
		ifindex  uint32
		phc      int32
		stampsTx bool
	}{{0, -1, false}, {2, -1, false}, {3, 1, true}, {4, 0, false}} {
		if p := unpackOne(&Conn{cards: cards}, received{pktinfoIf: c.ifindex}); p.PHC != c.phc || p.StampsTx != c.stampsTx {
			t.Errorf("interface %d: clock %d, stamps what it sends %v; want %d, %v", c.ifindex, p.PHC, p.StampsTx, c.phc, c.stampsTx)
		}
	}
}

// A card timestamps the beginning of a frame; the receive timestamp is of its
// end. Kernel timestamps, and those of cards whose speed is unknown, stay.
func TestHardwareStampMovesToTheEndOfTheFrame(t *testing.T) {
	t.Parallel()
	const hard = int64(7e9)
	for _, c := range []struct {
		name    string
		speed   int64  // Mb/s, 0: unknown
		ifindex uint32 // 3 is the card
		length  uint32 // of the frame, as the kernel gives it
		octets  int    // of the datagram
		from    string
		want    int64 // ns
	}{
		{"another interface", 1000, 4, 90, 48, "192.0.2.1:123", 0},
		{"speed unknown", 0, 3, 90, 48, "192.0.2.1:123", 0},
		{"impossible length", 1000, 3, 1 << 30, 48, "192.0.2.1:123", 752},
		{"shorter than a frame", 1000, 3, 46, 4, "192.0.2.1:123", 512},
		{"length given", 1000, 3, 90, 48, "192.0.2.1:123", 752},
		{"length given, with IPv4 options", 1000, 3, 94, 48, "192.0.2.1:123", 784},
		{"length unknown, IPv4", 1000, 3, 0, 48, "192.0.2.1:123", 752},
		{"length unknown, IPv6", 1000, 3, 0, 48, "[2001:db8::1]:123", 912},
		{"100 Mb/s", 100, 3, 90, 48, "192.0.2.1:123", 7520},
		{"2.5 Gb/s", 2500, 3, 90, 48, "192.0.2.1:123", 300},
	} {
		conn := &Conn{cards: []Card{{Index: 3, PHC: 1, Receive: true}}}
		if c.speed != 0 {
			conn.cards[0].link = new(link)
			conn.cards[0].link.speed.Store(c.speed)
		}
		p := unpackOne(conn, received{soft: 5e9, hard: hard, stampIf: c.ifindex, length: c.length, octets: c.octets, from: c.from})
		if p.SoftStamp != 5e9 || p.HardStamp != hard+c.want {
			t.Errorf("%s: stamps %d and %d, want %d and %d", c.name, p.SoftStamp, p.HardStamp, int64(5e9), hard+c.want)
		}
	}
}

// Hardware transmit timestamps move by the card's latency to the wire. An entry
// of the error queue without identifier or timestamp is dropped.
func TestTxStampFromErrorQueue(t *testing.T) {
	t.Parallel()
	conn := &Conn{txLatency: 300}
	conn.stamps.restarts = 2
	for _, c := range []struct {
		ctl  control
		want transport.TxStamp
		ok   bool
	}{
		{control{}, transport.TxStamp{ID: 2 << idBits}, false},
		{control{soft: 5, hard: 7}, transport.TxStamp{ID: 2 << idBits, Soft: 5, Hard: 307}, false}, // no identifier
		{control{isID: true, id: 9}, transport.TxStamp{ID: 2<<idBits | 9}, false},
		{control{isID: true, id: 9, soft: 5}, transport.TxStamp{ID: 2<<idBits | 9, Soft: 5}, true},
		{control{isID: true, id: 9, hard: 7}, transport.TxStamp{ID: 2<<idBits | 9, Hard: 307}, true},
		{control{isID: true, id: 1<<24 | 3, hard: 7}, transport.TxStamp{ID: 2<<idBits | 3, Hard: 307}, true},
	} {
		if got, ok := conn.txStamp(&c.ctl); got != c.want || ok != c.ok {
			t.Errorf("%+v: %+v, %v; want %+v, %v", c.ctl, got, ok, c.want, c.ok)
		}
	}
}
