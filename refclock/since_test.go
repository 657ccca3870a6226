package refclock_test

import (
	"testing"
	"time"

	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// The report says since when the state lasts, from its first snapshot on: never since
// an earlier state.
func TestReportSaysSinceWhenTheStateLasts(t *testing.T) {
	r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
		s.Config.Pulse.Faults = []sim.Fault{{Kind: sim.NoPulse, At: time.Minute, For: 20 * time.Second}}
	})
	seen := map[status.State]bool{}
	is, began := status.State(255), r.Mono()
	for i := range time.Duration(1200) { // two minutes
		r.Run(i * 100 * time.Millisecond)
		rep := r.Engine.Report()
		s := &rep.Snapshot
		if s.State != is {
			is, began = s.State, r.Mono()
		}
		seen[is] = true
		if late := rep.Since - began; late > int64(time.Second) || late < -int64(200*time.Millisecond) {
			t.Fatalf("%v: %v since %d, and it began at %d", r.Since(), is, rep.Since, began)
		}
	}
	if !seen[status.Locked] || !seen[status.Holdover] || is != status.Locked {
		t.Errorf("states %v, at last %v", seen, is)
	}
}
