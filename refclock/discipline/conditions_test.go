package discipline

import (
	"math"
	"testing"
	"time"

	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// TestReportedState: published state, text and bound for each condition that the
// owner of the clock reports, and the servo's own state.
func TestReportedState(t *testing.T) {
	t.Parallel()
	opened := func(w *world) { w.c.ClockOpened(0) }
	noLabels := func(w *world) { w.labels = func(int) []labelSpec { return nil } }
	noPulses := func(w *world) { w.present = gap(0, 9999) }
	for _, c := range []struct {
		name  string
		set   func(w *world)
		run   int            // seconds before the reports
		do    func(w *world) // the reports
		state status.State   // published
		text  string         // published
		servo status.State   // the servo's own
		bound bool           // a bound is published
	}{
		{"clock not opened yet", nil, 0, func(w *world) { w.c.ClockLost(reason.ClockMissing) }, status.Unlocked, "clock_missing", status.Unlocked, false},
		{"clock only watched", nil, 0, func(w *world) { w.c.ClockLost(reason.ClockMissing); w.c.ClockLost(reason.ClockWatched) }, status.Unlocked, "clock_watched", status.Unlocked, false},
		{"lost without a reason", nil, 0, func(w *world) { w.c.ClockLost(reason.None) }, status.Unlocked, "clock_missing", status.Unlocked, false},
		{"not opened, then missing", nil, 0, func(w *world) {
			w.c.ClockLost(reason.ClockDenied)
			w.c.ClockLost(reason.ClockMissing)
		}, status.Unlocked, "clock_missing", status.Unlocked, false},
		{"clock lost while locked", opened, 60, func(w *world) { w.c.ClockLost(reason.ClockGone) }, status.Unlocked, "clock_gone", status.Locked, false},
		{"clock lost, then missing", opened, 60, func(w *world) {
			w.c.ClockLost(reason.ClockTimeout)
			w.c.ClockLost(reason.ClockMissing)
		}, status.Unlocked, "clock_timeout", status.Locked, false},
		{"clock lost, then contested", opened, 60, func(w *world) {
			w.c.ClockLost(reason.ClockGone)
			w.c.ClockLost(reason.ClockContested)
		}, status.Unlocked, "clock_contested", status.Locked, false},
		{"clock lost and every other condition", nil, 60, func(w *world) {
			w.c.ClockDenied()
			w.c.LeapUndecided(true)
			w.c.ClockMoving()
			w.c.Alarm(reason.ReceiverSpoofed, "", w.mono(w.now))
			w.c.ClockLost(reason.ClockGone)
		}, status.Unlocked, "clock_gone", status.Holdover, false},
		{"denied while locked", nil, 60, func(w *world) { w.c.ClockDenied() }, status.Faulty, "clock_denied", status.Locked, true},
		{"denied at the start", nil, 0, func(w *world) { w.c.ClockDenied() }, status.Faulty, "clock_denied", status.Unlocked, false},
		{"denied and a leap second", nil, 60, func(w *world) {
			w.c.LeapUndecided(true)
			w.c.ClockDenied()
		}, status.Faulty, "clock_denied", status.Locked, true},
		{"being moved while locked", nil, 60, func(w *world) { w.c.ClockMoving() }, status.Acquiring, "disciplined", status.Locked, false},
		{"being moved within a leap second", nil, 60, func(w *world) {
			w.c.LeapUndecided(true)
			w.c.ClockMoving()
		}, status.Acquiring, "disciplined", status.Locked, false},
		{"leap second undecided", nil, 60, func(w *world) { w.c.LeapUndecided(true) }, status.Faulty, "leap_contradicted", status.Locked, true},
		{"leap second undecided in holdover", func(w *world) { w.present = gap(60, 9999) }, 90, func(w *world) { w.c.LeapUndecided(true) }, status.Faulty, "leap_contradicted", status.Holdover, true},
		{"leap second undecided before a lock", noLabels, 20, func(w *world) { w.c.LeapUndecided(true) }, status.Unlocked, "no_messages", status.Unlocked, false},
		{"alarm at the start", nil, 0, func(w *world) { w.c.Alarm(reason.WitnessAwaited, "", monoStart) }, status.Unlocked, "doubted: witness_awaited", status.Unlocked, false},
		{"alarm while locked", nil, 60, func(w *world) { w.c.Alarm(reason.ReceiverFixLost, "", w.mono(w.now)) }, status.Holdover, "doubted: fix_lost", status.Holdover, true},
		{"alarm with names", nil, 60, func(w *world) { w.c.Alarm(reason.WitnessDisagrees, "a.example b.example", w.mono(w.now)) }, status.Holdover, "doubted: witness_disagrees a.example b.example", status.Holdover, true},
		{"alarm after alarm", nil, 60, func(w *world) {
			w.c.Alarm(reason.WitnessAwaited, "", w.mono(w.now))
			w.c.Alarm(reason.ReceiverAntennaShort, "", w.mono(w.now))
		}, status.Holdover, "doubted: antenna_short", status.Holdover, true},
		{"alarm, and then the lock is lost", nil, 60, func(w *world) {
			w.c.Alarm(reason.LeapUnconfirmed, "", w.mono(w.now))
			w.c.Stepped(w.mono(w.now), time.Millisecond)
		}, status.Acquiring, "doubted: leap_unconfirmed", status.Acquiring, false},
		{"alarm without a code", nil, 60, func(w *world) { w.c.Alarm(reason.None, "checked by hand", w.mono(w.now)) }, status.Holdover, "doubted: checked by hand", status.Holdover, true},
		{"alarm while unlocked for another reason", noLabels, 20, func(w *world) {
			w.c.Alarm(reason.ReceiverJammed, "", w.mono(w.now))
		}, status.Unlocked, "doubted: jamming", status.Unlocked, false},
		{"messages refused", noLabels, 20, func(w *world) { w.c.MessageRefused(reason.MessageTooEarly, w.mono(w.now)) }, status.Unlocked, "no_messages: message_too_early", status.Unlocked, false},
		{"messages refused long ago", noLabels, 20, func(w *world) {
			w.c.MessageRefused(reason.MessageTooEarly, w.mono(w.now))
			w.run(20, 52)
		}, status.Unlocked, "no_messages", status.Unlocked, false},
		{"messages refused, pulses missing", noPulses, 20, func(w *world) { w.c.MessageRefused(reason.MessageRollover, w.mono(w.now)) }, status.Unlocked, "no_pulse", status.Unlocked, false},
		{"pulses refused", noPulses, 20, func(w *world) { w.c.PulseRefused(reason.PulseAmbiguous, w.mono(w.now)) }, status.Unlocked, "no_pulse: ambiguous_edge", status.Unlocked, false},
		{"pulses refused in holdover", func(w *world) { w.present = gap(60, 9999) }, 90, func(w *world) { w.c.PulseRefused(reason.PulseAmbiguous, w.mono(w.now)) }, status.Holdover, "missing_pulses: ambiguous_edge", status.Holdover, true},
		{"a pulse refused while locked", nil, 60, func(w *world) { w.c.PulseRefused(reason.PulseAmbiguous, w.mono(w.now)) }, status.Locked, "disciplined", status.Locked, true},

		{"nothing", nil, 0, func(*world) {}, status.Unlocked, "starting", status.Unlocked, false},
		{"being verified", nil, 5, func(*world) {}, status.Acquiring, "verifying", status.Acquiring, false},
		{"locked", nil, 60, func(*world) {}, status.Locked, "disciplined", status.Locked, true},
		{"opened again", opened, 60, func(w *world) {
			w.c.ClockLost(reason.ClockGone)
			w.c.ClockOpened(0)
			w.run(60, 120)
		}, status.Locked, "disciplined", status.Locked, true},
		{"allowed again", nil, 60, func(w *world) {
			w.c.ClockDenied()
			w.c.ClockAllowed(w.mono(w.now))
		}, status.Acquiring, "clock_stepped", status.Acquiring, false},
		{"allowed without having been denied", nil, 60, func(w *world) { w.c.ClockAllowed(w.mono(w.now)) }, status.Locked, "disciplined", status.Locked, true},
		{"moved", nil, 60, func(w *world) {
			w.c.ClockMoving()
			w.c.Stepped(w.mono(w.now), 0)
		}, status.Locked, "disciplined", status.Locked, true},
		{"leap second decided", nil, 60, func(w *world) {
			w.c.LeapUndecided(true)
			w.run(60, 70)
			w.c.LeapUndecided(false)
		}, status.Locked, "disciplined", status.Locked, true},
		{"alarm ended", nil, 60, func(w *world) {
			w.c.Alarm(reason.ReceiverSpoofed, "", w.mono(w.now))
			w.c.Clear(w.mono(w.now))
		}, status.Holdover, "returning", status.Holdover, true},
		{"alarm ended while unlocked", nil, 0, func(w *world) {
			w.c.Alarm(reason.WitnessAwaited, "", monoStart)
			w.c.Clear(monoStart)
		}, status.Unlocked, "starting", status.Unlocked, false},
		{"reset ends an alarm", nil, 60, func(w *world) {
			w.c.Alarm(reason.ReferenceUnusable, "", w.mono(w.now))
			w.c.Reset(w.mono(w.now))
		}, status.Acquiring, "starting", status.Acquiring, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{}, 1)
			if c.set != nil {
				c.set(w)
			}
			w.run(0, c.run)
			c.do(w)
			s := w.c.Status()
			if s.State != c.state || s.Text() != c.text || s.ServoState != c.servo {
				t.Errorf("%v (%s), servo %v; want %v (%s), servo %v", s.State, s.Text(), s.ServoState, c.state, c.text, c.servo)
			}
			if bound := s.Bound < unboundedNS; bound != c.bound || !bound && s.BoundRate != 0 {
				t.Errorf("bound %v ns growing by %v, want one: %v", s.Bound, s.BoundRate, c.bound)
			}
		})
	}
}

// TestRepeatedAlarmChangesNothing: an alarm that is raised again does not
// restart the verification of pulses nor count another transition.
func TestRepeatedAlarmChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	w.run(0, 60)
	for range 3 {
		w.c.Alarm(reason.ReceiverJammed, "", w.mono(w.now))
	}
	if n := w.c.Status().Counts[Doubted]; n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// TestOpenedClock: the limit of the opened clock applies, another limit means
// another clock, of which nothing is known, and counters never fall.
func TestOpenedClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		configured, clock float64 // ppb, 0 = none
		want              float64
	}{
		{"neither", 0, 0, 500e3},
		{"a negative limit of the clock", 0, -1, 500e3},
		{"the clock's", 0, 62_499_999, 62_499_999},
		{"the configured, which is less", 1000, 62_499_999, 1000},
		{"the clock's, which is less", 400e3, 100e3, 100e3},
	} {
		ctl := New(Config{MaxFreqPPB: c.configured})
		if ctl.ClockOpened(c.clock) || ctl.cfg.MaxFreqPPB != c.want {
			t.Errorf("%s: at most %v ppb, want %v", c.name, ctl.cfg.MaxFreqPPB, c.want)
		}
	}

	learned := Learned{OK: true, FreqPPB: -8000, SigmaPPB: 1, NoiseNS: 20, WhiteFM: 1, WalkFM: 0.1}
	w := newWorld(t, Config{}, 1)
	w.c.ClockLost(reason.ClockMissing)
	w.c.Import(learned)
	if w.c.ClockOpened(500e3) || w.c.learned != learned || w.c.est.corr.ppb != learned.FreqPPB {
		t.Errorf("learned %+v, %v ppb after the clock was opened", w.c.learned, w.c.est.corr.ppb)
	}
	w.u = w.c.est.corr.ppb
	w.run(0, 100)
	before := w.c.Status()
	if before.State != status.Locked {
		t.Fatalf("%v (%s)", before.State, before.Text())
	}
	w.c.ClockLost(reason.ClockGone)
	if w.c.ClockOpened(500e3) || w.c.Status().State != status.Locked {
		t.Error("the same clock counts as another")
	}
	w.c.ClockLost(reason.ClockGone)
	w.c.Alarm(reason.ReceiverJammed, "", w.mono(w.now))
	if !w.c.ClockOpened(400e3) {
		t.Error("another clock counts as the same")
	}
	s := w.c.Status()
	if s.State != status.Unlocked || s.Text() != "doubted: jamming" || w.c.Export().OK || w.c.est.corr.ppb != 0 || s.Pulses != before.Pulses || s.Labelled != before.Labelled || s.Steps != before.Steps {
		t.Errorf("other clock: %v (%s), %v ppb, learned %+v, %d pulses, %d labels", s.State, s.Text(), w.c.est.corr.ppb, w.c.Export(), s.Pulses, s.Labelled)
	}
	w.c.Clear(w.mono(w.now))
	w.u = w.c.est.corr.ppb
	w.run(100, 160)
	if s := w.c.Status(); s.State != status.Locked || math.Abs(w.truthNS()) > s.Bound || s.Limit != 100*time.Microsecond {
		t.Errorf("after a minute with the other clock: %v (%s), %.0f ns off", s.State, s.Text(), w.truthNS())
	}
}
