package discipline

import (
	"fmt"
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// bursts adds late spikes of mean ns in seconds from a to b.
func (w *world) bursts(a, b int, p, mean float64) {
	old := w.noise
	w.noise = func(k int) float64 {
		if k >= a && k < b && w.r.Float64() < p {
			return old(k) + mean*w.r.ExpFloat64()
		}
		return old(k)
	}
}

// wander returns a receiver's slow error: first-order noise with time constant
// tau s and sigma ns, and a sine of amp ns (in an hour rather than a day).
func (w *world) wander(tau, sigma, amp float64) func(int) float64 {
	v := sigma * w.r.NormFloat64()
	return func(k int) float64 {
		v += -v/tau + sigma*math.Sqrt(2/tau)*w.r.NormFloat64()
		return v + amp*math.Sin(2*math.Pi*float64(k)/3600)
	}
}

// gap returns a hook without pulses in seconds from a to b.
func gap(a, b int) func(int) bool { return func(k int) bool { return k < a || k >= b } }

// none returns f without messages in seconds from a to b.
func none(a, b int, f func(int) []labelSpec) func(int) []labelSpec {
	return func(k int) []labelSpec {
		if k >= a && k < b {
			return nil
		}
		return f(k)
	}
}

// scenario is a whole run in virtual time, with limits on the true error.
type scenario struct {
	name  string
	cfg   Config
	set   func(w *world)
	until int
	from  int     // of the window for the limits, s
	rms   float64 // ns in the window
	max   float64 // ns in the window
	tight float64 // limit of bound over 99.9th percentile of the error, 0 = none
	slack int     // seconds after a jump in which the bound cannot contain it
	want  status.State
}

var scenarios = []scenario{
	{name: "cold start", until: 1500, from: 60, rms: 12, max: 60, tight: 5, want: status.Locked},
	{name: "clock years off", set: func(w *world) { w.big = -40 * 365 * 86400 * tai.Second }, until: 900, from: 60, rms: 12, max: 60, tight: 5, want: status.Locked},
	{name: "clock half a second off", set: func(w *world) { w.x = 499_999_000 }, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "oscillator 180 ppm off", set: func(w *world) { w.y = -180e3 }, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "late stamps", set: func(w *world) { w.delay = 250 * time.Millisecond }, until: 1500, from: 60, rms: 14, max: 80, tight: 5, want: status.Locked},
	{name: "drops", set: func(w *world) { w.present = func(int) bool { return w.r.Float64() > 0.05 } }, until: 1500, from: 60, rms: 14, max: 80, tight: 5, want: status.Locked},
	{name: "spikes", set: func(w *world) { w.white = 500; w.bursts(0, 1e9, 0.01, 10e3) }, until: 3600, from: 900, rms: 110, max: 500, tight: 5, want: status.Locked},
	{name: "burst of spikes", set: func(w *world) { w.bursts(1000, 1012, 1, 10e3) }, until: 1500, from: 60, rms: 14, max: 120, tight: 5, want: status.Locked},
	{name: "every third pulse a spike", set: func(w *world) { w.bursts(1000, 1300, 0.33, 10e3) }, until: 1800, from: 60, rms: 15, max: 120, want: status.Locked},
	{name: "spikes from the first pulse on", set: func(w *world) { w.bursts(0, 60, 0.3, 10e3) }, until: 1500, from: 240, rms: 14, max: 80, want: status.Locked},
	{name: "frequency jump within a burst of spikes", slack: 12, set: func(w *world) {
		w.bursts(590, 640, 0.25, 10e3)
		w.at[600] = func(w *world) { w.y += 300 }
	}, until: 1500, from: 700, rms: 14, max: 80, want: status.Locked},
	{name: "phase jump within a burst of spikes", slack: 12, set: func(w *world) {
		w.bursts(590, 640, 0.25, 10e3)
		w.at[600] = func(w *world) { w.x += 3000 }
	}, until: 1500, from: 800, rms: 14, max: 80, want: status.Locked},
	{name: "false edges", set: func(w *world) {
		w.noise = func(k int) float64 {
			if k > 30 && w.r.Float64() < 0.02 {
				return 50e6 * (2*w.r.Float64() - 1)
			}
			return 0
		}
	}, until: 1500, from: 60, rms: 13, max: 80, tight: 5, want: status.Locked},
	{name: "stray edges", set: func(w *world) {
		w.extra = func(int) []time.Duration {
			if w.r.Float64() < 0.2 {
				return []time.Duration{time.Duration(w.r.Float64() * 1e9)}
			}
			return nil
		}
	}, until: 1500, from: 90, rms: 13, max: 80, tight: 5, want: status.Locked},
	{name: "both edges, 10 %", cfg: Config{PulseWidth: 100 * time.Millisecond}, set: func(w *world) { w.extra = func(int) []time.Duration { return []time.Duration{100e6} } }, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "both edges, 90 %", cfg: Config{PulseWidth: 900 * time.Millisecond}, set: func(w *world) { w.extra = func(int) []time.Duration { return []time.Duration{900e6} } }, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "both edges, 50 %, clock known to 100 ms", cfg: Config{PulseWidth: 500 * time.Millisecond, ClockWithin: 100 * time.Millisecond}, set: func(w *world) { w.extra = func(int) []time.Duration { return []time.Duration{500e6} } }, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "both edges from the sixth minute on", set: func(w *world) {
		w.extra = func(k int) []time.Duration {
			if k < 300 {
				return nil
			}
			return []time.Duration{500e6}
		}
	}, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "both edges, pulse width unknown", set: func(w *world) { w.extra = func(int) []time.Duration { return []time.Duration{100e6} } }, until: 120, want: status.Acquiring},
	{name: "frequency jump", slack: 2, set: func(w *world) { w.at[600] = func(w *world) { w.y += 500 } }, until: 1500, from: 620, rms: 13, max: 80, want: status.Locked},
	{name: "temperature", set: func(w *world) {
		w.drift = func(k int) float64 {
			if k >= 600 && k < 660 {
				return 100.0 / 60
			}
			return 0
		}
	}, until: 1500, from: 60, rms: 14, max: 80, tight: 5, want: status.Locked},
	{name: "phase jump of the clock", slack: 2, set: func(w *world) {
		w.at[600] = func(w *world) { w.x -= 2000 }
	}, until: 900, from: 680, rms: 14, max: 80, want: status.Locked},
	{name: "spoofed by 30 ms for a while", set: func(w *world) {
		w.noise = func(k int) float64 {
			if k >= 600 && k < 900 {
				return 30e6
			}
			return 0
		}
	}, until: 1200, from: 60, rms: 3000, max: 10000, want: status.Locked},
	{name: "spoofed by 5 µs for a while", slack: 2, set: func(w *world) {
		w.noise = func(k int) float64 {
			if k >= 600 && k < 900 {
				return 5000
			}
			return 0
		}
	}, until: 1200, from: 60, rms: 4000, max: 7000, want: status.Locked},
	{name: "outage", set: func(w *world) { w.present = gap(600, 1200) }, until: 1500, from: 1210, rms: 14, max: 80, want: status.Locked},
	{name: "still out", set: func(w *world) { w.present = gap(600, 9999) }, until: 4200, from: 601, rms: 1e5, max: 1e6, want: status.Holdover},
	{name: "a second late for a while", set: func(w *world) {
		old := w.labels
		w.labels = func(k int) []labelSpec {
			l := old(k)
			if k >= 600 && k < 604 {
				for i := range l {
					l[i].shift = -1
				}
			}
			return l
		}
	}, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "one source wrong", set: func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := []labelSpec{{after: 150e6, source: "RMC"}, {after: 250e6, source: "ZDA"}}
			if k > 300 {
				l[1].shift = 1
			}
			return l
		}
	}, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "messages overlap the next pulse", set: func(w *world) {
		w.labels = func(int) []labelSpec {
			return []labelSpec{{after: 850e6, source: "RMC"}, {after: 1050e6, source: "ZDA"}}
		}
	}, until: 900, from: 60, rms: 12, max: 60, want: status.Locked},
	{name: "the second is disputed from then on", set: func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := []labelSpec{{after: 150e6, source: "RMC"}}
			if k > 600 {
				l[0].shift = 1
			}
			return l
		}
	}, until: 1100, want: status.Faulty},
	{name: "sources disagree from the start", set: func(w *world) {
		w.labels = func(int) []labelSpec {
			return []labelSpec{{after: 150e6, source: "RMC"}, {after: 250e6, source: "ZDA", shift: 1}}
		}
	}, until: 300, want: status.Acquiring},
	{name: "void from the start", set: func(w *world) {
		w.labels = func(int) []labelSpec { return []labelSpec{{after: 150e6, void: true}} }
	}, until: 300, want: status.Unlocked},
	{name: "pulses without messages", set: func(w *world) { w.labels = func(int) []labelSpec { return nil } }, until: 300, want: status.Unlocked},
	{name: "messages without pulses", set: func(w *world) { w.present = gap(0, 9999) }, until: 300, want: status.Unlocked},
	{name: "pi", cfg: Config{Servo: "pi"}, until: 1500, from: 300, rms: 35, max: 120, tight: 5, want: status.Locked},
	{name: "pi, outage", cfg: Config{Servo: "pi"}, set: func(w *world) { w.present = gap(600, 900) }, until: 1500, from: 1200, rms: 35, max: 120, want: status.Locked},
	{name: "TimeHAT", set: func(w *world) { w.wfm, w.rw, w.white = 2.5, 0.02, 0.2 }, until: 1800, from: 60, rms: 4, max: 20, tight: 5, want: status.Locked},
	{name: "CM4", set: func(w *world) { w.wfm, w.rw, w.white, w.delay = 2.8, 0.8, 0.2, 250*time.Millisecond }, until: 1800, from: 60, rms: 5, max: 25, tight: 5, want: status.Locked},
	{name: "i225", set: func(w *world) {
		w.wfm, w.rw, w.white = 2.5, 2.9, 0.24
		w.noise = func(int) float64 { return 21 * (2*w.r.Float64() - 1) } // sawtooth, not corrected
	}, until: 1800, from: 60, rms: 16, max: 80, tight: 5, want: status.Locked},
	{name: "TimeHAT, wandering receiver", set: func(w *world) {
		w.wfm, w.rw, w.white = 2.5, 0.02, 0.2
		w.noise = w.wander(3400, 3, 0)
	}, until: 1800, from: 60, rms: 9, max: 25, tight: 5, want: status.Locked},
	{name: "i225, wandering receiver", set: func(w *world) {
		w.wfm, w.rw, w.white = 2.5, 2.9, 0.24
		w.noise = w.wander(2200, 4.7, 7.5)
	}, until: 3600, from: 60, rms: 16, max: 50, tight: 5, want: status.Locked},
	{name: "crystal", set: func(w *world) {
		w.wfm, w.rw, w.white = 10, 3, 500
		w.bursts(0, 1e9, 0.003, 20e3)
	}, until: 3600, from: 300, rms: 250, max: 1200, tight: 5, want: status.Locked},
}

// TestScenarios: in each scenario the true error is within its limits and within
// the bound, and the bound is not needlessly wide.
func TestScenarios(t *testing.T) {
	t.Parallel()
	const seed = 1
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.cfg, seed)
			if c.set != nil {
				c.set(w)
			}
			w.run(0, max(c.from, 1))
			w.since()
			w.run(max(c.from, 1), c.until)
			s := w.c.Status()
			if s.State != c.want {
				t.Errorf("seed %d: state %v (%v), want %v; %v", seed, s.State, s.Reason, c.want, w.states)
			}
			if c.max != 0 {
				c.judge(t, w, seed)
			}
		})
	}
}

// judge checks the errors of a run.
func (c *scenario) judge(t *testing.T, w *world, seed int) {
	if len(w.offset) == 0 {
		t.Fatalf("seed %d: never locked in the window; %v", seed, w.states)
	}
	r, m, p := rms(w.offset), quantile(w.offset, 1), quantile(w.offset, 0.999)
	if r > c.rms || m > c.max {
		t.Errorf("seed %d: true error rms %.1f max %.1f ns, limits %.0f and %.0f; %v", seed, r, m, c.rms, c.max, w.states)
	}
	if b := quantile(w.bound, 0.5); c.tight > 0 && b > c.tight*p {
		t.Errorf("seed %d: bound %.0f ns is more than %.0f times the 99.9th percentile %.1f", seed, b, c.tight, p)
	}
	w.covered(c.slack)
	if w.c.st.State == status.Locked && len(w.steps) > 1 {
		t.Errorf("seed %d: stepped at %v", seed, w.steps)
	}
	if math.Abs(w.truthNS()) > 0.5e9 {
		t.Errorf("seed %d: wrong second, %v", seed, w.truthNS())
	}
}

var valid = []labelSpec{{after: 150e6, source: "RMC"}}

// transitions are sequences of states, each with its reason.
var transitions = []struct {
	name  string
	cfg   Config
	set   func(w *world)
	until int
	want  []string // the sequence of states, reasons included
}{
	{"starting to locked", Config{}, nil, 60,
		[]string{"unlocked no_messages", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"no step needed", Config{}, func(w *world) { w.x, w.y = -2e6+100, 0 }, 60,
		[]string{"unlocked no_messages", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"pulses first", Config{}, func(w *world) {
		w.labels = none(0, 20, func(int) []labelSpec { return valid })
	}, 60, []string{"unlocked no_messages", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"messages first", Config{}, func(w *world) { w.present = gap(0, 20) }, 60,
		[]string{"unlocked no_pulse", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"pulses stop while acquiring", Config{Confirm: 10}, func(w *world) { w.present = gap(5, 30) }, 90,
		[]string{"unlocked no_messages", "acquiring labelling", "unlocked no_pulse", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"messages stop while acquiring", Config{Confirm: 20}, func(w *world) {
		w.labels = none(10, 40, func(int) []labelSpec { return valid })
	}, 100, []string{"unlocked no_messages", "acquiring labelling", "unlocked no_messages", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"outage", Config{}, func(w *world) { w.present = gap(100, 200) }, 260,
		[]string{"locked disciplined", "holdover missing_pulses", "holdover returning", "locked disciplined"}},
	{"outage, again while returning", Config{Verify: 5}, func(w *world) {
		w.present = func(k int) bool { return k < 100 || k == 150 || k > 200 }
	}, 260, []string{"locked disciplined", "holdover missing_pulses", "holdover returning", "holdover missing_pulses", "holdover returning", "locked disciplined"}},
	{"messages stop", Config{}, func(w *world) { w.labels = none(100, 200, w.labels) }, 260,
		[]string{"locked disciplined", "holdover no_messages", "holdover returning", "locked disciplined"}},
	{"receiver loses its fix", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec { return []labelSpec{{after: 150e6, void: k >= 100 && k < 200}} }
	}, 260, []string{"locked disciplined", "holdover void_messages", "holdover returning", "locked disciplined"}},
	{"receiver unsure of its time", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := labelSpec{after: 150e6, tacc: 20}
			if k >= 100 && k < 200 {
				l.tacc = time.Millisecond
			}
			return []labelSpec{l}
		}
	}, 260, []string{"locked disciplined", "holdover void_messages", "holdover returning", "locked disciplined"}},
	{"alarm", Config{}, func(w *world) {
		w.at[100] = func(w *world) { w.c.Alarm(reason.ReceiverAntennaOpen, "", w.mono(w.now)) }
		w.at[200] = func(w *world) { w.c.Clear(w.mono(w.now)) }
	}, 260, []string{"locked disciplined", "holdover doubted", "holdover returning", "locked disciplined"}},
	{"alarm while acquiring", Config{Confirm: 20}, func(w *world) {
		w.at[10] = func(w *world) { w.c.Alarm(reason.ReceiverSpoofed, "", w.mono(w.now)) }
		w.at[60] = func(w *world) { w.c.Clear(w.mono(w.now)) }
	}, 120, []string{"acquiring labelling", "unlocked doubted", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"second disputed for half a minute", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := labelSpec{after: 150e6}
			if k >= 700 && k < 830 {
				l.shift = -1
			}
			return []labelSpec{l}
		}
	}, 900, []string{"locked disciplined", "holdover second_disputed", "holdover returning", "locked disciplined"}},
	{"second disputed for half a minute while it is provisional", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := labelSpec{after: 150e6}
			if k >= 100 && k < 130 {
				l.shift = -1
			}
			return []labelSpec{l}
		}
	}, 200, []string{"locked disciplined", "faulty second_disputed", "holdover returning", "locked disciplined"}},
	{"second disputed for longer than it had been agreed", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := labelSpec{after: 150e6}
			if k < 100 { // a receiver that did not know its leap count yet
				l.shift = 3
			}
			return []labelSpec{l}
		}
	}, 300, []string{"locked disciplined", "faulty second_disputed", "acquiring second_disputed", "acquiring verifying", "locked disciplined"}},
	{"a label every fifth second", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			if k%5 > 0 {
				return nil
			}
			return []labelSpec{{after: 150e6}}
		}
	}, 60, []string{"acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"every third label is lost", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			if k%3 == 0 {
				return nil
			}
			return []labelSpec{{after: 150e6}}
		}
	}, 60, []string{"acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"pulses elsewhere for longer than they had been here", Config{}, func(w *world) {
		w.refWrong = true
		w.noise = func(k int) float64 {
			if k < 100 { // pulses of a receiver that has not aligned them yet
				return 300e6
			}
			return 0
		}
	}, 300, []string{"locked disciplined", "holdover pulse_jump", "faulty pulse_jump", "acquiring pulse_jump", "acquiring verifying", "locked disciplined"}},
	{"pulses elsewhere for a while, then back", Config{}, func(w *world) {
		w.noise = func(k int) float64 {
			if k >= 200 && k < 250 {
				return 100e3
			}
			return 0
		}
	}, 300, []string{"locked disciplined", "faulty pulse_jump", "holdover returning", "locked disciplined"}},
	{"second disputed to faulty and back", Config{}, func(w *world) {
		w.labels = func(k int) []labelSpec {
			l := labelSpec{after: 150e6}
			if k >= 700 && k < 900 {
				l.shift = 5
			}
			return []labelSpec{l}
		}
	}, 960, []string{"holdover second_disputed", "faulty second_disputed", "holdover returning", "locked disciplined"}},
	{"clock jumps by 9 µs", Config{}, func(w *world) {
		w.at[200] = func(w *world) { w.x += 9e3 }
	}, 400, []string{"locked disciplined", "holdover pulse_jump", "holdover returning", "locked disciplined"}},
	{"pulses jump by 3 ms", Config{Limit: 5 * time.Microsecond}, func(w *world) {
		w.refWrong = true
		w.noise = func(k int) float64 {
			if k >= 200 {
				return 3e6
			}
			return 0
		}
	}, 1500, []string{"locked disciplined", "holdover pulse_jump", "acquiring pulse_jump", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"pulses jump by 30 ms and back", Config{}, func(w *world) {
		w.noise = func(k int) float64 {
			if k >= 200 && k < 230 {
				return 30e6
			}
			return 0
		}
	}, 300, []string{"locked disciplined", "holdover pulse_jump", "holdover returning", "locked disciplined"}},
	{"pulses jump while verifying", Config{Verify: 20}, func(w *world) {
		w.refWrong = true
		w.noise = func(k int) float64 {
			if k >= 10 {
				return 3e6
			}
			return 0
		}
	}, 100, []string{"acquiring verifying", "acquiring pulse_jump", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"another program steps the clock by 100 µs", Config{}, func(w *world) {
		w.at[200] = func(w *world) { w.x += 100e3 }
	}, 300, []string{"locked disciplined", "acquiring clock_stepped", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"another program steps the clock by seconds", Config{}, func(w *world) {
		w.at[200] = func(w *world) { w.x += 250e6; w.big += 3 * tai.Second }
	}, 300, []string{"locked disciplined", "acquiring clock_stepped", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"oscillator error exceeds the largest correction", Config{MaxFreqPPB: 5000}, nil, 60,
		[]string{"acquiring labelling", "acquiring freq_limit"}},
	{"ambiguous edges, then one", Config{}, func(w *world) {
		w.extra = func(k int) []time.Duration {
			if k < 50 {
				return []time.Duration{500e6}
			}
			return nil
		}
	}, 120, []string{"acquiring ambiguous_edge", "acquiring verifying", "locked disciplined"}},
	{"steps fail for a minute", Config{}, func(w *world) {
		w.stepFails = true
		w.at[60] = func(w *world) { w.stepFails = false }
	}, 120, []string{"acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"operator's reset", Config{}, func(w *world) {
		w.at[100] = func(w *world) { w.c.Reset(w.mono(w.now)) }
	}, 200, []string{"locked disciplined", "acquiring labelling", "acquiring verifying", "locked disciplined"}},
	{"too far off to slew after holdover", Config{}, func(w *world) {
		w.rw = 100
		w.present = gap(300, 1800)
		w.drift = func(k int) float64 {
			if k >= 300 && k < 1800 {
				return 3 // steady warming on top of the walk
			}
			return 0
		}
	}, 2000, []string{"locked disciplined", "holdover missing_pulses", "holdover returning", "acquiring offset_too_large", "acquiring verifying", "locked disciplined"}},
	{"long drift, slewed back", Config{}, func(w *world) {
		w.rw = 0.01
		w.present = gap(300, 1500)
		w.at[301] = func(w *world) { w.y += 3000 }
	}, 1700, []string{"locked disciplined", "holdover missing_pulses", "locked disciplined"}},
	{"holdover until the second is lost", Config{}, func(w *world) {
		w.rw, w.present = 300, gap(120, 9999)
	}, 16000, []string{"locked disciplined", "holdover missing_pulses", "acquiring holdover_spent"}},
}

// TestTransitions: states and their reasons follow each other as expected.
func TestTransitions(t *testing.T) {
	t.Parallel()
	for _, c := range transitions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.cfg, 1)
			if c.set != nil {
				c.set(w)
			}
			w.run(0, c.until)
			i := 0
			for _, s := range w.states {
				if i < len(c.want) && s == c.want[i] {
					i++
				}
			}
			if i < len(c.want) {
				t.Errorf("no %q (%d of the sequence) in %q", c.want[i], i, w.states)
			}
			if e := math.Abs(w.truthNS()); w.c.st.State == status.Locked && e > w.c.st.Bound && !w.refWrong {
				t.Errorf("locked %v ns off, bound %v", e, w.c.st.Bound)
			}
		})
	}
}

// TestNeverAWrongSecond: a tracked clock keeps its second whatever the messages
// name, and counts why they are refused.
func TestNeverAWrongSecond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shift int
		want  Reason
	}{{-1, LabelLate}, {1, LabelEarly}, {-10, LabelDiffers}, {619315200, LabelDiffers}, {-619315200, LabelDiffers}} {
		t.Run(fmt.Sprint(c.shift), func(t *testing.T) {
			w := newWorld(t, Config{}, 3)
			w.labels = func(k int) []labelSpec {
				l := []labelSpec{{after: 150e6, source: "RMC"}, {after: 250e6, source: "ZDA"}}
				if k >= 600 {
					l[0].shift, l[1].shift = c.shift, c.shift
				}
				return l
			}
			w.run(0, 1100)
			if len(w.steps) != 1 || math.Abs(w.truthNS()) > 1e6 {
				t.Errorf("steps at %v, off by %v ns", w.steps, w.truthNS())
			}
			s := w.c.Status()
			if s.Counts[c.want] < 100 || s.State != status.Faulty {
				t.Errorf("%v counted %d times, state %v", c.want, s.Counts[c.want], s.State)
			}
		})
	}
}

// TestConfirm: no step before the configured number of agreeing seconds.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, k := range []int{2, 3, 10} {
		w := newWorld(t, Config{Confirm: k}, 1)
		w.run(0, 60)
		if len(w.steps) != 1 || w.steps[0] < k-1 || w.steps[0] > k+2 {
			t.Errorf("confirm %d: stepped at %v", k, w.steps)
		}
	}
}
