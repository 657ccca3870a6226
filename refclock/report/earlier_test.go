package report

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// Only what an earlier run published in this boot, while it was locked or
// afterwards, shows that the system clock is ours.
func TestLockOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	if e := ReadEarlier(path); e.Locked() {
		t.Error("locked, and nothing was ever published")
	}
	for _, ref := range []tai.Time{0, tai.Second} {
		w, err := status.Create(path)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("needs Linux: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Write(&status.Snapshot{State: status.Unlocked, RefTime: ref})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if e := ReadEarlier(path); e.Locked() != (ref != 0) {
			t.Errorf("reference time %d: locked %v", ref, e.Locked())
		}
	}
}

// The line that a run had from one before it reaches the next one through the details.
func TestLineOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	line := discipline.Inherited{Mono: 5, Clock: 1_790_000_000 * tai.Second, RatePPB: 2.5, Bound: 500, BoundRate: 50, RefTime: tai.Second, Drifted: true, Pulses: 7}
	for _, want := range []discipline.Inherited{{}, line} {
		r := Report{}
		r.Discipline.Inherited, r.Discipline.Drifted = want, true
		b, err := json.Marshal(NewDetails(&r, 1, 2))
		var d Details
		if err != nil || json.Unmarshal(b, &d) != nil {
			t.Fatal(err, string(b))
		}
		got := discipline.Inherited{}
		if d.Lock.Earlier != nil {
			got = *d.Lock.Earlier
		}
		if got != want || !d.Lock.Drifted {
			t.Errorf("%+v, want %+v", d.Lock, want)
		}
	}
}
