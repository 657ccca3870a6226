package sockets

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWanted wants the widest filter that a driver has, transmit stamps wherever
// it makes them, and nothing that others set narrowed.
func TestWanted(t *testing.T) {
	const (
		none, all, ntp, ptp = unix.HWTSTAMP_FILTER_NONE, unix.HWTSTAMP_FILTER_ALL, unix.HWTSTAMP_FILTER_NTP_ALL, unix.HWTSTAMP_FILTER_PTP_V2_EVENT
		off, on             = unix.HWTSTAMP_TX_OFF, unix.HWTSTAMP_TX_ON
	)
	bits := func(v ...int) (m uint32) {
		for _, b := range v {
			m |= 1 << b
		}
		return m
	}
	for _, c := range []struct {
		name           string
		filters, types uint32
		now            unix.HwTstampConfig
		filter, tx     int32
		all            bool
	}{
		{"nothing", 0, 0, unix.HwTstampConfig{}, none, off, false},
		{"PTP packets only, transmits", bits(none, ptp), bits(off, on), unix.HwTstampConfig{}, none, on, false},
		{"PTP packets only, in use", bits(none, ptp), bits(off, on), unix.HwTstampConfig{Tx_type: on, Rx_filter: ptp}, ptp, on, false},
		{"all", bits(none, all, ptp), bits(off, on), unix.HwTstampConfig{}, all, on, true},
		{"NTP and all", bits(none, all, ntp), bits(off, on), unix.HwTstampConfig{}, ntp, on, true},
		{"all in use by another", bits(none, all, ntp), bits(off, on), unix.HwTstampConfig{Tx_type: on, Rx_filter: all}, all, on, true},
		{"receives only", bits(none, ntp), bits(off), unix.HwTstampConfig{}, ntp, off, true},
		{"PTP in use, could do more", bits(none, all, ptp), bits(off, on), unix.HwTstampConfig{Rx_filter: ptp}, all, on, true},
	} {
		want, got := wanted(c.filters, c.types, c.now)
		if want.Rx_filter != c.filter || want.Tx_type != c.tx || got != c.all {
			t.Errorf("%s: filter %d, type %d, all %v; want %d, %d, %v", c.name, want.Rx_filter, want.Tx_type, got, c.filter, c.tx, c.all)
		}
	}
}

// TestDeparture wants a card's transmit stamps made later by what the card takes
// to the wire, the kernel's left alone, and none made of nothing.
func TestDeparture(t *testing.T) {
	conn := &Conn{txEarly: 300, rev: 2}
	for _, c := range []struct {
		ctl  control
		want Departure
		ok   bool
	}{
		{control{}, Departure{ID: 2 << idBits}, false},
		{control{soft: 5, hard: 7}, Departure{ID: 2 << idBits, Soft: 5, Hard: 307}, false}, // whose?
		{control{isID: true, id: 9}, Departure{ID: 2<<idBits | 9}, false},
		{control{isID: true, id: 9, soft: 5}, Departure{ID: 2<<idBits | 9, Soft: 5}, true},
		{control{isID: true, id: 9, hard: 7}, Departure{ID: 2<<idBits | 9, Hard: 307}, true},
		{control{isID: true, id: 1<<24 | 3, hard: 7}, Departure{ID: 2<<idBits | 3, Hard: 307}, true},
	} {
		if got, ok := conn.departure(&c.ctl); got != c.want || ok != c.ok {
			t.Errorf("%+v: %+v, %v; want %+v, %v", c.ctl, got, ok, c.want, c.ok)
		}
	}
}

// TestCard wants a datagram to name the clock of the interface it came by, also
// where only what is sent is stamped.
func TestCard(t *testing.T) {
	conn := &Conn{cards: []Stamping{{Index: 3, PHC: 1, Transmit: true}, {Index: 4, PHC: 0, Receive: true}}}
	for _, c := range []struct {
		ifindex   uint32
		phc       int32
		transmits bool
	}{{0, -1, false}, {2, -1, false}, {3, 1, true}, {4, 0, false}} {
		b := NewBatch()
		ctl := appendHeader(b.sys.ctl[0][:0], word, solIP, ipPktinfo, 12)
		ctl = append(binary.NativeEndian.AppendUint32(ctl, c.ifindex), 127, 0, 0, 1, 127, 0, 0, 1)
		b.sys.rx[0].Hdr.SetControllen(len(ctl))
		conn.unpack(b, 0)
		if p := &b.Packets[0]; p.PHC != c.phc || p.Transmits != c.transmits {
			t.Errorf("interface %d: clock %d, transmits %v; want %d, %v", c.ifindex, p.PHC, p.Transmits, c.phc, c.transmits)
		}
	}
}
