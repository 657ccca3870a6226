package server

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"

	"noonmark/server/nts"
)

// LimitConfig says how often the addresses of a prefix, and the holder of one
// set of NTS keys, may ask.
type LimitConfig struct {
	Rate      float64 // requests per second in the long run; 0 = no limit
	Burst     int     // requests at once after a pause; at least 1
	Prefix4   int     // bits of an IPv4 address that count; 0 = 32
	Prefix6   int     // bits of an IPv6 address that count; 0 = 56
	KissRate  float64 // kiss codes per second and worker to those over the limit
	TableBits int     // binary logarithm of the table's entries; 0 = 14
}

// Limiter limits the rate of requests. It belongs to one worker, to whom a given
// address always comes (the sockets distribute by address). Its memory is fixed, whatever
// strangers send: a set-associative table of the instants at which those who
// asked will have paid for it (the virtual scheduling of ATM's generic cell rate
// algorithm). One who is pushed out of the table begins with a full burst again;
// those who owe most are kept. The hash is keyed: nobody can choose addresses
// that meet in one set.
//
// Addresses can be forged. What nothing vouches for is therefore counted by the
// prefix of its source, plain requests apart from those that failed to
// authenticate, and what was authenticated is counted by its session, that is by
// its keys, and by nothing else: no packet in the name of a client's address
// takes anything from its NTS service, and whoever has keys gains nothing by
// forging addresses. The price is that a request is authenticated before it is
// limited: four tenths of a microsecond for one that fails, less than
// the kernel needs to receive it.
//
// Kiss codes follow the same thought. A session over its limit is told so,
// authenticated. A plain client is told only where the very port that it asks
// from has been refused a whole burst, since who forges a client's address has
// to guess its port (RFC 9109). Who failed to authenticate is told nothing.
type Limiter struct {
	cost  int64 // ns a request costs
	depth int64 // ns of debt allowed
	mask4 int
	mask6 int
	seed  maphash.Seed
	sets  []limitSet
	kiss  struct{ cost, paid int64 }
}

// limitSet fills one cache line.
type limitSet struct {
	key  [4]uint64 // 0 = free
	paid [4]int64  // CLOCK_MONOTONIC_RAW, ns
}

// What is counted.
const (
	plainRequest  = iota // by prefix
	failedRequest        // by prefix: NTS that did not authenticate
	session              // by keys
	refusedPort          // by address and port: plain requests over the limit
	family4       = 0x80 // of an address
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
		l.kiss.cost = max(1, int64(float64(time.Second)/cfg.KissRate))
	}
	return l
}

// plain counts a plain request at mono (CLOCK_MONOTONIC_RAW, ns) and reports
// whether it is within the limit. A nil Limiter allows everything.
func (l *Limiter) plain(from netip.Addr, mono int64) bool {
	return l == nil || l.prefix(from, plainRequest, mono)
}

// failed counts one that did not authenticate.
func (l *Limiter) failed(from netip.Addr, mono int64) bool {
	return l == nil || l.prefix(from, failedRequest, mono)
}

// session counts one that did.
func (l *Limiter) session(s *nts.SessionKeys, mono int64) bool {
	if l == nil {
		return true
	}
	// 128 bits of a key derived for this session alone; only a keyed hash of them
	// is kept.
	return l.take(binary.BigEndian.Uint64(s.C2S[:]), binary.BigEndian.Uint64(s.C2S[8:]), session, 0, mono)
}

// kissPlain reports whether the sender of a plain request over the limit shall
// be told so.
func (l *Limiter) kissPlain(from netip.AddrPort, mono int64) bool {
	hi, lo, family := words(from.Addr())
	return !l.take(hi, lo, refusedPort|family, from.Port(), mono) && l.kissNow(mono)
}

// kissNow reports whether a kiss is due: they go out at a bounded rate over all,
// so that they cannot become a flood themselves.
func (l *Limiter) kissNow(mono int64) bool {
	if l.kiss.cost == 0 || l.kiss.paid > mono {
		return false
	}
	l.kiss.paid = mono + l.kiss.cost
	return true
}

// prefix counts something by the prefix of an address.
func (l *Limiter) prefix(from netip.Addr, what byte, mono int64) bool {
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
	return l.take(hi, lo, what|family, 0, mono)
}

// words splits an address.
func words(ip netip.Addr) (hi, lo uint64, family byte) {
	a := ip.As16()
	if ip.Is4() {
		family = family4
	}
	return binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), family
}

// take counts one and reports whether it is within the limit; one that is not
// costs nothing.
func (l *Limiter) take(hi, lo uint64, what byte, port uint16, mono int64) bool {
	var b [19]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	b[16], b[17], b[18] = what, byte(port>>8), byte(port)
	h := maphash.Bytes(l.seed, b[:])
	s := &l.sets[h>>32&uint64(len(l.sets)-1)]
	h |= 1 // 0 is "free"; the set was chosen by other bits
	at := -1
	for i, k := range s.key {
		if k == h {
			at = i
			break
		}
	}
	if at < 0 {
		at = 0
		for i := range s.paid {
			if s.key[i] == 0 {
				at = i
				break
			}
			if s.paid[i] < s.paid[at] {
				at = i
			}
		}
		s.key[at], s.paid[at] = h, mono
	}
	paid := max(s.paid[at], mono) + l.cost
	if paid-mono > l.depth {
		return false
	}
	s.paid[at] = paid
	return true
}
