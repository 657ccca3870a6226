package sockets

import "sync/atomic"

// Octets of a frame beyond its UDP payload.
const (
	headers4 = 14 + 20 + 8 // Ethernet, IPv4, UDP
	headers6 = 14 + 40 + 8 // Ethernet, IPv6, UDP
	checkLen = 4           // frame check sequence
	minFrame = 64          // shorter frames are padded (IEEE 802.3, 4A.2.3.2.4)
)

// link is the speed of an interface in Mb/s. All sockets share it.
type link struct{ speed atomic.Int64 }

// frameTime returns how long a frame of so many octets without check sequence
// is on the wire, in ns.
//
// Cards timestamp the beginning of a frame, but NTP's receive timestamp is of
// its end. With the receive timestamp at the end and the transmit timestamp at
// the beginning, both directions are alike. chronyd corrects its hardware
// receive timestamps in the same way (ntp_io_linux.c). If only one of client and
// server did, half of the frame time would be the client's error: 376 ns for a
// plain request at 1 Gb/s, ten times as much at 100 Mb/s.
func (l *link) frameTime(octets int64) int64 {
	return max(octets+checkLen, minFrame) * 8000 / l.speed.Load()
}
