package ntske

import "sync/atomic"

// Reason is how an exchange ended. Its String is the label of the metric.
type Reason uint8

// Reasons.
const (
	Served           Reason = iota // the client got cookies
	ConnectionCap                  // refused: MaxConns connections are open
	AddressCap                     // refused: MaxPerAddr connections from this prefix are open
	RateLimited                    // refused: more handshakes from this prefix than RatePerIP, or no turn before the deadline because of Rate
	HandshakeFailed                // the TLS handshake failed
	NoALPN                         // the client did not offer the protocol ntske/1
	TimedOut                       // the deadline passed
	ConnectionLost                 // the client disconnected, or the answer could not be sent
	MessageTooLong                 // more octets than any request needs
	BadRequest                     // answered with error 1
	UnknownCritical                // answered with error 0
	NoCommonProtocol               // answered with an empty protocol list
	NoCommonAEAD                   // answered with an empty AEAD list
	InternalError                  // answered with error 2
	AccessDenied                   // refused: the access lists deny the address
	Displaced                      // closed while unfinished: another prefix needed the place
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
	AccessDenied:     "access_denied",
	Displaced:        "displaced",
}

// String returns the word for the reason.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonText[r]
}

// answered reports whether the client gets an answer in NTS-KE.
func (r Reason) answered() bool {
	switch r {
	case Served, MessageTooLong, BadRequest, UnknownCritical, NoCommonProtocol, NoCommonAEAD, InternalError:
		return true
	}
	return false
}

// Error returns the text of the reason as an error.
func (r Reason) Error() string { return "nts-ke: " + r.String() }

// Counters counts exchanges by reason. The zero value is ready. The methods may be
// called from any goroutine.
type Counters struct {
	n    [numReasons]atomic.Uint64
	open atomic.Int64
}

func (c *Counters) add(r Reason) { c.n[r].Add(1) }

// Get returns the number of exchanges that ended with this reason.
func (c *Counters) Get(r Reason) uint64 {
	if r >= numReasons {
		return 0
	}
	return c.n[r].Load()
}

// Open returns the number of open connections.
func (c *Counters) Open() int { return int(c.open.Load()) }

// Snapshot returns all counts, by the word for the reason.
func (c *Counters) Snapshot() map[string]uint64 {
	m := make(map[string]uint64, numReasons)
	for r := range numReasons {
		m[r.String()] = c.n[r].Load()
	}
	return m
}
