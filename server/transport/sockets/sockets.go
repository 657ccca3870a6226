// Package sockets moves UDP datagrams in batches over kernel sockets, and gives
// each its receive and transmit timestamps: of the network card's clock, of the
// kernel, or none. It knows nothing of NTP.
//
// On Linux a Conn is a socket of its own with blocking recvmmsg(2) and
// sendmmsg(2), so that a worker goroutine needs no poller: the datagram itself
// wakes its thread. On other systems it is a net.UDPConn without timestamps.
package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Mode selects the timestamps.
type Mode uint8

// Modes.
const (
	Auto     Mode = iota // hardware where an interface has it, else software
	Hardware             // hardware, or Listen fails
	Software             // the kernel's
	Off                  // none
)

var modeNames = [...]string{"auto", "hardware", "software", "off"}

// String returns the word for the mode in the configuration.
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
	return 0, fmt.Errorf("timestamp mode %q is unknown", s)
}

// Config describes the sockets of one address.
type Config struct {
	Addr      netip.AddrPort // port 0: any free port, the same for all sockets
	Interface string         // receive from this interface only; empty: from all
	Stamps    Mode
	DSCP      uint8 // differentiated services code point of answers, 0 to 63
	Sockets   int   // number of sockets that share the address; 0 is 1

	// Delays between the wire and the point where the card takes its timestamps:
	// ReceiveLatency is subtracted from hardware receive timestamps,
	// TransmitLatency is added to hardware transmit timestamps.
	ReceiveLatency, TransmitLatency time.Duration

	// Widen sets up the timestamps of an interface for a process that may not do so
	// itself; it is what the function Widen does. nil: nobody does.
	Widen func(name string) (Setting, error)
}

// SendCost is what sending a datagram costs on this machine (MeasureSend).
type SendCost struct {
	Least    time.Duration // least time from a reading of the clock to the departure
	Stamping time.Duration // delay that the making of a software transmit timestamp adds
}

// ErrNoHardware is wrapped by the error of Listen if Config.Stamps is Hardware
// and no interface has hardware timestamps.
var ErrNoHardware = errors.New("no hardware receive timestamps for UDP")

// ErrNoZone is wrapped by the error of Listen if the address has the zone of an
// interface that does not exist.
var ErrNoZone = errors.New("no zone")
