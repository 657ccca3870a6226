package ntske

import "sync/atomic"

// Reason names how an exchange ended. Its String is the metric's label.
type Reason uint8

// How an exchange can end.
const (
	Served           Reason = iota // cookies given
	ConnectionCap                  // refused: as many connections as configured
	AddressCap                     // refused: as many from this address as configured
	RateLimited                    // refused: too many new connections a second, in all or from this address
	HandshakeFailed                // TLS could not be established
	NoALPN                         // TLS without the protocol ntske/1
	TimedOut                       // the deadline passed
	ConnectionLost                 // the peer went away, or the answer could not be sent
	MessageTooLong                 // more octets than any request needs
	BadRequest                     // answered with error 1
	UnknownCritical                // answered with error 0
	NoCommonProtocol               // answered with an empty protocol list
	NoCommonAEAD                   // answered with an empty AEAD list
	InternalError                  // answered with error 2
	numReasons
)

var reasonText = [numReasons]string{
	Served:           "served",
	ConnectionCap:    "connection_cap",
	AddressCap:       "address_cap",
	RateLimited:      "rate_limited",
	HandshakeFailed:  "handshake_failed",
	NoALPN:           "no_alpn",
	TimedOut:         "timed_out",
	ConnectionLost:   "connection_lost",
	MessageTooLong:   "message_too_long",
	BadRequest:       "bad_request",
	UnknownCritical:  "unknown_critical_record",
	NoCommonProtocol: "no_common_protocol",
	NoCommonAEAD:     "no_common_aead",
	InternalError:    "internal_error",
}

// String returns the reason's snake_case word.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonText[r]
}

// Error makes a Reason an error.
func (r Reason) Error() string { return "nts-ke: " + r.String() }

// Counters counts exchanges by how they ended. Its zero value is ready; its
// methods may be called from any goroutine.
type Counters struct {
	n    [numReasons]atomic.Uint64
	open atomic.Int64
}

func (c *Counters) add(r Reason) { c.n[r].Add(1) }

// Get returns how many exchanges have ended for this reason.
func (c *Counters) Get(r Reason) uint64 {
	if r >= numReasons {
		return 0
	}
	return c.n[r].Load()
}

// Open returns the number of connections in work.
func (c *Counters) Open() int { return int(c.open.Load()) }

// Snapshot returns all counts by the reasons' words.
func (c *Counters) Snapshot() map[string]uint64 {
	m := make(map[string]uint64, numReasons)
	for r := range numReasons {
		m[r.String()] = c.n[r].Load()
	}
	return m
}
