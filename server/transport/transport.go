// Package transport defines what a worker and its path to the network exchange:
// batches of datagrams with receive timestamps, and the transmit timestamps of
// what was sent. The implementations are kernel sockets (package sockets) and,
// for tests, Memory.
package transport

import (
	"errors"
	"net/netip"
)

// MaxPacket is the room for one datagram in octets. Of a longer one, only the
// beginning is received. The longest request that clients send has 1468: eight
// cookies of AEAD 17. The rest is for one cookie more, and fields that we do not know.
const MaxPacket = 1792

// BatchLen is the number of datagrams that are received together at most. With 32 a
// flood of refused datagrams costs an eighth more per datagram; a larger batch would
// delay the first answer until the last request is read.
const BatchLen = 64

// Packet is one received datagram and room for the answer to it. The
// transport's Receive sets all fields. The memory behind Req and Out belongs to
// the transport and is valid until the next Receive.
type Packet struct {
	Req       []byte         // the received datagram
	Src       netip.AddrPort // its source; the address is never an IPv4-mapped IPv6 address
	Truncated bool           // the datagram was longer than Req
	NotToUs   bool           // it was sent to a broadcast or multicast address, or the destination is unknown

	SoftStamp int64 // kernel receive timestamp, CLOCK_REALTIME, ns; 0 = none
	HardStamp int64 // hardware receive timestamp, ns of the clock PHC; 0 = none
	PHC       int32 // index of the PTP hardware clock of the receiving interface, -1 = none or unknown
	StampsTx  bool  // the receiving interface also stamps what it sends, with PHC

	// Out has length 0 and capacity MaxPacket. The caller writes the answer into
	// it; a packet whose Out is empty is not answered.
	Out []byte
	// WantStamp is set by the caller to request a transmit timestamp of the
	// answer. Compose clears it where the transport has none. After Transmit, ID
	// is the identifier of the timestamp (TxStamp).
	WantStamp bool
	ID        uint32
}

// TxStamp is the transmit timestamp of one answer.
type TxStamp struct {
	ID   uint32 // Packet.ID of the answer
	Soft int64  // when the kernel handed the answer to the driver, CLOCK_REALTIME, ns; 0 = unknown
	Hard int64  // when the answer left, ns of the sending interface's clock; 0 = unknown
}

// ErrClosed is returned by Receive after Stop.
var ErrClosed = errors.New("transport is stopped")
