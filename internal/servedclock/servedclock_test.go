package servedclock

import (
	"path/filepath"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestSystemClockIsTrustedIfTheServedClockAgrees(t *testing.T) {
	t.Parallel()
	const mono = 1e12
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	good := status.Snapshot{
		State: status.Locked, Kind: status.SystemClock, Stratum: 1, Mono: mono, Clock: tai.FromUnix(now.Unix(), 0, 37),
		Bound: time.Microsecond, Limit: time.Second, TAIOffset: 37, RefTime: tai.FromUnix(now.Unix(), 0, 37),
	}
	unlocked := good
	unlocked.State = status.Unlocked
	for _, c := range []struct {
		name string
		s    status.Snapshot
		now  time.Time
		ok   bool
	}{
		{"not synchronised", unlocked, now, false},
		{"system clock a day ahead", good, now.Add(24 * time.Hour), false},
		{"system clock ten years back", good, now.AddDate(-10, 0, 0), false},
		{"in agreement", good, now.Add(time.Second), true},
	} {
		if err := confirm(&c.s, mono, c.now); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := Confirm(filepath.Join(t.TempDir(), "status")); err == nil {
		t.Error("trusted without a snapshot")
	}
}
