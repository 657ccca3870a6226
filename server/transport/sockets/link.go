package sockets

import "sync/atomic"

// Octets of a frame that a datagram's length lacks.
const (
	headers4 = 14 + 20 + 8 // Ethernet, IPv4, UDP
	headers6 = 14 + 40 + 8 // with IPv6
	checkLen = 4           // frame check sequence
	minFrame = 64          // shorter ones are padded (IEEE 802.3, 4A.2.3.2.4)
)

// link is how fast an interface's wire is, Mb/s. Sockets that know it share it.
type link struct{ speed atomic.Int64 }

// lasts is how long a frame is on the wire, ns. Cards stamp where the frame
// begins, and NTP's receive timestamp means its end: with it and the transmit
// timestamp of a frame's beginning, the two ways are alike whatever lies between,
// and chronyd adds this to its hardware receive stamps (ntp_io_linux.c). If only
// one side did, half of it would be the client's error: 376 ns for a plain
// request at 1 Gb/s, ten times as much at 100 Mb/s.
func (l *link) lasts(octets int64) int64 {
	return max(octets+checkLen, minFrame) * 8000 / l.speed.Load()
}
