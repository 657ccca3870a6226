package refclock_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// oneOscillator makes the clock that of CLOCK_MONOTONIC_RAW, stamped by the kernel.
func oneOscillator(s *sim.Scenario) {
	s.Engine.Kind = status.SystemClock
	s.Config.Clock.IsSystem, s.Config.Pulse.System = true, true
}

// Pulses that drift and come back. The bound contains the first 40 s of the drift,
// with the latency of its detection, and the way back; the clock returns to the line
// that the pulses had left, and nothing is left in the bound.
func TestPulsesThatDrift(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	const (
		at       = 20 * time.Minute
		latency  = 3  // s outside of the bound in succession
		memory   = 38 // s of a drift that the bound contains for certain
		again    = 60 * time.Second
		fineNS   = 60
		coarseNS = 2500
	)
	type member struct {
		build    string
		one      bool
		length   time.Duration
		slope    float64 // ns/s
		accuracy float64 // ns, of the clock when it is locked again
	}
	members := []member{
		{"timehat-f9t", false, 28 * time.Second, 1256, fineNS}, {"timehat-f9t", false, 300 * time.Second, -300, fineNS},
		{"i225-m8t", false, 60 * time.Second, 121, 150}, {"cm4-f9t", false, 28 * time.Second, -300, 300},
		{"kernel-pps", false, 60 * time.Second, 3000, coarseNS},
	}
	for _, length := range []time.Duration{10 * time.Second, 28 * time.Second, time.Minute, 5 * time.Minute} {
		for _, slope := range []float64{121, -300, 1256, -3000} {
			members = append(members, member{"timehat-f9t", true, length, slope, fineNS})
			if math.Abs(slope) >= 300 && length > 10*time.Second {
				members = append(members, member{"kernel-pps", true, length, slope, coarseNS})
			}
		}
	}
	for _, c := range members {
		t.Run(fmt.Sprintf("%s, %v oscillators, %v of %.0f ns/s", c.build, map[bool]int{true: 1, false: 2}[c.one], c.length, c.slope), func(t *testing.T) {
			t.Parallel()
			r := seededRig(t, c.build, 1, func(s *sim.Scenario) {
				if c.one {
					oneOscillator(s)
				}
				s.Config.Pulse.Faults = append(s.Config.Pulse.Faults, fault(sim.PulseDrift, at, c.length, c.slope))
			})
			r.Before = nil
			end, outside, locked := at+c.length, 0, time.Duration(0)
			r.Rows(end+3*again, func(x sim.Row) {
				now := time.Duration(x.T) * time.Second
				lost := now > at+memory*time.Second && now < end && c.one // nothing shows it any more
				if !x.Usable || math.Abs(x.ServedNS) <= float64(x.Bound) || lost {
					outside = 0
				} else if outside++; outside == latency+1 {
					t.Errorf("at %v: off by %.0f ns for %d s, claimed %v (%v, %s)", now, x.ServedNS, outside, x.Bound, x.State, x.Reason)
				}
				if now > end && locked == 0 && x.State == status.Locked && x.Usable {
					locked = now - end
				}
				if now > end+again && (x.State != status.Locked || !x.Usable || math.Abs(x.TrueNS) > c.accuracy) {
					t.Errorf("at %v: off by %.0f ns, claimed %v (%v, %s)", now, x.TrueNS, x.Bound, x.State, x.Reason)
				}
			})
			if n := r.Status().JumpNS; n != 0 {
				t.Errorf("the bound still covers %.0f ns", n)
			}
			if c.one && r.disc(discipline.PulsesBack) == 0 {
				t.Error("that the pulses came back was not counted")
			}
			t.Logf("locked %v after the drift, at last off by %.0f ns", locked, r.App.Clock.Error(r.Mono()))
		})
	}
}
