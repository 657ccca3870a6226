package main

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/report"
)

// The daemon itself, until it is locked and then asked to end: what it kept.
func TestTheDaemonKeepsItsHistory(t *testing.T) {
	t.Parallel()
	dir := proctest.ShortDir(t)
	d := startDaemon(t, virtual(dir))
	first := uint64(0)
	proctest.Until(t, "it has been locked for two pulses", func() bool {
		st, err := report.Read(filepath.Join(dir, "status"), phc.MonoRaw)
		if err != nil || st.State != "locked" {
			return false
		}
		if first == 0 {
			first = st.Pulse.Accepted
		}
		return st.Pulse.Accepted > first+1
	})
	kept := filepath.Join(dir, "history")
	proctest.Until(t, "a lock is among the events", func() bool {
		found, _, err := events.Read(kept, events.Query{Kinds: []events.Kind{events.State}})
		return err == nil && slices.ContainsFunc(found, func(e events.Event) bool { return e.State == "locked" })
	})
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	found, skipped, err := events.Read(kept, events.Query{})
	if err != nil || skipped > 0 || len(found) < 4 || found[0].Kind != events.Start || found[len(found)-1].Kind != events.Stop {
		t.Errorf("%v %d %+v", err, skipped, found)
	}
	res, err := history.Open(kept).Query(history.Query{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Minute), MaxPoints: 4000})
	if err != nil || len(res.Damage) > 0 {
		t.Fatal(err, res)
	}
	for _, name := range []string{history.Offset, history.Estimate, history.Residual, history.Bound, history.Correction, history.State, history.Synced, history.Satellites, history.CN0} {
		s := res.Of(name)
		if s == nil || !slices.ContainsFunc(s.Mean, func(v float64) bool { return !math.IsNaN(v) }) {
			t.Errorf("no value of %s", name)
		}
	}
	if s := res.Of(history.Temperature); s != nil {
		t.Error("a temperature without a sensor")
	}
}
