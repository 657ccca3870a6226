package discipline

import (
	"math"
	"testing"
	"time"

	"noonmark/refclock/status"
)

// Labels with a fraction tell the second by when they come: less than a second
// after the instant that they name.
func TestFractionalLabels(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	grid := func(hz int, late time.Duration) func(int) []labelSpec {
		return func(int) (l []labelSpec) {
			for i := range hz {
				at := time.Second / time.Duration(hz) * time.Duration(i)
				l = append(l, labelSpec{after: at + late, within: at, source: "RMC"}, labelSpec{after: at + late + 10*ms, within: at, source: "GGA"})
			}
			return l
		}
	}
	one := func(within, late time.Duration) func(int) []labelSpec {
		return func(int) []labelSpec { return []labelSpec{{after: within + late, within: within, source: "RMC"}} }
	}
	for _, c := range []struct {
		name   string
		labels func(k int) []labelSpec
		locked bool
		count  Reason // must be counted; None: no matter
	}{
		{"a fraction and a latency that run apart", func(k int) []labelSpec {
			return []labelSpec{{after: 500 * ms, within: time.Duration(k*370%1000) * ms, source: "RMC"}}
		}, false, LabelNotWhole},
		{"at .30, after 0.1 s", one(300*ms, 100*ms), true, None},
		{"at .30, past the next pulse", one(300*ms, 800*ms), true, None},
		{"at .99, after 0.4 s", one(990*ms, 400*ms), true, None},
		{"at .99, after 20 ms", one(990*ms, 20*ms), true, None},
		{"at .001", one(ms, 200*ms), true, None},
		{"10 Hz", grid(10, 40*ms), true, None},
		{"10 Hz, late", grid(10, 470*ms), true, None},
		{"5 Hz, past the next pulse", grid(5, 900*ms), true, None},
		{"10 Hz, one in three lost", func(k int) (l []labelSpec) {
			for i, x := range grid(10, 40*ms)(k) {
				if (i+k)%3 != 0 {
					l = append(l, x)
				}
			}
			return l
		}, true, None},
		{"a fraction that drifts", func(k int) []labelSpec { return one(time.Duration(k)*3*ms%time.Second, 100*ms)(k) }, true, None},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				w := newWorld(t, Config{}, seed+1)
				w.labels = c.labels
				w.run(0, 200)
				s := w.c.Status()
				if (s.State == status.Locked) != c.locked || c.locked && math.Abs(w.truthNS()) > 1e6 {
					t.Errorf("seed %d: %v (%s), off by %v ns", seed+1, s.State, s.Text(), w.truthNS())
				}
				if c.count != None && s.Counts[c.count] == 0 {
					t.Errorf("seed %d: %v was not counted", seed+1, c.count)
				}
			}
		})
	}
}
