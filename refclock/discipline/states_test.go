package discipline

import (
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

// TestStepThenMeasure: a step is requested only while acquiring, once; until it is
// reported nothing is measured, and afterwards the clock is locked no sooner than
// after Verify pulses inside the gate.
func TestStepThenMeasure(t *testing.T) {
	t.Parallel()
	const verify = 5
	for _, c := range []struct {
		name    string
		missed  time.Duration // error of the step
		refused bool          // the step fails
	}{
		{"exact", 0, false}, {"by 15 us", 15 * time.Microsecond, false}, {"by 400 us", 400 * time.Microsecond, false}, {"not at all", 0, true},
	} {
		ctl := New(Config{GivenSecond: true, Verify: verify})
		if s := ctl.Status(); s.State != status.Unlocked || s.Reason != Starting {
			t.Fatalf("begins %v (%v)", s.State, s.Reason)
		}
		x, steps, since := 20*time.Millisecond, 0, -1
		for k := range 60 {
			mono := int64(1e12) + int64(k)*1e9
			second := tai.Time(1_790_000_000+int64(k)) * tai.Second
			a := ctl.Pulse(Pulse{Clock: second.Add(x), Mono: mono})
			s := ctl.Status()
			if s.State == status.Locked && since < 0 {
				t.Fatalf("%s: locked in second %d, before any step was made", c.name, k)
			}
			if s.State == status.Locked && k-since < verify && steps > 0 {
				t.Fatalf("%s: locked %d pulses after the step, want %d", c.name, k-since, verify)
			}
			if a.Step == 0 {
				x += time.Duration(a.FreqPPB)
				continue
			}
			if s.State != status.Acquiring || s.Reason != Stepping {
				t.Errorf("%s: a step of %v while %v (%v)", c.name, a.Step, s.State, s.Reason)
			}
			if b := ctl.Pulse(Pulse{Clock: second.Add(x + time.Second/2), Mono: mono + 5e8}); b.Reason != PulseStraddles || b.Step != 0 {
				t.Errorf("%s: an edge before the step was confirmed: %+v", c.name, b)
			}
			if c.refused && steps < 2 {
				steps++
				ctl.Stepped(mono+6e8, 0)
			} else {
				steps++
				x += a.Step + c.missed
				ctl.Stepped(mono+6e8, a.Step)
				since = k
				if s := ctl.Status(); s.State != status.Acquiring || s.Reason != Verifying {
					t.Errorf("%s: after the step %v (%v)", c.name, s.State, s.Reason)
				}
				if b := ctl.Pulse(Pulse{Clock: second.Add(x), Mono: mono + 5e8}); b.Reason != PulseStraddles {
					t.Errorf("%s: an edge from before the step: %+v", c.name, b)
				}
				c.missed = 0 // the next is exact
			}
		}
		if s := ctl.Status(); s.State != status.Locked || x.Abs() > 100*time.Nanosecond {
			t.Errorf("%s: %v (%v), %v off after a minute and %d steps", c.name, s.State, s.Reason, x, steps)
		}
	}
}

// Every reason of a state says what to do, but for those that pass by themselves.
func TestReasonsHaveRemedies(t *testing.T) {
	t.Parallel()
	pass := map[Reason]bool{
		Starting: true, Stepping: true, Verifying: true, Returning: true, // seconds
		Disciplined: true, OffsetTooLarge: true, // nothing to be done: acquired again at once
		Doubted: true, Restarted: true, // the alarm has one; what this run waits for
	}
	for r := Starting; r < numReasons; r++ {
		if (r.Remedy() == "") != pass[r] {
			t.Errorf("%v: remedy %q", r, r.Remedy())
		}
	}
	s := Status{Reason: Restarted, Own: NoPulse}
	if s.Remedy() != NoPulse.Remedy() {
		t.Errorf("restarted without pulses: %q", s.Remedy())
	}
	s = Status{Reason: Labelling}
	if s.Remedy() != Labelling.Remedy() {
		t.Errorf("no label refused: %q", s.Remedy())
	}
	s.Counts[LabelSkips], s.Counts[LabelVague], s.Counts[PulseOutlier] = 3, 1, 9
	if !strings.HasSuffix(s.Remedy(), "; labels refused so far: label_skips 3, label_vague 1") {
		t.Errorf("labels refused: %q", s.Remedy())
	}
}

// TestStatesHaveReasons: every reason of a state is entered by a row of
// TestTransitions or by the test named here.
func TestStatesHaveReasons(t *testing.T) {
	t.Parallel()
	elsewhere := map[Reason]bool{Starting: true, Stepping: true, Restarted: true} // TestStepThenMeasure, TestInheritedUntilTheLock
	for r := Starting; r < numReasons; r++ {
		if elsewhere[r] {
			continue
		}
		found := false
		for _, c := range transitions {
			for _, w := range c.want {
				_, word, _ := strings.Cut(w, " ")
				found = found || word == r.String()
			}
		}
		if !found {
			t.Errorf("no test enters a state for %v", r)
		}
	}
}
