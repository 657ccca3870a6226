package export

import (
	"encoding/binary"
	"math"
	"net"
	"strconv"
)

// sockMagic is SOCK_MAGIC of chrony's refclock_sock.c.
const sockMagic = 0x534f434b

// Sock feeds chronyd's SOCK reference clock (chrony.conf(5), "refclock SOCK"):
// one datagram for each sample, to a Unix socket that chronyd makes at its start.
type Sock struct {
	path string
	conn *net.UnixConn
	buf  []byte
}

// NewSock returns an exporter to the socket at path, which need not exist yet:
// Export connects if there is no connection.
func NewSock(path string) *Sock { return &Sock{path: path} }

func (s *Sock) String() string { return "chrony SOCK " + s.path }

// Export sends one sample. chronyd's sign is true time - system time.
func (s *Sock) Export(sm Sample) error {
	if s.conn == nil {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
		if err != nil {
			return wrap("chrony SOCK", s.path, `check that chronyd runs with "refclock SOCK `+s.path+`"`, err)
		}
		s.conn = c
	}
	s.buf = appendSock(s.buf[:0], sm)
	if _, err := s.conn.Write(s.buf); err != nil {
		s.conn.Close()
		s.conn = nil // chronyd has restarted and made another socket
		return wrap("chrony SOCK", s.path, "the next sample is tried again", err)
	}
	return nil
}

// Close ends the connection.
func (s *Sock) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// appendSock encodes struct sock_sample of chrony's refclock_sock.c: struct
// timeval, double offset, int pulse, int leap, int pad, int magic, in the
// machine's own order and word size.
func appendSock(b []byte, sm Sample) []byte {
	b = appendLong(b, sm.Real/1e9)
	b = appendLong(b, sm.Real%1e9/1e3)
	// chronyd takes the sample's instant in whole microseconds. The offset stays
	// exact: it belongs to the nanosecond reading, and the drift within 1 us is nil.
	b = binary.NativeEndian.AppendUint64(b, math.Float64bits(float64(sm.True-sm.Real)*1e-9))
	b = binary.NativeEndian.AppendUint32(b, 0) // a full time, not a pulse
	b = binary.NativeEndian.AppendUint32(b, uint32(sm.Leap))
	b = binary.NativeEndian.AppendUint32(b, 0)
	return binary.NativeEndian.AppendUint32(b, sockMagic)
}

// appendLong appends a C long.
func appendLong(b []byte, v int64) []byte {
	if strconv.IntSize == 32 {
		return binary.NativeEndian.AppendUint32(b, uint32(v))
	}
	return binary.NativeEndian.AppendUint64(b, uint64(v))
}
