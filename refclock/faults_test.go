package refclock_test

import (
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// look is what must be published at a time since the start.
type look struct {
	at     time.Duration
	state  status.State
	reason string
}

// faultRow is one complaint of those who built such clocks.
type faultRow struct {
	name  string
	build string // scenario whose hardware it is; default timehat-f9t
	edit  func(*sim.Scenario)
	looks []look
	limit float64       // ns, of the true error while usable
	first time.Duration // usable at the latest; 0: never
}

// faults returns an edit that lets faults happen to receiver and pulses.
func faults(fs ...sim.Fault) func(*sim.Scenario) {
	return func(s *sim.Scenario) {
		s.Config.Pulse.Faults, s.Config.Receiver.Faults = append(s.Config.Pulse.Faults, fs...), append(s.Config.Receiver.Faults, fs...)
	}
}

func fault(k sim.FaultKind, at, dur time.Duration, amount float64) sim.Fault {
	return sim.Fault{Kind: k, At: at, For: dur, Amount: amount}
}

// all makes one edit of several.
func all(edits ...func(*sim.Scenario)) func(*sim.Scenario) {
	return func(s *sim.Scenario) {
		for _, e := range edits {
			e(s)
		}
	}
}

// receiver edits the receiver alone.
func receiver(f func(*sim.ReceiverConfig)) func(*sim.Scenario) {
	return func(s *sim.Scenario) { f(&s.Config.Receiver) }
}

// duty makes a card that stamps both edges of a pulse of some width.
func duty(width time.Duration, unknown bool) func(*sim.Scenario) {
	return all(faults(fault(sim.BothEdges, 0, 0, 0)), func(s *sim.Scenario) {
		s.Config.Pulse.Width, s.Config.Pulse.Unknown = width, unknown
		if !unknown {
			s.Engine.Discipline.PulseWidth = width
		}
	})
}

const (
	minute   = time.Minute
	at       = 10 * minute // locked and settled by then
	plain    = 250         // ns: nothing was noticed
	held     = 3000        // ns: minutes of holdover after minutes of lock
	nowhere  = 0           // usable never
	realtime = -20 * 365 * 24 * time.Hour
)

func builtin(y, mo, d, h, mi, s int) tai.Time {
	t, err := tai.Builtin().FromUTC(y, mo, d, h, mi, s, 0)
	if err != nil {
		panic(err)
	}
	return t
}

// unannounced marks the row in which only the receiver knows of the leap second.
var unannounced = tai.Builtin()

var invented = tai.Builtin().With(tai.Leap{UTC: 1798761600, Offset: 38}) // 2026-12-31

func faultRows() []faultRow {
	lock := func(at time.Duration) look { return look{at, status.Locked, "disciplined"} }
	hold := func(at time.Duration, why string) look { return look{at, status.Holdover, why} }
	return []faultRow{
		{"messages come 0.8 s late", "", receiver(func(r *sim.ReceiverConfig) { r.Latency = 800 * time.Millisecond }), []look{lock(at)}, plain, 30 * time.Second},
		{"a burst overlaps the next pulse", "", receiver(func(r *sim.ReceiverConfig) { r.Latency, r.Baud, r.InView = 700*time.Millisecond, 9600, 20 }), []look{lock(at)}, plain, 30 * time.Second},
		{"a burst takes longer than its second", "", receiver(func(r *sim.ReceiverConfig) { r.Baud, r.InView, r.TIMTP = 4800, 40, false }), []look{lock(at)}, plain, 120 * time.Second},
		{"messages become a second late", "", faults(fault(sim.LateSecond, at, 0, 0)), []look{hold(at+30*time.Second, "second_disputed"), {at + 3*minute, status.Faulty, "second_disputed"}}, plain, 30 * time.Second},
		{"stale leap count at cold start", "", all(
			faults(fault(sim.Void, 0, 40*time.Second, 0), fault(sim.NoPulse, 0, 40*time.Second, 0), fault(sim.SecondOff, 0, 12*minute, 2)),
			func(s *sim.Scenario) { s.Config.Clock.System = -400 * time.Second },
		), []look{{5 * minute, status.Unlocked, "doubted: leap_unconfirmed"}, lock(20 * minute)}, plain, 15 * minute},
		{"stale leap count, and the system clock knows better", "", all(faults(fault(sim.SecondOff, 0, 12*minute, 2)), func(s *sim.Scenario) { s.Engine.RealKept = func() bool { return true } }),
			[]look{lock(20 * minute)}, plain, 15 * minute},
		{"rollover before the start", "", faults(fault(sim.WeekOff, 0, 0, -1024)), []look{lock(5 * minute)}, plain, 30 * time.Second},
		{"rollover before the start, no other evidence", "", all(faults(fault(sim.WeekOff, 0, 0, -1024)), func(s *sim.Scenario) { s.Config.Clock.System = realtime }),
			[]look{{5 * minute, status.Unlocked, "no_messages: message_rollover"}}, nowhere, 0},
		{"rollover while running", "", faults(fault(sim.WeekOff, at, 0, -1024)), []look{lock(2 * at)}, plain, 30 * time.Second},
		{"rollover while running, no other evidence", "", all(faults(fault(sim.WeekOff, at, 0, -1024)), func(s *sim.Scenario) { s.Config.Clock.System = realtime }), []look{lock(2 * at)}, plain, 30 * time.Second},
		{"era of 2036", "", func(s *sim.Scenario) { s.Config.Clock.Truth = builtin(2036, 2, 7, 6, 18, 0) }, []look{lock(2 * at)}, plain, 30 * time.Second},
		{"every third sentence is lost", "", faults(fault(sim.LostMessages, 0, 0, 0.33)), []look{lock(at)}, plain, 60 * time.Second},
		{"six sentences in ten are lost", "", faults(fault(sim.LostMessages, at, 0, 0.6)), []look{lock(2 * at)}, plain, 30 * time.Second},
		{"messages are doubled", "", faults(fault(sim.DoubledMessages, 0, 0, 0)), []look{lock(at)}, plain, 30 * time.Second},
		{"second 60, announced", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table, s.Config.Receiver.LeapWarn = invented, true
		}, []look{lock(2 * at)}, plain, 30 * time.Second},
		{"second 60, from the table", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table, s.Engine.Settings.Table = invented, invented
		}, []look{lock(2 * at)}, plain, 30 * time.Second},
		{"second 60, known to nobody but the receiver", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table = invented
			s.Engine.Settings.Table = unannounced
		}, []look{lock(at - minute), {2 * at, status.Faulty, "second_disputed"}}, plain, 30 * time.Second},
		{"both edges, 10 %, told", "", duty(100*time.Millisecond, false), []look{lock(at)}, plain, 30 * time.Second},
		{"both edges, 10 %, not told", "", duty(100*time.Millisecond, true), []look{lock(at)}, plain, 30 * time.Second},
		{"both edges, 50 %, told", "", duty(500*time.Millisecond, false), []look{{at, status.Unlocked, "no_pulse: ambiguous_edge"}}, nowhere, 0},
		{"both edges, 50 %, not told", "", duty(500*time.Millisecond, true), []look{{at, status.Unlocked, "no_pulse: ambiguous_edge"}}, nowhere, 0},
		{"both edges, 90 %, told", "", duty(900*time.Millisecond, false), []look{lock(at)}, plain, 30 * time.Second},
		// What is assumed without knowledge (active for the shorter part) is wrong here.
		{"both edges, 90 %, not told", "", all(duty(900*time.Millisecond, true), func(s *sim.Scenario) { s.Engine.RealKept = func() bool { return true } }),
			[]look{{at, status.Unlocked, "doubted: ambiguous_edge"}}, nowhere, 0},
		{"one pulse in five is wild", "", faults(fault(sim.WildPulse, 0, 0, 0.2)), []look{lock(at)}, plain, 60 * time.Second},
		{"all pulses become wild", "", faults(fault(sim.WildPulse, at, 5*minute, 1)), []look{hold(at+2*minute, "missing_pulses"), lock(2 * at)}, 2000, 30 * time.Second},
		{"stamps are replayed", "", faults(fault(sim.ReplayPulse, 0, 0, 0)), []look{lock(at)}, plain, 30 * time.Second},
		{"stamps are replayed, read late over a slow bus", "cm4-f9t", faults(fault(sim.ReplayPulse, at, 5*minute, 0)), []look{lock(2 * at)}, 20_000, 60 * time.Second}, // a clock read to 55 us, just after the lock
		{"GPSDO without lock from the start", "", faults(fault(sim.Void, 0, 0, 0), fault(sim.PulseDrift, 0, 0, 3)), []look{{at, status.Unlocked, "void_messages"}}, nowhere, 0},
		{"GPSDO pulses on without lock", "", faults(fault(sim.Void, at, 20*minute, 0), fault(sim.PulseDrift, at, 20*minute, 3)),
			[]look{hold(at+5*time.Second, "doubted: fix_lost"), hold(at+15*minute, "doubted: fix_lost"), lock(at + 25*minute)}, 20_000, 30 * time.Second},
		{"antenna pulled, pulses drift 5 ns/s for 20 s unsaid", "", faults(fault(sim.PulseDrift, at, 5*minute, 5), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, held, 30 * time.Second},
		{"antenna pulled, pulses drift 300 ns/s for 20 s unsaid", "", faults(fault(sim.PulseDrift, at, 5*minute, 300), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, held, 30 * time.Second},
		{"antenna open by the receiver's word", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.AntennaOpen, at, 5*minute, 0))),
			[]look{hold(at+2*time.Second, "doubted: antenna_open"), lock(2 * at)}, held, 30 * time.Second},
		{"spoofed by 1 s", "", faults(fault(sim.SecondOff, at, 5*minute, 1)), []look{hold(at+30*time.Second, "second_disputed"), {at + 3*minute, status.Faulty, "second_disputed"}}, held, 30 * time.Second},
		{"spoofed by 1 s for half a minute", "", faults(fault(sim.SecondOff, at, 30*time.Second, 1)), []look{hold(at+20*time.Second, "second_disputed"), lock(2 * at)}, held, 30 * time.Second},
		{"spoofed by 100 ns/s", "", faults(fault(sim.PulseDrift, at, 5*minute, 100)), []look{hold(at+30*time.Second, "doubted: reference_drift"), lock(2 * at)}, 3000, 30 * time.Second},
		{"spoofed, and the receiver says so", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.Spoofing, at, 5*minute, 0), fault(sim.PulseDrift, at, 5*minute, 100))),
			[]look{hold(at+2*time.Second, "doubted: spoofing"), lock(2 * at)}, held, 30 * time.Second},
		{"pulses jump by 300 us", "", faults(fault(sim.PulseJump, at, 5*minute, 300e3)), []look{hold(at+30*time.Second, "pulse_jump"), lock(2 * at)}, 2000, 30 * time.Second},
		{"a fixed antenna moves by 2 km", "", all(func(s *sim.Scenario) { s.Engine.Watch.Fixed = true }, faults(fault(sim.PositionJump, at, 5*minute, 2000))),
			[]look{hold(at+5*time.Second, "doubted: position_jump"), lock(2 * at)}, held, 30 * time.Second},
		{"a free antenna moves by 2 km", "", faults(fault(sim.PositionJump, at, 5*minute, 2000)), []look{lock(at + 5*time.Second), lock(2 * at)}, plain, 30 * time.Second},
		{"jammed", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.Jamming, at, 5*minute, 0))),
			[]look{hold(at+2*time.Second, "doubted: jamming"), lock(2 * at)}, held, 30 * time.Second},
		{"time jumps by an hour", "", faults(fault(sim.SecondOff, at, 5*minute, 3600)), []look{hold(at+30*time.Second, "second_disputed"), {at + 3*minute, status.Faulty, "second_disputed"}}, held, 30 * time.Second},
	}
}

// TestFaults: what befalls receivers and pulses, one row a complaint. The state
// and its reason are as named; while clients are told that the clock may be
// used the second is right, the error within the row's limit, and within what
// is claimed.
func TestFaults(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	for _, c := range faultRows() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			build := c.build
			if build == "" {
				build = "timehat-f9t"
			}
			r := newRig(t, build, c.edit)
			utc := r.scenario.Config.Receiver.Table
			if utc == nil || r.scenario.Engine.Settings.Table == unannounced {
				utc = tai.Builtin() // a leap second that nobody announced is known when it is over
			}
			bound, worst, first := r.Before, 0.0, time.Duration(0)
			r.Before = func(mono int64) {
				if r.Before == nil || !r.Snap.Usable(mono) {
					return
				}
				if first == 0 {
					first = r.Since()
				}
				now := r.Snap.ClockAt(mono)
				e := math.Abs(float64(now.Sub(r.App.Clock.True(mono))))
				if worst = max(worst, e); e > 0.4e9 || r.Snap.OffsetAt(now) != utc.Offset(now) {
					t.Errorf("at %v: usable, off by %.0f ns, TAI-UTC %d, want %d (%v, %s)", r.Since(), e, r.Snap.TAIOffset, utc.Offset(now), r.Snap.State, r.Snap.Reason)
					r.Before = nil
					return
				}
				bound(mono)
			}
			for _, k := range c.looks {
				r.Run(k.at)
				if r.Snap.State != k.state || r.Snap.Reason != k.reason {
					t.Errorf("at %v: %v (%s), want %v (%s)", k.at, r.Snap.State, r.Snap.Reason, k.state, k.reason)
				}
			}
			t.Logf("usable after %v, worst %.0f ns", first.Round(time.Millisecond), worst)
			if worst > c.limit || first > c.first || first == 0 && c.first != 0 {
				t.Errorf("usable after %v (limit %v), worst %.0f ns (limit %.0f)", first, c.first, worst, c.limit)
			}
			if t.Failed() && testing.Verbose() {
				t.Logf("%s", &r.log)
			}
		})
	}
}
