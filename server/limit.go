package server

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

// LimitConfig says how often the addresses of a prefix may ask.
type LimitConfig struct {
	Rate      float64 // requests per second and prefix in the long run; 0 = no limit
	Burst     int     // requests at once after a pause; at least 1
	Prefix4   int     // bits of an IPv4 address that count; 0 = 32
	Prefix6   int     // bits of an IPv6 address that count; 0 = 56
	KissRate  float64 // kiss codes per second and worker to those over the limit
	TableBits int     // binary logarithm of the table's entries; 0 = 14
}

// Limiter limits the rate of requests per prefix. It belongs to one worker, to
// whom a given address always comes (hwts steers by address). Its memory is
// fixed, whatever strangers send: a set-associative table of the instants at
// which prefixes will have paid for what they sent (the virtual scheduling of
// ATM's generic cell rate algorithm). A prefix that is pushed out of the table
// begins with a full burst again; those who owe most are kept.
//
// Plain and NTS requests are counted apart, so that forged plain requests in
// the name of an address cannot take its NTS service away. The hash is keyed:
// nobody can choose addresses that meet in one set.
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

// Allow counts a request at mono (CLOCK_MONOTONIC_RAW, ns) and reports whether
// it is within the limit.
func (l *Limiter) Allow(ip netip.Addr, isNTS bool, mono int64) bool {
	var b [18]byte
	a := ip.As16()
	bits := l.mask6
	if ip.Is4() {
		bits = 96 + l.mask4
		b[16] = 1
	}
	if isNTS {
		b[17] = 1
	}
	hi, lo := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
	if bits < 64 {
		hi, lo = hi&^(1<<(64-bits)-1), 0
	} else if bits < 128 {
		lo &^= 1<<(128-bits) - 1
	}
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
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

// Kiss reports whether one who is over the limit shall be told so: at a bounded
// rate over all of them, so that kisses cannot become a flood themselves.
func (l *Limiter) Kiss(mono int64) bool {
	if l.kiss.cost == 0 || l.kiss.paid > mono {
		return false
	}
	l.kiss.paid = mono + l.kiss.cost
	return true
}
