//go:build !linux

package ntsclient

import (
	"net"
	"time"
)

// udpConn has the time around the system calls.
type udpConn struct{ *net.UDPConn }

func newUDP(c *net.UDPConn) Conn { return udpConn{c} }

func (u udpConn) Send(b []byte) (Stamp, error) {
	at := Stamp{Real: time.Now().UnixNano()}
	_, err := u.Write(b)
	return at, err
}

func (u udpConn) Sent() (Stamp, bool) { return Stamp{}, false }

func (u udpConn) Receive(b []byte, deadline time.Time) (int, Stamp, error) {
	if err := u.SetReadDeadline(deadline); err != nil {
		return 0, Stamp{}, err
	}
	n, err := u.Read(b)
	return n, Stamp{Real: time.Now().UnixNano()}, err
}
