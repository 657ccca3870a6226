package sockets

import (
	"encoding/binary"
	"net/netip"
)

// Control messages as Linux lays them out (include/linux/socket.h,
// include/uapi/linux/net_tstamp.h, errqueue.h). The numbers are the same on
// amd64, arm64 and arm.
const (
	solIP     = 0
	solSocket = 1
	solIPv6   = 41

	scmTimestampingOld = 37
	scmTimestampingNew = 65
	scmStampPktinfo    = 58 // SCM_TIMESTAMPING_PKTINFO
	ipPktinfo          = 8
	ipRecvErr          = 11
	ipv6Pktinfo        = 50
	ipv6RecvErr        = 25

	eeOriginTimestamping = 4 // SO_EE_ORIGIN_TIMESTAMPING
)

// control is the content of the control messages of one datagram.
type control struct {
	soft, hard int64      // timestamps, ns; 0 = none
	ifindex    uint32     // index of the interface that stamped or received, 0 = unknown
	length     uint32     // of the frame without its check sequence, octets; 0 = unknown
	local      netip.Addr // address to answer from, invalid = unknown
	toUs       bool       // the datagram was sent to local, a unicast address of this host
	localIf    uint32     // index of the interface of local
	id         uint32     // identifier of a transmit timestamp
	isID       bool       // id is set
}

// parseControl reads the control messages in b. word is the size of a C long:
// 8 or 4 octets. It skips what is malformed: b comes from the kernel, and the
// worst result is a missing timestamp.
func parseControl(b []byte, word int, c *control) {
	*c = control{}
	ne := binary.NativeEndian
	head := word + 8
	for len(b) >= head {
		n := uint64(ne.Uint32(b))
		if word == 8 {
			n = ne.Uint64(b)
		}
		if n < uint64(head) || n > uint64(len(b)) {
			return
		}
		c.add(ne.Uint32(b[word:]), ne.Uint32(b[word+4:]), b[head:n], word)
		n = (n + uint64(word) - 1) &^ (uint64(word) - 1)
		if n >= uint64(len(b)) {
			break
		}
		b = b[n:]
	}
	if c.ifindex == 0 {
		c.ifindex = c.localIf
	}
}

// add reads one control message.
func (c *control) add(level, typ uint32, body []byte, word int) {
	switch level {
	case solSocket:
		c.addStamps(typ, body, word)
	case solIP:
		switch {
		case typ == ipPktinfo && len(body) >= 12:
			c.localIf = binary.NativeEndian.Uint32(body)
			c.local = netip.AddrFrom4([4]byte(body[4:8])) // ipi_spec_dst: ours, also for a broadcast
			// ipi_addr is the destination. For a broadcast or a multicast it is not ours.
			c.toUs = c.local == netip.AddrFrom4([4]byte(body[8:12])) && unicast(c.local)
		case typ == ipRecvErr:
			c.addError(body)
		}
	case solIPv6:
		switch {
		case typ == ipv6Pktinfo && len(body) >= 20:
			c.local = netip.AddrFrom16([16]byte(body[:16]))
			c.toUs = unicast(c.local)
			c.localIf = binary.NativeEndian.Uint32(body[16:])
		case typ == ipv6RecvErr:
			c.addError(body)
		}
	}
}

// unicast reports whether an address can be that of one host.
func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// addStamps reads a message of level SOL_SOCKET.
func (c *control) addStamps(typ uint32, body []byte, word int) {
	ne := binary.NativeEndian
	switch {
	case len(body) >= 48 && (typ == scmTimestampingNew || typ == scmTimestampingOld && word == 8):
		c.soft = stamp(ne.Uint64(body), ne.Uint64(body[8:]))
		c.hard = stamp(ne.Uint64(body[32:]), ne.Uint64(body[40:])) // the one between is obsolete
	case typ == scmStampPktinfo && len(body) >= 8:
		if i := ne.Uint32(body); i != 0 { // a driver without NAPI gives 0
			c.ifindex, c.length = i, ne.Uint32(body[4:])
		}
	}
}

// addError reads a sock_extended_err.
func (c *control) addError(body []byte) {
	if len(body) >= 16 && body[4] == eeOriginTimestamping {
		c.id, c.isID = binary.NativeEndian.Uint32(body[12:]), true // ee_data
	}
}

// maxStampSec is the limit of seconds that fit an int64 of nanoseconds.
const maxStampSec = 1 << 33

// stamp returns a timestamp in ns, 0 if it is out of range.
func stamp(sec, nsec uint64) int64 {
	if sec >= maxStampSec || nsec >= 1e9 {
		return 0
	}
	return int64(sec)*1e9 + int64(nsec)
}

// appendPktinfo appends a control message that sets the source address of the
// datagram. It sets the interface of link-local addresses only: others are
// routed.
func appendPktinfo(b []byte, word int, local netip.Addr, ifindex uint32) []byte {
	ne := binary.NativeEndian
	if !local.IsLinkLocalUnicast() {
		ifindex = 0
	}
	if local.Is4() {
		b = appendHeader(b, word, solIP, ipPktinfo, 12)
		a := local.As4()
		b = ne.AppendUint32(b, ifindex)
		b = append(b, a[:]...)                  // ipi_spec_dst: the source to use
		return pad(append(b, 0, 0, 0, 0), word) // ipi_addr
	}
	b = appendHeader(b, word, solIPv6, ipv6Pktinfo, 20)
	a := local.As16()
	b = append(b, a[:]...)
	b = ne.AppendUint32(b, ifindex)
	return pad(b, word)
}

// appendStampRequest appends a control message that requests transmit timestamps
// of this datagram.
func appendStampRequest(b []byte, word int, flags uint32) []byte {
	b = appendHeader(b, word, solSocket, scmTimestampingOld, 4)
	return pad(binary.NativeEndian.AppendUint32(b, flags), word)
}

func appendHeader(b []byte, word int, level, typ uint32, n int) []byte {
	ne := binary.NativeEndian
	if word == 8 {
		b = ne.AppendUint64(b, uint64(word+8+n))
	} else {
		b = ne.AppendUint32(b, uint32(word+8+n))
	}
	b = ne.AppendUint32(b, level)
	return ne.AppendUint32(b, typ)
}

func pad(b []byte, word int) []byte {
	for len(b)%word != 0 {
		b = append(b, 0)
	}
	return b
}
