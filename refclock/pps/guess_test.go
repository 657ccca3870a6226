package pps

import (
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Without a width, the consumer's grid identifies the edge at any duty. Without a
// grid the shorter part does, and the edge is marked as a guess. A grid that is right to
// 50 ms identifies no edges that are nearer to each other.
func TestEdgeIsMarkedAsAGuess(t *testing.T) {
	for _, c := range []struct {
		active, width time.Duration
		grid          bool
		late          time.Duration // of the edge delivered
		other         time.Duration
	}{
		{active: 900 * time.Millisecond, late: 900 * time.Millisecond, other: 100 * time.Millisecond}, // a wrong guess
		{active: 100 * time.Millisecond, other: 100 * time.Millisecond},
		{active: 15 * time.Millisecond, grid: true, other: 15 * time.Millisecond}, // the grid is nearer to the other edge
		{active: 985 * time.Millisecond, grid: true, late: 985 * time.Millisecond, other: 15 * time.Millisecond},
		{active: 900 * time.Millisecond, grid: true},
		{active: 100 * time.Millisecond, grid: true},
		{active: 500 * time.Millisecond, grid: true},
		{active: 900 * time.Millisecond, width: 900 * time.Millisecond},
		{active: 100 * time.Millisecond, width: 100 * time.Millisecond},
	} {
		x := Filter{edges: edgeFilter{width: int64(c.width)}}
		if c.grid {
			x.edges.grid = func() (phase, within time.Duration, ok bool) {
				return 30 * time.Millisecond, 50 * time.Millisecond, true
			} // roughly right
		}
		n := 0
		for k := range 10 {
			for _, at := range []int64{int64(k) * second, int64(k)*second + int64(c.active)} {
				e, ok := x.push(phc.ExtTSEvent{Clock: 1e18 + tai.Time(at), Mono: at})
				if !ok {
					continue
				}
				n++
				if late := mod(e.Stamp); late != int64(c.late) || e.Other != c.other {
					t.Fatalf("%+v: an edge %v after the second, the other %v after it", c, time.Duration(late), e.Other)
				}
			}
		}
		if n < 7 {
			t.Errorf("%+v: %d edges of 10", c, n)
		}
	}
}
