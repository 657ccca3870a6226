package discipline

import (
	"math"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// timeHAT sets the noise of the build whose antenna is unplugged in these tests.
func (w *world) timeHAT() { w.wfm, w.rw, w.white = 2.5, 0.02, 5 }

// ramp makes pulses drift from second a to b, then stop.
func (w *world) ramp(a, b int, slope float64) {
	w.noise = func(k int) float64 { return slope * math.Max(0, float64(min(k, b)-a)) }
}

// TestDriftBeforeAlarmIsForgotten: pulses drift for 20 s before an alarm. The
// error in the following holdover is at most 1.5 times that of a holdover without
// the drift, some ns for the noise aside, and the bound contains it.
func TestDriftBeforeAlarmIsForgotten(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	const pulled, reported, until = 1500, 1520, 1900
	run := func(seed uint64, slope float64, cfg Config, report func(w *world)) (worst float64, w *world) {
		w = newWorld(t, cfg, seed)
		w.timeHAT()
		w.ramp(pulled, reported, slope)
		w.present = gap(reported+3, until+1)
		report(w)
		w.run(0, reported+10)
		w.since()
		w.run(reported+10, until)
		return quantile(w.offset, 1), w
	}
	alarm := func(w *world) {
		w.at[reported] = func(w *world) { w.c.Alarm(reason.ReceiverFixLost, "", w.mono(w.now)) }
	}
	void := func(w *world) {
		w.labels = func(k int) []labelSpec { return []labelSpec{{after: 150e6, void: k >= reported}} }
	}
	silent := func(w *world) {}
	const seeds = 2
	clean := 0.0
	for seed := uint64(1); seed <= seeds; seed++ {
		e, _ := run(seed, 0, Config{}, void)
		clean += e
	}
	for _, c := range []struct {
		name    string
		slope   float64 // ns/s
		report  func(w *world)
		ratio   float64 // limit of the error over that without a drift, 0 = none
		outside int     // readings, two a second, in which the bound cannot contain the error
	}{
		{"3 ns/s, void", 3, void, 1.5, 30}, // too slow to be distinguished from the oscillator in the time
		{"1 ns/s, void", 1, void, 1.5, 0},
		{"5 ns/s, void", 5, void, 1.5, 2},
		{"5 ns/s, alarm", 5, alarm, 1.5, 2},
		{"-10 ns/s, alarm", -10, alarm, 1.5, 2},
		{"20 ns/s, void", 20, void, 1.5, 2},
		{"50 ns/s, void", 50, void, 1.5, 8}, // the gate opens after four pulses on a line
		{"5 ns/s, pulses stop", 5, silent, 0, 2},
		{"10 ns/s, pulses stop", 10, silent, 1.5, 2},
		{"50 ns/s, pulses stop", 50, silent, 1.5, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sum, outside := 0.0, 0
			for seed := uint64(1); seed <= seeds; seed++ {
				a, w := run(seed, c.slope, Config{}, c.report)
				sum, outside = sum+a, outside+w.uncovered
				if w.c.st.State != status.Holdover {
					t.Errorf("seed %d: %v (%v)", seed, w.c.st.State, w.c.st.Reason)
				}
			}
			if c.ratio > 0 && sum > c.ratio*clean+seeds*20 {
				t.Errorf("worst error %.0f ns after the drift, %.0f ns without", sum/seeds, clean/seeds)
			}
			if outside > seeds*c.outside {
				t.Errorf("outside the bound in %d readings", outside)
			}
		})
	}
	t.Run("nothing is suspect", func(t *testing.T) {
		worst, w := run(1, 5, Config{Gate: GateConfig{Suspect: -1}}, alarm)
		if w.c.st.Rollbacks != 0 || worst < 500 {
			t.Errorf("%d rollbacks, worst error %.0f ns: the other rows test nothing", w.c.st.Rollbacks, worst)
		}
	})
}

// TestOutageForgetsNothing: pulses that stop without having drifted are kept.
func TestOutageForgetsNothing(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	n := uint64(0)
	for seed := uint64(1); seed <= 3; seed++ {
		w := newWorld(t, Config{}, seed)
		w.wfm, w.rw, w.white = 1, 1, 50
		w.present = func(k int) bool { return k%300 < 270 }
		w.run(0, 3000)
		n += w.c.st.Rollbacks
		w.covered(0)
	}
	if n > 1 {
		t.Errorf("in %d of 30 outages the last pulses were forgotten", n)
	}
}

// TestOscillatorChanged: pulses stop just after the oscillator changed. They are
// forgotten although they were right, and the bound contains that error, too;
// when they return they are accepted at once.
func TestOscillatorChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	w.timeHAT()
	w.at[1190] = func(w *world) { w.y += 20 }
	w.present = gap(1200, 1260)
	w.run(0, 1255)
	if w.c.st.Rollbacks != 1 {
		t.Errorf("%d rollbacks", w.c.st.Rollbacks)
	}
	w.run(1255, 1400)
	if s := w.c.Status(); s.State != status.Locked || len(w.steps) != 1 || math.Abs(w.truthNS()) > 60 {
		t.Errorf("%v, stepped at %v, %.0f ns off; %v", s.State, w.steps, w.truthNS(), w.states)
	}
	w.covered(2)
}

// TestAlarmSoonAfterLock: without an earlier state, nothing is forgotten.
func TestAlarmSoonAfterLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	w.at[20] = func(w *world) { w.c.Alarm(reason.ReceiverAntennaOpen, "", w.mono(w.now)) }
	w.run(0, 60)
	if s := w.c.Status(); s.State != status.Holdover || s.Rollbacks != 0 {
		t.Errorf("%v, %d rollbacks", s.State, s.Rollbacks)
	}
	w.covered(0)
}

// TestDriftBound: while the pulses drift without an alarm, the bound contains the
// drift.
func TestDriftBound(t *testing.T) {
	t.Parallel()
	for _, slope := range []float64{5, -10, 30} {
		w := newWorld(t, Config{}, 1)
		w.timeHAT()
		w.ramp(1800, 1840, slope)
		w.run(0, 1800)
		quiet := w.c.st.Bound
		w.run(1800, 1835)
		if e := math.Abs(w.truthNS()); w.c.st.Bound < e || quiet > 150 {
			t.Errorf("%g ns/s: %.0f ns off, bound %.0f ns, before %.0f ns", slope, e, w.c.st.Bound, quiet)
		}
	}
}

// TestShift: a changed correction of the pulses moves the clock by as much within
// seconds, without an outlier, a holdover or a step, and the bound contains the
// difference meanwhile.
func TestShift(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	for _, c := range []struct {
		ns   float64
		want status.State // two seconds later
	}{
		{math.NaN(), status.Locked}, {0, status.Locked},
		{200, status.Locked}, {-11700, status.Locked}, {90e3, status.Locked},
		{5e6, status.Acquiring}, // beyond what is slewed
	} {
		for _, kind := range []string{"kalman", "pi"} {
			w := newWorld(t, Config{Servo: kind}, 1)
			shift := 0.0
			if !math.IsNaN(c.ns) {
				shift = c.ns
			}
			w.at[600] = func(w *world) {
				w.c.Shift(c.ns, w.mono(w.now))
				if b := w.c.Status().Bound; b < math.Abs(shift) {
					t.Errorf("%s, %g ns: bound %.0f right after", kind, c.ns, b)
				}
			}
			w.noise = func(k int) float64 {
				if k >= 600 {
					return shift
				}
				return 0
			}
			w.run(0, 600)
			before := w.c.Status()
			w.run(600, 602)
			s := w.c.Status()
			if c.want != s.State {
				t.Errorf("%s, %g ns: %v (%v)", kind, c.ns, s.State, s.Reason)
			}
			w.run(602, 700)
			s = w.c.Status()
			refused := s.BadPulses - before.BadPulses
			if e := math.Abs(w.truthNS() + shift); s.State != status.Locked || kind == "kalman" && c.want == status.Locked && (e > 100 || refused > 0 || len(w.steps) > 1) {
				t.Errorf("%s, %g ns: %v, %.0f ns from where the new correction is right, %d pulses refused, steps at %v", kind, c.ns, s.State, e, refused, w.steps)
			}
		}
	}
}

// TestLimitCountsFromTheFloor: if reading the clock takes 222 µs, as on a CM5, the
// limit is on top of the bracket.
func TestLimitCountsFromTheFloor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, 1)
	w.width = 222 * time.Microsecond
	w.present = gap(600, 9999)
	w.run(0, 600)
	s := w.c.Status()
	if s.State != status.Locked || s.Floor != 111e3 || s.Bound < s.Floor || s.Bound > s.Floor+1000 {
		t.Fatalf("%v, floor %.0f, bound %.0f ns", s.State, s.Floor, s.Bound)
	}
	w.run(600, 1200)
	s = w.c.Status()
	left := (s.Floor + float64(s.Limit) - s.Bound) / s.BoundRate
	if s.Floor != 111e3 || !(left > 300) {
		t.Errorf("after 10 min of holdover: floor %.0f, bound %.0f ns growing by %.1f ns/s: limit in %.0f s", s.Floor, s.Bound, s.BoundRate, left)
	}
}

// TestHoldoverBound: oscillators of every kind stay within the bound in holdover,
// and the bound is not needlessly wide.
func TestHoldoverBound(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("takes long and has one goroutine: no use under the race detector")
	}
	for _, c := range []struct {
		name           string
		wfm, rw, white float64
	}{
		{"TimeHAT", 2.5, 0.02, 5}, {"ocxo", 0.03, 0.003, 20}, {"tcxo", 1, 1, 50}, {"crystal", 10, 3, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad, all, sq, bound := 0, 0, 0.0, 0.0
			const seeds = 2
			for seed := uint64(1); seed <= seeds; seed++ {
				w := newWorld(t, Config{Limit: time.Millisecond}, seed)
				w.wfm, w.rw, w.white = c.wfm, c.rw, c.white
				w.present = gap(2400, 99999)
				w.run(0, 2400)
				w.since()
				w.uncovered = 0
				w.run(2400, 4200)
				bad, all = bad+w.uncovered, all+len(w.offset)
				e := w.truthNS()
				sq, bound = sq+e*e/seeds, bound+w.c.Status().Bound/seeds
			}
			if float64(bad) > 0.001*float64(all) {
				t.Errorf("outside the bound in %d of %d readings", bad, all)
			}
			if r := math.Sqrt(sq); bound > 40*r {
				t.Errorf("bound %.0f ns after 30 min, error %.0f ns rms", bound, r)
			}
		})
	}
}

// A clock that begins at zero has seconds before it.
func TestStatesOfAClockThatWasSetTo1970(t *testing.T) {
	t.Parallel()
	var h history
	for sec := tai.Time(-2 * historySeconds); sec < 2*historySeconds; sec++ {
		h.recent[slot(sec*tai.Second)] = secondState{sec: sec * tai.Second}
		if b, ok := h.at((sec+1)*tai.Second, 1); !ok || b.sec != sec*tai.Second {
			t.Fatalf("second %d: %+v, %v", sec, b, ok)
		}
	}
}
