package ntsclient

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
)

// Flags of SO_TIMESTAMPING (include/uapi/linux/net_tstamp.h).
const (
	tsTxSoftware = 1 << 1
	tsRxSoftware = 1 << 3
	tsSoftware   = 1 << 4
	tsOptTSOnly  = 1 << 11
)

// udpConn uses the kernel's receive and transmit timestamps, or the time around the
// system call if there is none.
type udpConn struct {
	*net.UDPConn
	raw  syscall.RawConn
	oob  [512]byte
	sent Stamp
}

func newUDP(c *net.UDPConn) Conn {
	u := &udpConn{UDPConn: c}
	raw, err := c.SyscallConn()
	if err != nil {
		return u
	}
	raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPING,
			tsTxSoftware|tsRxSoftware|tsSoftware|tsOptTSOnly)
	})
	if err == nil {
		u.raw = raw
	}
	return u
}

func (u *udpConn) Send(b []byte) (Stamp, error) {
	u.drain() // timestamps of earlier requests
	u.sent = Stamp{}
	at := Stamp{Real: time.Now().UnixNano()}
	_, err := u.Write(b)
	return at, err
}

func (u *udpConn) Sent() (Stamp, bool) {
	u.drain()
	return u.sent, u.sent.Kernel
}

func (u *udpConn) Receive(b []byte, deadline time.Time) (int, Stamp, error) {
	if err := u.SetReadDeadline(deadline); err != nil {
		return 0, Stamp{}, err
	}
	n, oobn, _, _, err := u.ReadMsgUDPAddrPort(b, u.oob[:])
	at := Stamp{Real: time.Now().UnixNano()}
	if err != nil {
		return 0, at, err
	}
	if real, ok := softwareStamp(u.oob[:oobn]); ok {
		at = Stamp{Real: real, Kernel: true}
	}
	return n, at, nil
}

// drain reads the transmit timestamps from the socket's error queue. The last one is
// of the packet that was sent last. The kernel limits the queue.
func (u *udpConn) drain() {
	if u.raw == nil {
		return
	}
	u.raw.Control(func(fd uintptr) {
		var oob [512]byte
		for range 64 {
			_, n, _, _, err := syscall.Recvmsg(int(fd), nil, oob[:], syscall.MSG_ERRQUEUE|syscall.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if real, ok := softwareStamp(oob[:n]); ok {
				u.sent = Stamp{Real: real, Kernel: true}
			}
		}
	})
}

// softwareStamp returns the first of the three timespecs of an SCM_TIMESTAMPING
// message (Documentation/networking/timestamping.rst, 2.1): seconds and ns, two
// native words.
func softwareStamp(oob []byte) (int64, bool) {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range msgs {
		if m.Header.Level != syscall.SOL_SOCKET || m.Header.Type != syscall.SCM_TIMESTAMPING {
			continue
		}
		var sec, nsec int64
		switch {
		case len(m.Data) >= 3*16:
			sec, nsec = int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))
		case len(m.Data) >= 3*8: // 32-bit time_t, wraps in 2038
			sec, nsec = int64(binary.NativeEndian.Uint32(m.Data)), int64(int32(binary.NativeEndian.Uint32(m.Data[4:])))
		}
		if sec > 0 && nsec >= 0 && nsec < 1e9 {
			return sec*1e9 + nsec, true
		}
	}
	return 0, false
}
