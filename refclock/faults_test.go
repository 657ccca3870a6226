package refclock_test

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// faultSeeds are 1 to the number in NOONMARK_FAULT_SEEDS; fewer where nobody
// asks for more.
func faultSeeds(t *testing.T) (seeds []uint64) {
	n := 1
	if s := os.Getenv("NOONMARK_FAULT_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("NOONMARK_FAULT_SEEDS: %v", err)
		}
	}
	for i := range n {
		seeds = append(seeds, uint64(i+1))
	}
	return seeds
}

// TestFaults: faults of receivers and pulses, one a row. State and reason are as
// named. While the clock is served as synchronised, the second is right, and the
// error is within the row's limit and within the published bound.
func TestFaults(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	for _, seed := range faultSeeds(t) {
		for _, c := range faultRows() {
			t.Run(fmt.Sprintf("seed %d/%s", seed, c.name), func(t *testing.T) {
				t.Parallel()
				c.run(t, seed)
			})
		}
	}
}

func (c *faultRow) run(t *testing.T, seed uint64) {
	build := c.build
	if build == "" {
		build = "timehat-f9t"
	}
	r := seededRig(t, build, seed, c.edit)
	utc := r.scenario.Config.Receiver.Table
	if utc == nil || r.scenario.Engine.Settings.Table == unannounced {
		utc = tai.Builtin() // a leap second that nobody announced is known when it is over
	}
	bound, worst, first := r.Before, 0.0, time.Duration(0)
	r.Before = func(mono int64) {
		if r.Before == nil || !r.Snap.Usable(mono) {
			return
		}
		if first == 0 {
			first = r.Since()
		}
		now := r.Snap.ClockAt(mono)
		served := math.Abs(float64(now.Sub(r.App.Clock.True(mono))))
		worst = max(worst, math.Abs(r.App.Clock.Error(mono)), served-float64(r.scenario.Config.Clock.Width)/2)
		if served > 0.4e9 || r.Snap.OffsetAt(now) != utc.Offset(now) {
			t.Errorf("at %v: usable, off by %.0f ns, TAI-UTC %d, want %d (%v, %s)", r.Since(), served, r.Snap.TAIOffset, utc.Offset(now), r.Snap.State, r.Snap.Reason)
			r.Before = nil
			return
		}
		bound(mono)
	}
	for _, k := range c.looks {
		is := func() bool { return r.Snap.State == k.state && r.Snap.Reason == k.reason }
		r.Run(k.at)
		for k.state == status.Locked && !is() && r.Since() < k.at+again {
			r.Run(r.Since() + time.Second)
		}
		if !is() {
			t.Errorf("at %v: %v (%s), want %v (%s)", r.Since(), r.Snap.State, r.Snap.Reason, k.state, k.reason)
		}
	}
	t.Logf("usable after %v, worst %.0f ns", first.Round(time.Millisecond), worst)
	if worst > c.limit || first > c.first || first == 0 && c.first != 0 {
		t.Errorf("usable after %v (limit %v), worst %.0f ns (limit %.0f)", first, c.first, worst, c.limit)
	}
	if t.Failed() && testing.Verbose() {
		t.Logf("%s", &r.log)
	}
}
