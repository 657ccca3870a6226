package refclock_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// TestCompare: further pulses are measured against the clock and never steer
// it, whatever they do.
func TestCompare(t *testing.T) {
	b := customBench(t, 0, func(c *refclock.Config) {
		c.Compare = []pps.CompareConfig{
			{Name: "/dev/pps1", Bias: 11700, Limit: 2 * time.Microsecond},
			{Name: "second receiver", Cable: 250, Limit: time.Microsecond},
			{Name: "unlimited"},
		}
	})
	// late is by how much a pulse is late at second k, ns.
	run := func(from, to int, late func(k int) int64) {
		for k := from; k < to; k++ {
			b.say(k, gnss.Message{Source: "ZDA", Valid: true})
			m := b.clock.MonoAt(truth0 + tai.Time(k)*tai.Second)
			b.eng.Compare(0, pps.Edge{Scale: pps.System, Stamp: b.clock.RealAt(m + 11700), Mono: b.now})
			b.eng.Compare(1, pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(m + 250 + late(k))), Mono: b.now})
			b.eng.Compare(2, pps.Edge{Scale: pps.Clock, Stamp: int64(b.clock.At(m + 100e6)), Mono: b.now})
			b.eng.Compare(3, pps.Edge{}) // there is none
			b.eng.Tick()
		}
	}
	run(1, 60, func(int) int64 { return 30 })
	c := b.eng.Report().Compared
	if len(c) != 3 || c[0].Skipped == 0 || c[0].Count < 30 {
		t.Fatalf("%+v\n%s", c, &b.log)
	}
	if math.Abs(c[0].MeanNS) > 40 || math.Abs(c[1].MeanNS-30) > 20 || math.Abs(c[2].OffsetNS-100e6) > 100 || c[0].Alarm || c[1].Alarm || c[2].Alarm || c[1].NoiseNS > 30 {
		t.Errorf("%+v", c)
	}
	off := b.clock.Error(b.now)
	run(60, 64, func(int) int64 { return 5000 })
	if c := b.eng.Report().Compared; !c[1].Alarm || c[0].Alarm || c[2].Alarm || b.eng.Report().Counts[reason.CompareAlarm] != 1 {
		t.Errorf("after three beyond the limit: %+v", c)
	}
	if s := b.last(); s.State != status.Locked || math.Abs(b.clock.Error(b.now)-off) > 30 {
		t.Errorf("a compared pulse moved the clock or its state: %v (%s), %v ns", s.State, s.Reason, b.clock.Error(b.now))
	}
	if n := strings.Count(b.log.String(), "compared pulse disagrees"); n != 1 || !strings.Contains(b.log.String(), "reason=pulse_disagrees pulse=\"second receiver\"") {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
	d := report.NewDetails(b.eng.Report(), 5, b.now)
	if j, err := json.Marshal(d); err != nil || len(d.Pulses) != 3 || d.Pulses[1].Alarm != "pulse_disagrees" || d.Pulses[1].Source != "second receiver" || d.LatencyS == nil || *d.LatencyS < 0.15 || *d.LatencyS > 0.25 {
		t.Errorf("%v: %s", err, j)
	}
	run(64, 80, func(int) int64 { return 0 })
	if c := b.eng.Report().Compared; c[1].Alarm {
		t.Errorf("within the limit again: %+v", c[1])
	}
	// One that is wild for one pulse is no alarm.
	run(80, 90, func(k int) int64 { return int64(k%3/2) * 9000 })
	if c := b.eng.Report().Compared; c[1].Alarm {
		t.Errorf("single outliers: %+v", c[1])
	}
}

// TestCorrectionChanged: an operator's new bias moves the clock and is no jump
// of the pulses.
func TestCorrectionChanged(t *testing.T) {
	r := newRig(t, "timehat-f9t", nil)
	r.Run(5 * time.Minute)
	r.Before = nil // by the truth of this simulation the new bias is wrong
	r.Engine.Apply(refclock.Settings{Bias: 3 * time.Microsecond})
	for k := range 60 {
		r.Run(5*time.Minute + time.Duration(k)*time.Second)
		if r.Snap.State != status.Locked {
			t.Fatalf("%v (%s) after %d s", r.Snap.State, r.Snap.Reason, k)
		}
	}
	// A late pulse is made earlier, so that the clock is found slow and hurries.
	if e := r.App.Clock.Error(r.Mono()); math.Abs(e-3000) > 60 || r.Snap.Epoch != 1 {
		t.Errorf("off by %.0f ns after a bias of 3000 ns, epoch %d", e, r.Snap.Epoch)
	}
}
