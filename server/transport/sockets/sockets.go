// Package sockets moves UDP datagrams in batches and tells when each arrived and
// left, as exactly as the machine can: by the network card's own clock, by the
// kernel, or not at all. It knows nothing of NTP.
//
// On Linux a Conn is a socket of its own with blocking recvmmsg(2) and
// sendmmsg(2), so a worker goroutine needs no poller and no wake-up but the
// packet's. Elsewhere it is a net.UDPConn without stamps.
package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxPacket is the room for one datagram in octets; longer ones arrive with
// Truncated set.
const MaxPacket = 2048

// BatchLen is how many datagrams a Batch holds. More would save little per
// packet and make the first answer of a batch wait for the last.
const BatchLen = 32

// Mode says which stamps are wanted.
type Mode uint8

// Modes.
const (
	Auto     Mode = iota // hardware where an interface gives it, else software
	Hardware             // hardware, or Listen fails
	Software             // the kernel's
	Off                  // none
)

var modeNames = [...]string{"auto", "hardware", "software", "off"}

// String returns the mode's word in configuration.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "invalid"
}

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for i, n := range modeNames {
		if n == s {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("timestamp mode %q is not known", s)
}

// Config describes the sockets of one address.
type Config struct {
	Addr      netip.AddrPort // port 0: any, the same for all sockets
	Interface string         // only datagrams of this interface; empty: of all
	Stamps    Mode
	DSCP      uint8 // differentiated services code point of what is sent, 0 to 63
	Sockets   int   // how many share the address; 0 is 1

	// What lies between the wire and the place where the card takes its stamps:
	// hardware receive stamps are made earlier by the one, transmit stamps later
	// by the other.
	ReceiveLatency, TransmitLatency time.Duration
}

// Stamping is what an interface can do, for the log.
type Stamping struct {
	Interface string
	Index     int   // of the interface
	PHC       int32 // index of its PTP hardware clock, -1 if it has none
	Receive   bool  // hardware stamps on every received UDP datagram
	Transmit  bool
	Err       error // why not, where it could be expected

	link *link // its wire, nil without a clock
}

// Packet is one datagram of a Batch and room for the answer to it.
type Packet struct {
	Req       []byte         // what was received
	Src       netip.AddrPort // where it came from; its Addr is never 4-in-6
	Truncated bool           // it was longer than Req
	Soft      int64          // the kernel's receive stamp, CLOCK_REALTIME ns; 0 = none
	Hard      int64          // the card's receive stamp, ns of the clock PHC; 0 = none
	PHC       int32          // index of the receiving interface's clock, -1 = none or not told
	Transmits bool           // that interface stamps what is sent, by its clock PHC

	// Out has room for MaxPacket octets and length 0; Compose and Transmit send
	// what the caller makes of its length, and nothing if that stays 0.
	Out []byte
	// Stamp, set by the caller, asks for a transmit stamp of the answer. Transmit
	// then sets ID, by which a Departure names it.
	Stamp bool
	ID    uint32
}

// Departure is the transmit stamp of an answer.
type Departure struct {
	ID   uint32
	Soft int64 // as the kernel handed it to the card, CLOCK_REALTIME ns; 0 = not told
	Hard int64 // as it left, ns of the sending interface's clock; 0 = not told
}

// Batch is the working memory of one worker: NewBatch makes it, Recv fills it,
// Compose and Transmit send its answers.
type Batch struct {
	Packets [BatchLen]Packet
	sys     batchSys
}

// Sending is how long things take on this machine: see SendTime.
type Sending struct {
	Least    time.Duration // from a reading of the clock to the departure of a datagram
	Stamping time.Duration // by which a software transmit stamp delays it
}

// Send is Compose and Transmit.
func (c *Conn) Send(b *Batch, from, to int) (sent int, err error) {
	c.Compose(b, from, to)
	return c.Transmit(b)
}

// ErrNoHardware is wrapped by the error of Listen if hardware stamps were asked
// for and no interface gives them.
var ErrNoHardware = errors.New("no interface stamps received packets in hardware")

// ErrClosed is returned by Recv after Stop.
var ErrClosed = errors.New("socket is stopped")
