package daemon

import (
	"math"
	"runtime/debug"
	"testing"
)

// The environment takes precedence over what a program asks for.
func TestLimitHeap(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	heap := func() (int, int64) {
		p := debug.SetGCPercent(100)
		return p, debug.SetMemoryLimit(math.MaxInt64)
	}
	for _, c := range []struct {
		gogc, memlimit string
		limit          int64
		wantPercent    int
		wantLimit      int64
	}{
		{"", "", 64 << 20, 50, 64 << 20},
		{"", "", 0, 50, math.MaxInt64},
		{"200", "", 64 << 20, 100, 64 << 20},
		{"", "1GiB", 64 << 20, 50, math.MaxInt64},
	} {
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMEMLIMIT", c.memlimit)
		LimitHeap(50, c.limit)
		if p, l := heap(); p != c.wantPercent || l != c.wantLimit {
			t.Errorf("GOGC=%s GOMEMLIMIT=%s, limit %d: %d %%, %d octets", c.gogc, c.memlimit, c.limit, p, l)
		}
	}
}
