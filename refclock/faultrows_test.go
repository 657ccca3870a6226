package refclock_test

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// look is what must be published so long after the start.
type look struct {
	at     time.Duration
	state  status.State
	reason string
}

// faultRow is one fault that users of such clocks report.
type faultRow struct {
	name  string
	build string // scenario with the hardware; default timehat-f9t
	edit  func(*sim.Scenario)
	looks []look
	limit float64       // ns, of the clock's true error while usable
	first time.Duration // usable at the latest; 0: never
}

// faults returns an edit that gives receiver and pulses these faults.
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

// late makes messages come so long after their pulse.
func late(d time.Duration) func(*sim.Scenario) {
	return receiver(func(r *sim.ReceiverConfig) { r.Latency = d })
}

// duty returns an edit that makes a card stamp both edges of a pulse of this width;
// unknown: the width is not configured.
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
	again    = 20 * time.Second // a lock that a look finds lost for a moment is back within it
	at       = 10 * minute      // locked and settled by then
	nowhere  = 0                // usable never
	realtime = -20 * 365 * 24 * time.Hour
)

// The limits, in ns, follow from the builds' noise (sim.Scenarios).
const (
	// tracked: six standard deviations of what the clock is off with good pulses:
	// the receiver's wander (3 ns) and the estimate (5 ns).
	tracked = 40
	// slowBus: the same of a CM4, whose oscillator walks by 0.8 ppb per sqrt(s): 10
	// ns, as stamps come up to 0.25 s late.
	slowBus = 60
	// crystal: the same of pulses with 500 ns of jitter on a crystal that walks by
	// 3 ppb per sqrt(s): the estimate is good to some 250 ns.
	crystal = 1500
)

// held is the limit of a holdover of so long. After ten minutes the frequency
// is known to 1.2 ppb (flicker 0.6, white 2.5, estimate): five of that, over the
// time since the last estimate that counts, which may be 45 s older.
func held(d time.Duration) float64 { return tracked + 6*(d.Seconds()+45) }

// heldCrystal is the same for the crystal: it walks by 3 ppb per sqrt(s), which
// is 1.7 ns times the 3/2th power of the time; and five of that.
func heldCrystal(d time.Duration) float64 {
	return crystal + 5*1.7*math.Pow(d.Seconds()+45, 1.5)
}

// disciplined lets another program discipline the system clock.
func disciplined(s *sim.Scenario) { s.Engine.SystemDisciplined = func() bool { return true } }

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
	lock := func(at time.Duration) look { return look{at: at, state: status.Locked, reason: "disciplined"} }
	hold := func(at time.Duration, why string) look { return look{at: at, state: status.Holdover, reason: why} }
	unlocked := func(at time.Duration, why string) look { return look{at: at, state: status.Unlocked, reason: why} }
	faulty := func(at time.Duration, why string) look { return look{at: at, state: status.Faulty, reason: why} }
	return []faultRow{
		{"messages come 0.8 s late", "", late(800 * time.Millisecond), []look{lock(at)}, tracked, 30 * time.Second},
		{"a burst overlaps the next pulse", "", receiver(func(r *sim.ReceiverConfig) { r.Latency, r.Baud, r.InView = 700*time.Millisecond, 9600, 20 }), []look{lock(at)}, tracked, 30 * time.Second},
		{"a burst takes longer than its second", "", receiver(func(r *sim.ReceiverConfig) { r.Baud, r.InView, r.TIMTP = 4800, 40, false }), []look{lock(at)}, held(10 * time.Second), 120 * time.Second},
		{"messages become a second late", "", faults(fault(sim.LateSecond, at, 0, 0)), []look{hold(at+30*time.Second, "second_disputed"), faulty(at+3*minute, "second_disputed")}, held(minute), 30 * time.Second},
		// A receiver alone cannot show that all its messages are a second late from
		// the start. A witness can: TestWitnessesOfOurOwn.
		{"messages a second late from the start, a disciplined system clock contradicts", "", all(faults(fault(sim.LateSecond, 0, 0, 0)), disciplined),
			[]look{unlocked(at, "doubted: second_opposed")}, nowhere, 0},
		{"messages a second late from the start, TIM-TP contradicts", "", faults(fault(sim.LateSentences, 0, at, 0)),
			[]look{unlocked(at-time.Second, "doubted: second_named_otherwise"), lock(2 * at)}, tracked, at + minute},
		{"stale leap count at cold start", "", all(
			faults(fault(sim.Void, 0, 40*time.Second, 0), fault(sim.NoPulse, 0, 40*time.Second, 0), fault(sim.SecondOff, 0, 12*minute, 2)),
			func(s *sim.Scenario) { s.Config.Clock.System = -400 * time.Second },
		), []look{unlocked(5*minute, "doubted: leap_unconfirmed"), lock(20 * minute)}, tracked, 15 * minute},
		{"stale leap count, and a disciplined system clock contradicts", "", all(faults(fault(sim.SecondOff, 0, 12*minute, 2)), disciplined),
			[]look{lock(20 * minute)}, tracked, 15 * minute},
		{"rollover before the start", "", faults(fault(sim.WeekOff, 0, 0, -1024)), []look{lock(5 * minute)}, tracked, 30 * time.Second},
		{"rollover before the start, no other evidence", "", all(faults(fault(sim.WeekOff, 0, 0, -1024)), func(s *sim.Scenario) { s.Config.Clock.System = realtime }),
			[]look{unlocked(5*minute, "no_messages: message_rollover")}, nowhere, 0},
		{"rollover while running", "", faults(fault(sim.WeekOff, at, 0, -1024)), []look{lock(2 * at)}, tracked, 30 * time.Second},
		// Nothing but NMEA confirms the leap count: it is waited for 13 min.
		{"rollover while running, no other evidence", "", all(faults(fault(sim.WeekOff, 2*at, 0, -1024)), func(s *sim.Scenario) { s.Config.Clock.System = realtime }), []look{lock(3 * at)}, tracked, 14 * minute},
		{"era of 2036", "", func(s *sim.Scenario) { s.Config.Clock.Truth = builtin(2036, 2, 7, 6, 18, 0) }, []look{lock(2 * at)}, tracked, 30 * time.Second},
		{"every third sentence is lost", "", faults(fault(sim.LostMessages, 0, 0, 0.33)), []look{lock(at)}, tracked, 60 * time.Second},
		{"six sentences in ten are lost", "", faults(fault(sim.LostMessages, at, 0, 0.6)), []look{lock(2 * at)}, tracked, 30 * time.Second},
		{"messages are doubled", "", faults(fault(sim.DoubledMessages, 0, 0, 0)), []look{lock(at)}, tracked, 30 * time.Second},
		{"second 60, announced", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table, s.Config.Receiver.LeapWarn = invented, true
		}, []look{lock(2 * at)}, tracked, 30 * time.Second},
		{"second 60, from the table", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table, s.Engine.Settings.Table = invented, invented
		}, []look{lock(2 * at)}, tracked, 30 * time.Second},
		{"second 60, known only to the receiver", "", func(s *sim.Scenario) {
			s.Config.Clock.Truth = builtin(2026, 12, 31, 23, 50, 0)
			s.Config.Receiver.Table = invented
			s.Engine.Settings.Table = unannounced
		}, []look{lock(at - minute), faulty(2*at, "leap_contradicted")}, tracked, 30 * time.Second},
		{"both edges, 10 %, width configured", "", duty(100*time.Millisecond, false), []look{lock(at)}, tracked, 30 * time.Second},
		// Messages come 20 ms after the other edge, as they do on real receivers: that is no proof.
		{"both edges, 10 %, width not configured", "", duty(100*time.Millisecond, true), []look{unlocked(at, "doubted: ambiguous_edge")}, nowhere, 0},
		{"both edges, 50 %, width configured", "", duty(500*time.Millisecond, false), []look{unlocked(at, "no_pulse: ambiguous_edge")}, nowhere, 0},
		{"both edges, 50 %, width not configured", "", duty(500*time.Millisecond, true), []look{unlocked(at, "no_pulse: ambiguous_edge")}, nowhere, 0},
		{"both edges, 90 %, width configured", "", duty(900*time.Millisecond, false), []look{lock(at)}, tracked, 30 * time.Second},
		{"both edges, 50 %, from the middle on", "", func(s *sim.Scenario) {
			s.Config.Pulse.Width = 500 * time.Millisecond
			faults(fault(sim.BothEdges, at, 0, 0))(s)
		}, []look{lock(2 * at)}, held(10 * time.Second), 30 * time.Second},
		{"both edges, 50 %, width not configured, the system clock shows the second", "", all(duty(500*time.Millisecond, true), disciplined), []look{lock(at)}, tracked, 30 * time.Second},
		{"both edges, 10 %, width not configured, messages fit either edge", "", all(duty(100*time.Millisecond, true), late(300*time.Millisecond)),
			[]look{unlocked(at, "doubted: ambiguous_edge")}, nowhere, 0},
		{"both edges, 90 %, width not configured, messages fit either edge", "", duty(900*time.Millisecond, true), []look{unlocked(at, "doubted: ambiguous_edge")}, nowhere, 0},
		{"both edges, 90 %, width not configured, the system clock shows the second", "", all(duty(900*time.Millisecond, true), disciplined), []look{lock(at)}, tracked, 30 * time.Second},
		{"the wrong edge alone, and a disciplined system clock contradicts", "", all(faults(fault(sim.PulseJump, 0, 0, 100e6)), disciplined),
			[]look{unlocked(at, "doubted: ambiguous_edge")}, nowhere, 0},
		{"one pulse in five is wild", "", faults(fault(sim.WildPulse, 0, 0, 0.2)), []look{lock(at)}, held(10 * time.Second), 60 * time.Second},
		{"all pulses become wild", "", faults(fault(sim.WildPulse, at, 5*minute, 1)), []look{hold(at+2*minute, "missing_pulses"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"stamps are replayed", "", faults(fault(sim.ReplayPulse, 0, 0, 0)), []look{lock(at)}, tracked, 30 * time.Second},
		{"stamps are replayed, read late over a slow bus", "cm4-f9t", faults(fault(sim.ReplayPulse, at, 5*minute, 0)), []look{lock(2 * at)}, slowBus, 60 * time.Second},
		{"GPSDO without lock from the start", "", faults(fault(sim.Void, 0, 0, 0), fault(sim.PulseDrift, 0, 0, 3)), []look{unlocked(at, "void_messages")}, nowhere, 0},
		{"GPSDO pulses on without lock", "", faults(fault(sim.Void, at, 20*minute, 0), fault(sim.PulseDrift, at, 20*minute, 3)),
			[]look{hold(at+5*time.Second, "doubted: fix_lost"), hold(at+15*minute, "doubted: fix_lost"), lock(at + 25*minute)}, held(20 * minute), 30 * time.Second},
		{"antenna pulled, pulses drift 5 ns/s for 20 s before the receiver reports it", "", faults(fault(sim.PulseDrift, at, 5*minute, 5), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"antenna pulled, pulses drift 300 ns/s for 20 s before the receiver reports it", "", faults(fault(sim.PulseDrift, at, 5*minute, 300), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"antenna open as the receiver reports it", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.AntennaOpen, at, 5*minute, 0))),
			[]look{hold(at+2*time.Second, "doubted: antenna_open"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"spoofed by 1 s", "", faults(fault(sim.SecondOff, at, 5*minute, 1)), []look{hold(at+30*time.Second, "second_disputed"), faulty(at+3*minute, "second_disputed")}, held(minute), 30 * time.Second},
		{"spoofed by 1 s for half a minute", "", faults(fault(sim.SecondOff, at, 30*time.Second, 1)), []look{hold(at+20*time.Second, "second_disputed"), lock(2 * at)}, held(minute), 30 * time.Second},
		{"spoofed by 100 ns/s", "", faults(fault(sim.PulseDrift, at, 5*minute, 100)), []look{hold(at+30*time.Second, "doubted: reference_drift"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"spoofed, as the receiver reports it", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.Spoofing, at, 5*minute, 0), fault(sim.PulseDrift, at, 5*minute, 100))),
			[]look{hold(at+2*time.Second, "doubted: spoofing"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"pulses jump by 300 us", "", faults(fault(sim.PulseJump, at, 5*minute, 300e3)), []look{hold(at+30*time.Second, "pulse_jump"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"pulses jump by 5 us for ever", "", faults(fault(sim.PulseJump, 2*at, time.Hour, 5000)), []look{hold(2*at+30*time.Second, "pulse_jump"), lock(2*at + 2*minute), lock(4 * at)}, 5000 + held(minute), 30 * time.Second},
		{"pulses jump by 5 us and back", "", faults(fault(sim.PulseJump, 2*at, 5*minute, 5000)), []look{hold(2*at+30*time.Second, "pulse_jump"), lock(2*at + 7*minute), lock(4 * at)}, 5000 + held(minute), 30 * time.Second},
		{"a fixed antenna moves by 2 km", "", all(func(s *sim.Scenario) { s.Engine.Integrity.Receiver.Fixed = true }, faults(fault(sim.PositionJump, at, 5*minute, 2000))),
			[]look{hold(at+5*time.Second, "doubted: position_jump"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"a free antenna moves by 2 km", "", faults(fault(sim.PositionJump, at, 5*minute, 2000)), []look{lock(at + 5*time.Second), lock(2 * at)}, tracked, 30 * time.Second},
		{"fix lost, pulses good", "", faults(fault(sim.Void, at, 5*minute, 0)),
			[]look{hold(at+2*time.Second, "doubted: fix_lost"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"antenna short as the receiver reports it", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.AntennaShort, at, 5*minute, 0))),
			[]look{hold(at+2*time.Second, "doubted: antenna_short"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"messages and pulses stop", "", faults(fault(sim.Silence, at, 5*minute, 0), fault(sim.NoPulse, at, 5*minute, 0)),
			[]look{hold(at+5*time.Second, "missing_pulses"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"stamps come 0.25 s late over a slow bus", "cm4-f9t", nil, []look{lock(2 * at)}, slowBus, 60 * time.Second},
		{"a clock read in 222 us", "cm4-f9t", func(s *sim.Scenario) { s.Config.Clock.Width = 222 * time.Microsecond }, []look{lock(2 * at)}, slowBus, 60 * time.Second},
		{"steps that miss by up to 10 us", "", func(s *sim.Scenario) { s.Config.Clock.StepJitter = 10 * time.Microsecond }, []look{lock(at)}, tracked, 30 * time.Second},
		{"kernel pulses", "kernel-pps", nil, []look{lock(2 * at)}, crystal, 60 * time.Second},
		{"kernel pulses, spoofed by 100 ns/s", "kernel-pps", faults(fault(sim.PulseDrift, at, 5*minute, 100)),
			[]look{hold(at+minute, "doubted: reference_drift"), lock(at + 20*minute)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses, spoofed by 1 us/s", "kernel-pps", faults(fault(sim.PulseDrift, at, 5*minute, 1000)),
			[]look{hold(at+minute, "doubted: reference_drift"), lock(at + 20*minute)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses, antenna pulled, drift of 5 ns/s for 20 s before the receiver reports it", "kernel-pps", faults(fault(sim.PulseDrift, at, 5*minute, 5), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses, antenna pulled, drift of 300 ns/s for 20 s before the receiver reports it", "kernel-pps", faults(fault(sim.PulseDrift, at, 5*minute, 300), fault(sim.Void, at+20*time.Second, 5*minute-20*time.Second, 0)),
			[]look{hold(at+30*time.Second, "doubted: fix_lost"), lock(2 * at)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses jump by 300 us", "kernel-pps", faults(fault(sim.PulseJump, at, 5*minute, 300e3)), []look{hold(at+30*time.Second, "pulse_jump"), lock(2 * at)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses, all become wild", "kernel-pps", faults(fault(sim.WildPulse, at, 5*minute, 1)), []look{hold(at+2*minute, "pulse_jump"), lock(2 * at)}, heldCrystal(5 * minute), 60 * time.Second},
		{"kernel pulses, a second late from the start, a disciplined system clock contradicts", "kernel-pps", all(faults(fault(sim.LateSecond, 0, 0, 0)), disciplined),
			[]look{unlocked(at, "doubted: second_opposed")}, nowhere, 0},
		{"jammed", "", all(receiver(func(r *sim.ReceiverConfig) { r.Status = true }), faults(fault(sim.Jamming, at, 5*minute, 0))),
			[]look{hold(at+2*time.Second, "doubted: jamming"), lock(2 * at)}, held(5 * minute), 30 * time.Second},
		{"time jumps by an hour", "", faults(fault(sim.SecondOff, at, 5*minute, 3600)), []look{hold(at+30*time.Second, "second_disputed"), faulty(at+3*minute, "second_disputed")}, held(minute), 30 * time.Second},
	}
}
