package server

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// The limit counts a prefix, whichever worker its addresses meet: eight workers
// together allow at most 1.2 times what one does.
func TestLimitCountsAcrossWorkers(t *testing.T) {
	t.Parallel()
	base := NewLimiter(LimitConfig{Rate: 10, Burst: 16})
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		l := base.forWorker()
		wg.Go(func() {
			for ms := range int64(5000) {
				from := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(8*w + int(ms)%8)}) // 64 /64s of one /56
				if l.plain(from, 1e12+ms*1e6) {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n < 16 || n > 66*12/10 {
		t.Errorf("%d requests allowed in 5 s, want about 66", n)
	}
	if (*Limiter)(nil).forWorker() != nil {
		t.Error("no limit becomes one")
	}
}
