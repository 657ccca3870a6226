package nts

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/server/nts/aead"
)

// cookieAEAD seals cookies. An AES-SIV key is expanded once a period, while
// AES-GCM-SIV needs a key schedule for each nonce.
const cookieAEAD = aead.AESSIVCMAC256

// Defaults and limits of RingConfig.
const (
	DefaultRotate = 24 * time.Hour
	DefaultKeep   = 8 // a cookie is valid for 7 to 8 periods: at least a week
	DefaultAhead  = time.Minute
	MinRotate     = time.Minute
	MaxRotate     = 365 * 24 * time.Hour // MaxKeep of them are a time that a Duration has
	MaxKeep       = 64
	maxRoots      = 16
	secretLen     = 32
)

// RingConfig is how cookie keys change. Servers that share a root secret must have
// the same Rotate.
type RingConfig struct {
	Rotate time.Duration // length of a period, whole seconds; 0 = DefaultRotate
	Keep   int           // periods whose cookies are accepted, the current one included; 0 = DefaultKeep

	// Renew is how long a root secret seals before a new one replaces it (Ring.Renew).
	// 0 = Keep * Rotate: until the first key that was derived from it has expired.
	// NeverRenew: only NewRoot and Revoke replace it.
	Renew time.Duration
	Ahead time.Duration // how long before it begins a new root secret is in the file; 0 = DefaultAhead
}

func (c RingConfig) withDefaults() (RingConfig, error) {
	if c.Rotate == 0 {
		c.Rotate = DefaultRotate
	}
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	switch {
	case c.Rotate < MinRotate || c.Rotate > MaxRotate || c.Rotate%time.Second != 0:
		return c, fmt.Errorf("key rotation of %v is not a whole number of seconds from %v to %v", c.Rotate, MinRotate, MaxRotate)
	case c.Keep < 1 || c.Keep > MaxKeep:
		return c, fmt.Errorf("%d periods of keys to keep are not from 1 to %d", c.Keep, MaxKeep)
	}
	return c.withRenewal()
}

// root is a secret from which a key for each period is derived. Its keys seal
// cookies from since until a later root begins.
type root struct {
	secret [secretLen]byte
	since  int64 // POSIX seconds
}

// Ring has the keys that seal cookies. A key is derived from a root secret and the
// number of the period since the POSIX epoch. Servers with the same key file
// therefore have the same keys at the same time without communication, a rotation
// writes nothing, and a wrong clock destroys no keys.
//
// Whoever has a root secret can open the cookies of all its periods. Renew replaces
// it on schedule, so a stolen key file opens no cookie that is sealed more than
// RingConfig.Renew + Ahead later.
//
// All methods may be called from any goroutine. Load takes no lock.
type Ring struct {
	cfg  RingConfig
	path string // empty: in memory only
	keys atomic.Pointer[Keys]

	mu    sync.Mutex // guards roots and all changes of keys
	roots []root     // in ascending order of since, never empty
}

// Keys is an immutable set of expanded cookie keys. Its methods allocate nothing
// and may be called from several goroutines, each with its own Scratch.
type Keys struct {
	period  int64
	newest  int64   // since of the root that seals
	entries []entry // the sealing key first
}

type entry struct {
	id  uint32 // 24 bits
	key aead.Key

	period int64
	since  int64 // of its root
}

// NewRing makes a ring with a new root secret, in memory only.
func NewRing(cfg RingConfig, now time.Time) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Ring{cfg: cfg, roots: []root{newRoot(now)}}
	r.publish(now)
	return r, nil
}

func newRoot(now time.Time) root {
	n := root{since: now.Unix()}
	rand.Read(n.secret[:])
	return n
}

// Load returns the current keys. They stay usable, so load them once per batch of
// packets.
func (r *Ring) Load() *Keys { return r.keys.Load() }

// Rotate changes the keys to those of the period of now, which may also be an
// earlier one, and reports whether they changed. It is cheap if not; call it about
// once a minute, and before the first packet.
func (r *Ring) Rotate(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys.Load()
	if k.period == r.period(now) && k.newest == r.roots[sealingAt(r.roots, now)].since {
		return false
	}
	r.publish(now)
	return true
}

// NextRotation returns when the period of now ends.
func (r *Ring) NextRotation(now time.Time) time.Time {
	return time.Unix((r.period(now)+1)*int64(r.cfg.Rotate/time.Second), 0).UTC()
}

func (r *Ring) period(now time.Time) int64 {
	return floorDiv(now.Unix(), int64(r.cfg.Rotate/time.Second))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// sealingAt returns the index of the root that seals at now: the latest that has
// begun, or the first one if none has (a clock that is not set yet).
func sealingAt(roots []root, now time.Time) int {
	i := len(roots) - 1
	for i > 0 && roots[i].since > now.Unix() {
		i--
	}
	return i
}

// publish makes the keys of now. The caller holds mu or is a constructor.
func (r *Ring) publish(now time.Time) {
	p, s := r.period(now), sealingAt(r.roots, now)
	k := &Keys{period: p, newest: r.roots[s].since}
	k.add(r.roots[s], p, r.cfg.Rotate)
	for i, rt := range r.roots {
		// The periods in which this root sealed and that are still accepted. The next
		// period is accepted too: another server's clock may be slightly ahead.
		lo, hi := p-int64(r.cfg.Keep)+1, p+1
		if i > 0 {
			lo = max(lo, floorDiv(rt.since, int64(r.cfg.Rotate/time.Second)))
		}
		if i+1 < len(r.roots) {
			hi = min(hi, floorDiv(r.roots[i+1].since, int64(r.cfg.Rotate/time.Second))+1)
		}
		for q := hi; q >= lo; q-- {
			if i != s || q != p {
				k.add(rt, q, r.cfg.Rotate)
			}
		}
	}
	r.keys.Store(k)
}

// add derives the key of one period and its identifier: HKDF-SHA256 with the
// length and number of the period in the info.
func (k *Keys) add(rt root, period int64, rotate time.Duration) {
	info := binary.BigEndian.AppendUint64([]byte("noonmark cookie key 1"), uint64(rotate/time.Second))
	info = binary.BigEndian.AppendUint64(info, uint64(period))
	n := cookieAEAD.KeyLen()
	okm, err := hkdf.Key(sha256.New, rt.secret[:], nil, string(info), n+cookieKeyID)
	if err != nil {
		panic(err) // impossible: the length is within the limit of HKDF
	}
	e := entry{id: binary.BigEndian.Uint32(okm[n-1:]) & 0xffffff, period: period, since: rt.since}
	if err := e.key.Init(cookieAEAD, okm[:n]); err != nil {
		panic(err) // impossible: the length is that of the AEAD
	}
	k.entries = append(k.entries, e)
}

// KeyInfo describes one cookie key without its secret.
type KeyInfo struct {
	ID      string    // the identifier in its cookies, hexadecimal
	Begins  time.Time // of its period
	Ends    time.Time
	Root    time.Time // when its root secret began
	Sealing bool      // new cookies are sealed with it
}

// List returns the keys whose cookies are accepted, the sealing one first.
func (r *Ring) List() []KeyInfo {
	k := r.Load()
	sec := int64(r.cfg.Rotate / time.Second)
	l := make([]KeyInfo, len(k.entries))
	for i, e := range k.entries {
		l[i] = KeyInfo{
			ID:      fmt.Sprintf("%06x", e.id),
			Begins:  time.Unix(e.period*sec, 0).UTC(),
			Ends:    time.Unix((e.period+1)*sec, 0).UTC(),
			Root:    time.Unix(e.since, 0).UTC(),
			Sealing: i == 0,
		}
	}
	return l
}

// String hides the secrets from fmt.
func (r *Ring) String() string { return fmt.Sprintf("key ring of %d keys", len(r.Load().entries)) }

// Format hides the secrets from every fmt verb.
func (r *Ring) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// String hides the secrets from fmt.
func (k *Keys) String() string { return fmt.Sprintf("%d cookie keys", len(k.entries)) }

// Format hides the secrets from every fmt verb.
func (k *Keys) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }
