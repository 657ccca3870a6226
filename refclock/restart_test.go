package refclock_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/reason"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// A restart of the program: readers are served on, by what the earlier run knew, and
// the true error is inside the bound whatever happened to the clock meanwhile.
func TestRestart(t *testing.T) {
	t.Parallel()
	const at = 5 * time.Minute
	for _, c := range []struct {
		name    string
		build   string
		down    time.Duration // between the end of one run and the start of the next
		edit    func(*sim.Scenario)
		stopped func(*sim.Loop)     // after the end
		started func(*sim.Loop)     // after the start
		served  bool                // until the lock, without a break
		lock    time.Duration       // after the start, at the latest; 0: never
		count   map[reason.Code]int // at least
	}{
		{name: "stepped by 30 us while it was down", down: 5 * time.Second, served: true, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.Disturb(30 * time.Microsecond) }, count: map[reason.Code]int{reason.ClockForeign: 1}},
		{name: "stepped by 2 ms while it was down", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.Disturb(-2 * time.Millisecond) }, count: map[reason.Code]int{reason.ClockForeign: 1}},
		{name: "stepped by a second while it was down", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.Disturb(time.Second) }, count: map[reason.Code]int{reason.ClockForeign: 1}},
		{name: "the card was reset", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.Reset(-40 * time.Hour) }, count: map[reason.Code]int{reason.ClockForeign: 1}},
		{name: "the correction was lost", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.Reset(0) }},
		{name: "the correction was lost just before the start", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.Run(l.Since() + 4990*time.Millisecond); l.App.Clock.Reset(0) }},
		{name: "another program changed the correction", down: 5 * time.Second, lock: 20 * time.Second,
			stopped: func(l *sim.Loop) { l.App.Clock.AdjFreq(40e3) }},
		{name: "the machine slept while it was down", down: 5 * time.Second, lock: 20 * time.Second,
			edit:    func(s *sim.Scenario) { s.Engine.Slept = func() time.Duration { return 0 } },
			stopped: func(l *sim.Loop) { l.App.Clock.Suspend(10*time.Second, true) }},
		{name: "stepped by 30 us just after the start", down: 2 * time.Second, lock: 20 * time.Second,
			started: func(l *sim.Loop) {
				l.Run(l.Since() + 1300*time.Millisecond)
				l.App.Clock.Disturb(30 * time.Microsecond)
			}, count: map[reason.Code]int{reason.ClockForeign: 1}},
		{name: "the second is wrong before the leap count is known", down: 3 * time.Second, served: true, lock: 30 * time.Second,
			edit: func(s *sim.Scenario) {
				s.Config.Receiver.Faults = []sim.Fault{fault(sim.Silence, at, 10*time.Second, 0)}
			}},

		{name: "twice", down: 3 * time.Second, served: true, lock: 20 * time.Second, started: func(l *sim.Loop) {
			l.Run(l.Since() + 1500*time.Millisecond)
			l.Stop()
			l.Run(l.Since() + 3*time.Second)
			l.Restart()
		}},
		{name: "at once", served: true, lock: 20 * time.Second},
		{name: "after 3 s", down: 3 * time.Second, served: true, lock: 20 * time.Second},
		{name: "after a minute", down: time.Minute, served: true, lock: 20 * time.Second},
		{name: "no receiver any more", down: 3 * time.Second, edit: all(faults(fault(sim.Silence, at, time.Hour, 0), fault(sim.NoPulse, at, time.Hour, 0)),
			func(s *sim.Scenario) { s.Engine.Discipline.Limit = 2 * time.Microsecond })},
		{name: "a board with a wandering oscillator", build: "cm4-f9t", down: 3 * time.Second, served: true, lock: 20 * time.Second},
		{name: "kernel pulses", build: "kernel-pps", down: 3 * time.Second, served: true, lock: 20 * time.Second},
	} {
		for seed := uint64(1); seed <= 3; seed++ {
			t.Run(fmt.Sprintf("%s/seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				build := c.build
				if build == "" {
					build = "timehat-f9t"
				}
				var slept *phctest.Clock
				r := seededRig(t, build, seed, func(s *sim.Scenario) {
					if c.edit != nil {
						c.edit(s)
					}
					if s.Engine.Slept != nil {
						s.Engine.Slept = func() time.Duration {
							if slept == nil {
								return 1
							}
							return slept.Slept() + 1
						}
					}
				})
				slept = r.App.Clock
				r.Run(at)
				if r.Snap.State != status.Locked {
					t.Fatalf("%v (%s) before the restart", r.Snap.State, r.Snap.Reason)
				}
				generation := r.Snap.Epoch
				r.Stop()
				honest := r.Before
				r.Before = func(mono int64) {
					if s := r.scenario.Engine.Slept; s == nil || !r.Snap.SleptSince(s()) { // readers refuse it
						honest(mono)
					}
				}
				if c.stopped != nil {
					c.stopped(r.Loop)
				}
				r.Run(at + c.down)
				bound := r.Before
				unserved, first := time.Duration(0), status.State(0)
				if err := r.Restart(); err != nil {
					t.Fatal(err)
				}
				locked := time.Duration(0)
				r.Before = func(mono int64) {
					bound(mono)
					if r.Snap.State == status.Locked && r.Engine.Report().Snapshot.State == status.Locked && locked == 0 {
						locked = r.Since() - at - c.down
					}
					if !r.Snap.Usable(mono) && locked == 0 && unserved == 0 {
						unserved, first = r.Since()-at-c.down+1, r.Snap.State
					}
				}
				r.Engine.Tick()
				if c.started != nil {
					c.started(r.Loop)
				}
				r.Run(at + c.down + max(2*c.lock, 15*time.Minute))
				t.Logf("seed %d: locked after %v; not served from %v on", seed, locked.Round(time.Millisecond), unserved)
				switch {
				case c.lock == 0 && (locked != 0 || unserved < time.Second || r.Snap.Usable(r.Mono())):
					t.Errorf("locked after %v, not served from %v (%v) on", locked, unserved, first)
				case c.lock != 0 && (locked == 0 || locked > c.lock):
					t.Errorf("locked after %v, limit %v; %v (%s)", locked, c.lock, r.Snap.State, r.Snap.Reason)
				case c.served && unserved != 0:
					t.Errorf("not served %v after the start: %v", unserved, first)
				}
				if r.Snap.Epoch < generation && r.scenario.Engine.Slept == nil || len(c.count) == 0 && r.Snap.Epoch != generation && c.served {
					t.Errorf("generation %d, before the restart %d", r.Snap.Epoch, generation)
				}
				for code, n := range c.count {
					if r.engine(code) < uint64(n) {
						t.Errorf("%v was counted %d times, want %d", code, r.engine(code), n)
					}
				}
				if c.served && !strings.Contains(r.log.String(), `reason="restarted`) && !strings.Contains(r.log.String(), "reason=restarted") {
					t.Error("the log does not name the reason restarted")
				}
				if t.Failed() && testing.Verbose() {
					t.Log(&r.log)
				}
			})
		}
	}
}

// Pulses that jump around a restart are judged by what the earlier run knew, as if it ran
// on: the error stays inside of the bound, and good pulses are followed in the end.
func TestPulsesJumpAroundARestart(t *testing.T) {
	t.Parallel()
	const down, ever = 3 * time.Second, 24 * time.Hour
	for _, c := range []struct {
		name    string
		build   string
		age     time.Duration // of the run that ends
		jump    time.Duration // since its end, of the first displaced pulse
		length  time.Duration
		ns      float64
		later   time.Duration // a look, since the start of the next run
		reason  string        // of the state then
		served  bool
		covers  float64       // ns, what the bound covers of jumps then
		settled time.Duration // locked and served, nothing left in the bound; 0: not looked at
	}{
		{"by 5 us while it was down", "", 20 * minute, time.Second, ever, 5000, minute, "disciplined", true, 5000, 0},
		{"by 5 us while it was down, and back", "", 20 * minute, time.Second, 5 * minute, 5000, minute, "disciplined", true, 5000, 10 * minute},
		{"by 5 us just before the end", "", 20 * minute, -3 * time.Second, ever, -5000, minute, "disciplined", true, 5000, 0},
		{"by 5 us just after the lock", "", 20 * minute, 20 * time.Second, ever, 5000, 3 * minute, "disciplined", true, 5000, 0},
		{"by 300 us while it was down", "", 20 * minute, time.Second, ever, 300e3, 10 * minute, "restarted: pulse_jump", true, 0, 0},
		{"by 300 us while it was down, and back", "", 20 * minute, time.Second, 5 * minute, 300e3, 4 * minute, "restarted: pulse_jump", true, 0, 6 * minute},
		{"by 300 us just after the lock", "", 20 * minute, 20 * time.Second, ever, -300e3, 10 * minute, "pulse_jump", true, 0, 0},
		{"by 300 us after a young lock, and back", "", 3 * minute, time.Second, minute, 300e3, 30 * time.Second, "pulse_jump", false, 0, 3 * minute},
		{"by 20 us while it was down, kernel pulses", "kernel-pps", 20 * minute, time.Second, ever, 20e3, minute, "disciplined", true, 20e3, 0},
		{"by 20 us while it was down, kernel pulses, and back", "kernel-pps", 20 * minute, time.Second, minute, 20e3, 30 * time.Second, "disciplined", true, 20e3, 6 * minute},
		{"by 300 us while it was down, kernel pulses, and back", "kernel-pps", 20 * minute, time.Second, 2 * minute, 300e3, minute, "restarted: pulse_jump", true, 0, 6 * minute},
	} {
		for seed := uint64(1); seed <= 2; seed++ {
			t.Run(fmt.Sprintf("%s/seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				build := c.build
				if build == "" {
					build = "timehat-f9t"
				}
				r := seededRig(t, build, seed, faults(fault(sim.PulseJump, c.age+c.jump, c.length, c.ns)))
				r.Run(c.age)
				r.Stop()
				r.Run(c.age + down)
				if err := r.Restart(); err != nil {
					t.Fatal(err)
				}
				r.Run(c.age + down + c.later)
				if s := &r.Snap; s.Reason != c.reason || s.Usable(r.Mono()) != c.served {
					t.Errorf("at %v: %v (%s), served %v; want %s, %v", c.later, s.State, s.Reason, s.Usable(r.Mono()), c.reason, c.served)
				}
				if got := r.Status().JumpNS; got < 0.98*math.Abs(c.covers) || c.covers == 0 && got > 0 {
					t.Errorf("at %v: the bound covers %.0f ns, want %.0f", c.later, got, c.covers)
				}
				if c.settled == 0 {
					return
				}
				r.Run(c.age + down + c.settled)
				if s := &r.Snap; s.State != status.Locked || !s.Usable(r.Mono()) || r.Status().JumpNS > 0 {
					t.Errorf("at %v: %v (%s), served %v, the bound covers %.0f ns", c.settled, s.State, s.Reason, s.Usable(r.Mono()), r.Status().JumpNS)
				}
			})
		}
	}
}

// A jump of the pulses that an earlier run followed is not explained by a restart.
func TestARestartExplainsNoJump(t *testing.T) {
	t.Parallel()
	const at = 30 * time.Minute
	r := newRig(t, "timehat-f9t", faults(fault(sim.PulseJump, 20*time.Minute, 2*time.Hour, 5000)))
	r.Before = nil // the pulses are wrong
	r.Run(at)
	before, confirmed := r.Status().JumpNS, 100*time.Nanosecond
	if r.Snap.State != status.Locked || before < 4000 {
		t.Fatalf("%v, jump %.0f ns: it was not followed", r.Snap.State, before)
	}
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	r.Run(at + 5*time.Minute)
	if r.Snap.State != status.Locked || r.Status().JumpNS < 0.9*before {
		t.Errorf("%v, jump %.0f ns, before the restart %.0f ns", r.Snap.State, r.Status().JumpNS, before)
	}
	for _, c := range []struct {
		order string
		in    refclock.Input
		want  float64
	}{{"confirmed", refclock.Input{Confirmed: &confirmed}, 100}, {"relocked", refclock.Input{Relock: true}, 0}} {
		r.Engine.Take(c.in)
		r.Run(r.Since() + time.Minute)
		if got := r.Status().JumpNS; got > c.want {
			t.Errorf("%s: jump %.0f ns, want %.0f ns", c.order, got, c.want)
		}
	}
}

// A leap second that only the labels showed, as every table had expired, is known after a
// restart: labels and clock agree at once, and UTC is right throughout.
func TestARestartKeepsALeapSecondThatNoTableHas(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	for _, c := range []struct {
		name  string
		truth *tai.Table
		early bool // the restart is before the leap second, which the receiver announced
	}{
		{"inserted", leapTable("truth", good, inserted), false},
		{"deleted", leapTable("truth", good, deleted), false},
		{"announced, and inserted while it was down", leapTable("truth", good, inserted), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := builtin(2026, 12, 31, 23, 57, 0)
			r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
				s.Config.Clock.Truth, s.Config.Clock.TAIOffset = start, c.truth.Offset(start)
				s.Config.Receiver.Table, s.Config.Receiver.LeapWarn = c.truth, c.early
				s.Engine.Settings.Table = leapTable("list", stale, nil)
			})
			until := eve + 15*minute
			if c.early {
				until = eve - 2*time.Second
			}
			r.Run(until)
			if r.Snap.State != status.Locked {
				t.Fatalf("%v (%s) before the restart", r.Snap.State, r.Snap.Reason)
			}
			if c.early {
				r.Stop()
				r.Run(eve + 2*time.Second)
			}
			restarted := r.Since()
			if err := r.Restart(); err != nil {
				t.Fatal(err)
			}
			served, inside := time.Duration(0), r.Before
			r.Before = func(mono int64) {
				now := r.App.Clock.True(mono)
				if clock := r.Snap.ClockAt(mono); r.Snap.Usable(mono) && r.Snap.OffsetAt(clock) != c.truth.Offset(now) {
					t.Errorf("%v after the restart: TAI-UTC %d, want %d (%v, %s)", r.Since()-restarted, r.Snap.OffsetAt(clock), c.truth.Offset(now), r.Snap.State, r.Snap.Reason)
					r.Before = nil
					return
				}
				if r.Snap.Usable(mono) {
					served = r.Since() - restarted
				}
				inside(mono)
			}
			r.Run(restarted + 2*minute)
			if r.Snap.State != status.Locked || served < 2*minute-time.Second {
				t.Errorf("%v (%s), served until %v after the restart", r.Snap.State, r.Snap.Reason, served)
			}
			if n := r.Engine.Report().Counts[reason.LeapContradicted]; n != 0 && !c.early {
				t.Errorf("%d contradictions about leap seconds", n)
			}
			if t.Failed() {
				t.Logf("%s", &r.log)
			}
		})
	}
}
