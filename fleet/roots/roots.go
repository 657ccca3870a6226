// Package roots plans the root secrets from which the nodes of a fleet derive their
// cookie keys. It knows fingerprints and times, never a secret. It is pure: it reads
// no clock, starts no goroutine and logs nothing.
//
// The safety of the schedule rests on one promise of each Plan: no root that is not
// in it begins before Plan.Until, unless roots are revoked. A node that knows a plan
// therefore knows until when it may serve (Plan.Ready), whatever it hears later.
package roots

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// SecretLen is the length of a root secret, octets.
const SecretLen = 32

// MaxFile is how many roots the key file of ntsserve can have (nts.OpenRing).
const MaxFile = 16

// ID is the fingerprint of a root secret, which names it.
type ID [16]byte

// Fingerprint returns the ID of a secret: the first half of SHA-256 over a label and
// the secret. A secret has 256 random bits, so that nobody finds it from its ID.
func Fingerprint(secret *[SecretLen]byte) (id ID) {
	h := sha256.New()
	h.Write([]byte("noonmark fleet root 1"))
	h.Write(secret[:])
	copy(id[:], h.Sum(nil))
	return id
}

// String returns the ID in hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the ID in hexadecimal digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an ID from 32 hexadecimal digits.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != 2*len(id) {
		return fmt.Errorf("fingerprint of %d characters, want %d hexadecimal digits", len(b), 2*len(id))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// ErrParams is wrapped by errors about parameters.
var ErrParams = errors.New("parameters of the fleet are not possible")

// Params are the durations of a fleet. They are part of the plan, so that all nodes
// use the same. All are whole seconds.
type Params struct {
	Rotate  time.Duration `json:"rotate"`  // period of a cookie key, as in ntsserve's keys.rotate
	Keep    int           `json:"keep"`    // periods whose cookies are accepted, as in keys.keep
	Renew   time.Duration `json:"renew"`   // how long a root seals
	Horizon time.Duration `json:"horizon"` // how far ahead the schedule reaches: a node that is cut off serves so long

	// Lead is the least time between the publication of a since and its beginning.
	// Half of it covers the difference of clocks, the 10 s in which ntsserve finds a
	// changed key file, and the time in which clients leave a node that does not
	// serve any more.
	Lead      time.Duration `json:"lead"`
	Ack       time.Duration `json:"ack"`       // how long a live node may take to acknowledge a pending root
	Tolerance time.Duration `json:"tolerance"` // largest difference between two clocks that agree
}

// Defaults returns the parameters of a fleet with daily keys that are kept for a week.
func Defaults() Params {
	return Params{
		Rotate: 24 * time.Hour, Keep: 8, Renew: 8 * 24 * time.Hour, Horizon: 30 * 24 * time.Hour,
		Lead: time.Hour, Ack: time.Hour, Tolerance: 5 * time.Minute,
	}
}

// minLead is half spent on the 10 s of ntsserve's look at its file.
const minLead = 30 * time.Second

// Check refuses durations with which the promises do not hold, or a schedule that
// has no room in the key file.
func (p Params) Check() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"rotate", p.Rotate}, {"renew", p.Renew}, {"horizon", p.Horizon}, {"lead", p.Lead}, {"ack", p.Ack}, {"tolerance", p.Tolerance}} {
		if d.value <= 0 || d.value%time.Second != 0 {
			return fmt.Errorf("%w: %s of %v is not a positive number of whole seconds", ErrParams, d.name, d.value)
		}
	}
	switch {
	case p.Rotate < time.Minute:
		return fmt.Errorf("%w: rotate of %v is below the minute that ntsserve accepts", ErrParams, p.Rotate)
	case p.Keep < 1 || p.Keep > 64:
		return fmt.Errorf("%w: keep of %d is not from 1 to 64", ErrParams, p.Keep)
	case p.Lead < minLead:
		return fmt.Errorf("%w: lead of %v is below %v, half of which covers the 10 s until ntsserve loads a key file", ErrParams, p.Lead, minLead)
	case p.Lead < 4*p.Tolerance:
		return fmt.Errorf("%w: lead of %v is below four times the tolerance of %v", ErrParams, p.Lead, p.Tolerance)
	case p.Horizon < p.Renew || p.Renew < p.Lead:
		return fmt.Errorf("%w: want lead <= renew <= horizon, not %v, %v, %v", ErrParams, p.Lead, p.Renew, p.Horizon)
	}
	if n := p.fileRoots(); n > MaxFile {
		return fmt.Errorf("%w: up to %d roots at a time, and ntsserve takes %d; want a longer renew, or a shorter horizon or life (rotate * keep)", ErrParams, n, MaxFile)
	}
	return nil
}

// fileRoots is how many roots with a since there are at most: those that are still
// ahead, the one that seals, those whose cookies live, and one for rounding each.
func (p Params) fileRoots() int {
	return p.aheadRoots() + int((p.life()+p.Lead)/p.Renew) + 1 + 2
}

// reach is how far ahead roots are drawn: while they wait for acknowledgement, the
// plan still reaches to the horizon.
func (p Params) reach() time.Duration { return p.Horizon + p.Ack + p.Lead }

// life is how long after its end the cookies of a root may still be accepted.
func (p Params) life() time.Duration { return time.Duration(p.Keep+1) * p.Rotate }
