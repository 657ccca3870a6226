package ntsclient

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Reason is why a packet is not the answer to the pending request. Such a packet is
// ignored, and the client waits on: anybody can send one.
type Reason uint8

// The reasons, in the order of the checks.
const (
	Accepted            Reason = iota
	Short                      // shorter than an NTP header
	BadVersion                 // not version 4, or without NTS 3
	BadMode                    // not mode 4, server
	BogusOrigin                // not the answer to the pending request (RFC 5905, section 8, TEST2)
	BadField                   // malformed extension fields (RFC 7822)
	NoUniqueID                 // no unique identifier before the authenticator
	WrongUniqueID              // the unique identifier of another request
	NoAuthenticator            // an unauthenticated answer to an authenticated request
	BadAuthenticator           // the authenticator does not verify under the session's key
	UnauthenticatedKiss        // a kiss code other than NTSN without authenticator
	NAK                        // NTS NAK, which is obeyed if no valid answer comes (RFC 8915, section 5.7)
	numReasons
)

var reasonNames = [...]string{"accepted", "short", "bad_version", "bad_mode", "bogus_origin", "bad_field", "no_unique_id",
	"wrong_unique_id", "no_authenticator", "bad_authenticator", "unauthenticated_kiss", "nts_nak"}

// String returns the word for the reason in logs, JSON and metrics.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "invalid"
}

// Counters counts packets by Reason.
type Counters [numReasons]uint64

// Refused returns the number of packets that were not accepted.
func (c *Counters) Refused() uint64 {
	var n uint64
	for _, v := range c[Accepted+1:] {
		n += v
	}
	return n
}

// String lists the reasons that occurred, "bad_mode 2, short 1"; empty if none.
func (c *Counters) String() string {
	var s []string
	for r := Accepted + 1; r < numReasons; r++ {
		if c[r] > 0 {
			s = append(s, fmt.Sprintf("%v %d", r, c[r]))
		}
	}
	return strings.Join(s, ", ")
}

// Errors of Query; errors.Is holds for each.
var (
	// ErrNoAnswer: no acceptable answer came within the timeout. The error is also
	// os.ErrDeadlineExceeded.
	ErrNoAnswer = errors.New("no valid answer")
	// ErrNAK: the server does not know the cookie or the keys (RFC 8915, section 5.7),
	// and no valid answer came. The next Query exchanges keys again.
	ErrNAK = errors.New("server answered NTS NAK")
	// ErrUnsynchronised: the answer is acceptable, but by its content the server is
	// not synchronised. Query returns the Reading too.
	ErrUnsynchronised = errors.New("server is not synchronised")
	// ErrInsane: the answer is acceptable, but its timestamps contradict each other.
	// Query returns the Reading too.
	ErrInsane = errors.New("timestamps contradict each other")
	// ErrStepped: the local clock was stepped between request and answer.
	ErrStepped = errors.New("local clock was stepped during the exchange")
	// ErrDenied: the server sent the kiss code DENY or RSTR; this client does not
	// query it again.
	ErrDenied = errors.New("server denies service")
	// ErrHoldOff: it is too early to query again, after a kiss code RATE or a failed
	// key exchange.
	ErrHoldOff = errors.New("too early to ask again")
	// ErrKeyExchange: the key exchange with the NTS-KE server failed.
	ErrKeyExchange = errors.New("NTS key exchange")
)

// NoAnswerError is ErrNoAnswer with the packets that came instead.
type NoAnswerError struct {
	Waited  time.Duration
	Ignored Counters // packets within this Query that were not the answer
}

func (e *NoAnswerError) Error() string {
	s := fmt.Sprintf("%v within %v", ErrNoAnswer, e.Waited)
	if e.Ignored.Refused() > 0 {
		s += " (ignored: " + e.Ignored.String() + ")"
	}
	return s
}

func (e *NoAnswerError) Unwrap() []error { return []error{ErrNoAnswer, os.ErrDeadlineExceeded} }

// KissError is a received kiss code (RFC 5905, section 7.4).
type KissError struct {
	Code          string // "RATE", "DENY", "RSTR" or another four characters, unprintable ones replaced
	Authenticated bool
}

func (e *KissError) Error() string { return "server sent kiss code " + e.Code }

// Is reports DENY and RSTR as ErrDenied.
func (e *KissError) Is(target error) bool {
	return target == ErrDenied && (e.Code == "DENY" || e.Code == "RSTR")
}
