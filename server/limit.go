package server

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"noonmark/server/nts"
)

// LimitConfig is how often the addresses of a prefix, or the holder of one set of
// NTS keys, may ask.
type LimitConfig struct {
	Rate      float64 // requests per second on average; 0 = no limit
	Burst     int     // requests at once after a pause; at least 1
	Prefix4   int     // length of an IPv4 prefix, bits; 0 = 32
	Prefix6   int     // length of an IPv6 prefix, bits; 0 = 56
	KissRate  float64 // kiss codes per second, of all workers and endpoints together; 0 = none
	TableBits int     // binary logarithm of the table's entries; 0 = 14
}

// Limiter limits the rate of requests. All workers of a server share one, because the
// addresses of one prefix, and the requests of one session, meet several workers and
// endpoints. It has no lock: the words of its table are atomic. Where two workers
// enter a client at the same instant, it may get a request more. Its memory is fixed, whatever strangers send: a set-associative table of the
// instants at which each client's earlier requests are used up (the virtual
// scheduling of ATM's generic cell rate algorithm). A client that is evicted
// starts with a full burst again; the entries with the latest instants stay. The
// hash is keyed, so that nobody can choose addresses of one set.
//
// Addresses can be forged. Requests without authentication are therefore counted
// by the prefix of their source, and plain ones separately from those whose
// authentication failed. Authenticated requests are counted by their session,
// that is by their keys, and by nothing else. A forged packet with a client's
// address thus takes nothing from that client's NTS service, and the holder of
// keys gains nothing by forging addresses. For that, a request is authenticated
// before it is limited: a failing one costs 0.4 us, less than its reception in
// the kernel.
//
// Kiss codes follow the same rule. A session over its limit gets an
// authenticated one. A plain client gets one only after a whole burst of requests
// from the same port was refused, because whoever forges the address has to guess
// the port (RFC 9109). A request whose authentication failed gets none.
type Limiter struct {
	cost  int64 // of a request, ns
	depth int64 // how far an entry may be in the future, ns
	mask4 int   // prefix lengths, bits
	mask6 int
	seed  maphash.Seed
	sets  []limitSet
	kiss  int64 // interval of kiss codes, ns; 0 = none

	// What is above is only read. Each kiss code writes to nextKiss, on a cache line
	// that no request within its limit reads.
	_        [64]byte
	nextKiss atomic.Int64 // when a kiss code may be sent again, CLOCK_MONOTONIC_RAW, ns
	_        [64]byte
}

// limitSet fills one cache line.
type limitSet struct {
	key    [4]atomic.Uint64 // 0 = free
	usedUp [4]atomic.Int64  // CLOCK_MONOTONIC_RAW, ns
}

// Classes of requests, each counted by itself.
const (
	plainRequest  = iota // by prefix: without NTS
	failedRequest        // by prefix: NTS whose authentication failed
	keyedRequest         // by prefix: with a valid MAC
	session              // by keys
	refusedPort          // by address and port: plain requests over the limit
	family4       = 0x80 // flag of IPv4 addresses
)

// NewLimiter returns a limiter, nil if cfg has no rate.
func NewLimiter(cfg LimitConfig) *Limiter {
	if cfg.Rate <= 0 {
		return nil
	}
	or := func(v, d int) int {
		if v == 0 {
			return d
		}
		return v
	}
	l := &Limiter{
		cost:  max(1, int64(float64(time.Second)/cfg.Rate)),
		mask4: or(cfg.Prefix4, 32), mask6: or(cfg.Prefix6, 56),
		seed: maphash.MakeSeed(),
		sets: make([]limitSet, 1<<max(0, or(cfg.TableBits, 14)-2)),
	}
	l.depth = int64(max(1, cfg.Burst)) * l.cost
	if cfg.KissRate > 0 {
		l.kiss = max(1, int64(float64(time.Second)/cfg.KissRate))
	}
	return l
}

// plain counts a plain request at mono (CLOCK_MONOTONIC_RAW, ns) and reports
// whether it is within the limit. A nil Limiter allows everything.
func (l *Limiter) plain(from netip.Addr, mono int64) bool {
	return l == nil || l.prefix(from, plainRequest, mono)
}

// failed counts a request whose authentication failed.
func (l *Limiter) failed(from netip.Addr, mono int64) bool {
	return l == nil || l.prefix(from, failedRequest, mono)
}

// keyed counts a request with a valid MAC. Many clients may share a key, so it
// does not count by key.
func (l *Limiter) keyed(from netip.Addr, mono int64) bool {
	return l == nil || l.prefix(from, keyedRequest, mono)
}

// session counts an authenticated request.
func (l *Limiter) session(s *nts.SessionKeys, mono int64) bool {
	if l == nil {
		return true
	}
	// 128 bits of the session's own key; the table contains only a keyed hash.
	return l.take(binary.BigEndian.Uint64(s.C2S[:]), binary.BigEndian.Uint64(s.C2S[8:]), session, 0, mono)
}

// kissPlain reports whether a plain request over the limit gets a kiss code.
func (l *Limiter) kissPlain(from netip.AddrPort, mono int64) bool {
	hi, lo, family := words(from.Addr())
	return !l.take(hi, lo, refusedPort|family, from.Port(), mono) && l.kissNow(mono)
}

// kissNow reports whether a kiss code may be sent: the total rate is limited, so
// that they cannot become a flood. Of workers that ask at the same instant, one gets
// it.
func (l *Limiter) kissNow(mono int64) bool {
	if l.kiss == 0 {
		return false
	}
	next := l.nextKiss.Load()
	return next <= mono && l.nextKiss.CompareAndSwap(next, mono+l.kiss)
}

// prefix counts a request of a class by the prefix of its address.
func (l *Limiter) prefix(from netip.Addr, class byte, mono int64) bool {
	hi, lo, family := words(from)
	bits := l.mask6
	if family != 0 {
		bits = 96 + l.mask4
	}
	if bits < 64 {
		hi, lo = hi&^(1<<(64-bits)-1), 0
	} else if bits < 128 {
		lo &^= 1<<(128-bits) - 1
	}
	return l.take(hi, lo, class|family, 0, mono)
}

// words splits an address into two numbers and the flag of its family.
func words(ip netip.Addr) (hi, lo uint64, family byte) {
	a := ip.As16()
	if ip.Is4() {
		family = family4
	}
	return binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), family
}

// take counts one request and reports whether it is within the limit. One that is
// not is not counted.
func (l *Limiter) take(hi, lo uint64, class byte, port uint16, mono int64) bool {
	var b [19]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	b[16], b[17], b[18] = class, byte(port>>8), byte(port)
	h := maphash.Bytes(l.seed, b[:])
	s := &l.sets[h>>32&uint64(len(l.sets)-1)]
	h |= 1 // 0 means free; other bits chose the set
	at := s.find(h, mono)
	for {
		old := s.usedUp[at].Load()
		usedUp := max(old, mono) + l.cost
		if usedUp-mono > l.depth {
			return false
		}
		if s.usedUp[at].CompareAndSwap(old, usedUp) {
			return true
		}
	}
}

// find returns the entry of a key. If there is none, it replaces a free one, or the
// one that has been used up for longest.
func (s *limitSet) find(h uint64, mono int64) int {
	for {
		for i := range s.key {
			if s.key[i].Load() == h {
				return i
			}
		}
		at := 0
		for i := range s.usedUp {
			if s.key[i].Load() == 0 {
				at = i
				break
			}
			if s.usedUp[i].Load() < s.usedUp[at].Load() {
				at = i
			}
		}
		if old := s.key[at].Load(); old != h && s.key[at].CompareAndSwap(old, h) {
			s.usedUp[at].Store(mono)
			return at
		}
	}
}
