package ntske

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// bucket is a token bucket. A nil bucket does not limit.
type bucket struct {
	rate, size float64 // tokens per second; largest number of tokens
	state      bucketState
}

type bucketState struct {
	tokens float64
	last   time.Time // zero: never used, and full
}

func newBucket(rate float64) *bucket {
	if rate == 0 {
		return nil
	}
	return &bucket{rate: rate, size: max(1, burstSeconds*rate)}
}

// take removes a token and reports whether there was one.
func (b *bucket) take(now time.Time) bool { return b == nil || b.state.take(b.rate, b.size, now) }

// wait returns how long it takes until there is a token.
func (b *bucket) wait(now time.Time) time.Duration {
	if b == nil || b.state.last.IsZero() {
		return 0
	}
	b.state.fill(b.rate, b.size, now)
	if b.state.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - b.state.tokens) / b.rate * float64(time.Second))
}

func (s *bucketState) fill(rate, size float64, now time.Time) {
	if s.last.IsZero() {
		s.tokens = size
	} else if d := now.Sub(s.last); d > 0 {
		s.tokens = min(size, s.tokens+rate*d.Seconds())
	}
	s.last = now
}

func (s *bucketState) take(rate, size float64, now time.Time) bool {
	s.fill(rate, size, now)
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// bucketTable has buckets for prefixes, in fixed memory: prefixes with the same
// keyed hash share one. A nil table does not limit.
type bucketTable struct {
	rate, size float64
	seed       maphash.Seed
	state      [bucketCount]bucketState
}

// bucketCount is the number of buckets; they take 128 kB.
const bucketCount = 4096

func newBucketTable(rate float64) *bucketTable {
	if rate == 0 {
		return nil
	}
	return &bucketTable{rate: rate, size: max(1, burstSeconds*rate), seed: maphash.MakeSeed()}
}

func (t *bucketTable) take(p netip.Prefix, now time.Time) bool {
	if t == nil {
		return true
	}
	return t.state[maphash.Comparable(t.seed, p)%bucketCount].take(t.rate, t.size, now)
}
