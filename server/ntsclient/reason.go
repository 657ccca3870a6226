package ntsclient

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Reason says why a packet was not taken for the answer to the request in
// flight. Such a packet is dropped and the wait goes on: anybody can send one.
type Reason uint8

// The reasons, in the order in which a packet is judged.
const (
	Accepted            Reason = iota
	Short                      // shorter than an NTP header
	BadVersion                 // another version than the request's
	BadMode                    // not mode 4, server
	BogusOrigin                // answers no request in flight (RFC 5905, section 8, TEST2)
	BadField                   // extension fields that don't add up (RFC 7822)
	NoUniqueID                 // no unique identifier before the authenticator
	WrongUniqueID              // the unique identifier of another request
	NoAuthenticator            // an unauthenticated answer to an authenticated request
	BadAuthenticator           // the authenticator does not verify under the session's key
	UnauthenticatedKiss        // a kiss code other than NTSN that nobody vouches for
	NAK                        // NTS NAK: kept in mind, but a valid answer may still come (RFC 8915, section 5.7)
	numReasons
)

var reasonNames = [...]string{"accepted", "short", "bad_version", "bad_mode", "bogus_origin", "bad_field", "no_unique_id",
	"wrong_unique_id", "no_authenticator", "bad_authenticator", "unauthenticated_kiss", "nts_nak"}

// String returns the reason's word in logs, JSON and metrics.
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
	// ErrNoAnswer: nothing acceptable came within the timeout. The error also
	// is os.ErrDeadlineExceeded.
	ErrNoAnswer = errors.New("no valid answer")
	// ErrNAK: the server does not know the cookie or the keys (RFC 8915, section
	// 5.7), and no valid answer followed. The next Query exchanges keys anew.
	ErrNAK = errors.New("server answered NTS NAK")
	// ErrUnsynchronised: the answer is genuine but the server says, or shows, that
	// it does not know the time. The Reading is returned beside it.
	ErrUnsynchronised = errors.New("server is not synchronised")
	// ErrInsane: the answer is genuine but its timestamps contradict each other.
	// The Reading is returned beside it.
	ErrInsane = errors.New("timestamps contradict each other")
	// ErrStepped: the local clock was stepped between request and answer.
	ErrStepped = errors.New("local clock was stepped during the exchange")
	// ErrDenied: the server said DENY or RSTR; this client will not ask it again.
	ErrDenied = errors.New("server denies service")
	// ErrHoldOff: too early to ask again, after a RATE kiss or a key exchange
	// that did not succeed.
	ErrHoldOff = errors.New("too early to ask again")
	// ErrKeyExchange: no keys could be had from the NTS-KE server.
	ErrKeyExchange = errors.New("NTS key exchange")
)

// NoAnswerError is ErrNoAnswer with what came instead.
type NoAnswerError struct {
	Waited  time.Duration
	Ignored Counters // packets that came within this Query and were not the answer
}

func (e *NoAnswerError) Error() string {
	s := fmt.Sprintf("%v within %v", ErrNoAnswer, e.Waited)
	if e.Ignored.Refused() > 0 {
		s += " (ignored: " + e.Ignored.String() + ")"
	}
	return s
}

func (e *NoAnswerError) Unwrap() []error { return []error{ErrNoAnswer, os.ErrDeadlineExceeded} }

// KissError is a kiss code (RFC 5905, section 7.4) that the client obeys.
type KissError struct {
	Code          string // "RATE", "DENY", "RSTR" or another four characters, unprintable ones replaced
	Authenticated bool
}

func (e *KissError) Error() string { return "server sent kiss code " + e.Code }

// Is reports DENY and RSTR as ErrDenied.
func (e *KissError) Is(target error) bool {
	return target == ErrDenied && (e.Code == "DENY" || e.Code == "RSTR")
}
