package sim

import (
	"fmt"
	"sort"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
)

// Scenario is a run with a name.
type Scenario struct {
	Name     string
	About    string
	Duration time.Duration
	Config   Config
	Engine   refclock.Config
	Actions  []Action
}

// Loop returns the scenario's loop, ready to run, for a seed.
func (s Scenario) Loop(seed uint64) (*Loop, error) {
	c := s.Config
	c.Clock.Seed, c.Pulse.Seed, c.Receiver.Seed = seed*3+1, seed*3+2, seed*3+3
	if c.Sensor != nil {
		x := *c.Sensor
		x.Seed = seed
		c.Sensor = &x
	}
	return NewLoop(c, s.Engine, s.Actions...)
}

// date returns an instant of UTC as TAI.
func date(t *tai.Table, y, mo, d, h, mi, s int) tai.Time {
	x, err := t.FromUTC(y, mo, d, h, mi, s, 0)
	if err != nil {
		panic(err) // a constant of this file
	}
	return x
}

// The builds are those of real hardware: oscillators and receivers as satpulse
// measured them (configs/syncsim, 2026). The kernel PPS row is assumed.

func timeHAT() Config {
	return Config{
		Clock: phctest.Config{
			Noise: phctest.Noise{OffsetPPB: 2300, WhitePPB: 2.5, FlickerPPB: 0.6, WalkPPB: 0.02},
			Start: 31 * 365 * 24 * -time.Hour, MaxPPB: 62_499_999,
		},
		Pulse:    PulseConfig{JitterNS: 0.2, SawtoothNS: 7.86, WanderNS: 3, WanderS: 3400, AnyEdge: true},
		Receiver: ReceiverConfig{Baud: 38400, TIMTP: true},
	}
}

func cm4() Config {
	c := timeHAT()
	c.Clock.Noise = phctest.Noise{OffsetPPB: -4100, WhitePPB: 2.8, FlickerPPB: 1.3, WalkPPB: 0.8}
	c.Clock.Width, c.Clock.Resolution = 110*time.Microsecond, 8
	c.Pulse.Delay, c.Pulse.DelayJitter = time.Millisecond, 249*time.Millisecond
	return c
}

func i225() Config {
	c := timeHAT()
	c.Clock.Noise = phctest.Noise{OffsetPPB: 5200, WhitePPB: 2.5, WalkPPB: 2.9}
	c.Pulse = PulseConfig{JitterNS: 0.24, SawtoothNS: 21, WanderNS: 4.7, WanderS: 2200, Day: 7.5, HalfDay: 2.5, AnyEdge: true}
	return c
}

func kernel() Config {
	return Config{
		Clock: phctest.Config{
			Noise: phctest.Noise{OffsetPPB: 12000, WhitePPB: 10, FlickerPPB: 3, WalkPPB: 3},
			Start: -40 * time.Second, MaxPPB: 500_000, Width: 800 * time.Nanosecond,
			System: 3 * time.Millisecond, SystemNoise: phctest.Noise{OffsetPPB: -7000, WhitePPB: 10, FlickerPPB: 3, WalkPPB: 1},
		},
		Pulse: PulseConfig{JitterNS: 500, SpikeP: 0.002, SpikeMeanNS: 8000, SpikeMaxNS: 20000, Bias: 11700 * time.Nanosecond,
			System: true, Delay: 60 * time.Microsecond, DelayJitter: 200 * time.Microsecond},
		Receiver: ReceiverConfig{Baud: 9600},
	}
}

// oven is an oscillator in an oven, as cards for holdover have it (assumed
// figures), that is still new and ages.
func oven() Config {
	c := timeHAT()
	c.Clock.Noise = phctest.Noise{OffsetPPB: 80, WhitePPB: 0.05, FlickerPPB: 0.02, WalkPPB: 0.0005, AgeingPPB: 2}
	return c
}

// warm is the TimeHAT's TCXO where day and night are 12 K apart, and a door is
// opened a quarter of an hour after the pulses end.
func warm(sensor bool) Config {
	c := timeHAT()
	c.Clock.Noise.SwingPPB, c.Clock.Noise.SwingS = 60, 86400
	c.Clock.Noise.Ramps = []phctest.Ramp{{At: 24.25 * 3600, Over: 1200, PPB: -50}}
	if sensor {
		c.Sensor = &Sensor{PPBPerK: 10, LagS: 120, NoiseC: 0.05, StepC: 0.125, BaseC: 42}
	}
	return c
}

// Scenarios returns the named scenarios in the order of their names.
func Scenarios() []Scenario {
	tb := tai.Builtin()
	start := date(tb, 2026, 11, 23, 9, 30, 0)
	leaps := tb.With(tai.Leap{UTC: 1798761600, Offset: 38}) // invented: 2026-12-31
	all := []Scenario{
		{Name: "timehat-f9t", About: "i226 with TCXO and ZED-F9T, external timestamps", Duration: 2 * time.Hour, Config: timeHAT()},
		{Name: "cm4-f9t", About: "CM4 and ZED-F9T: slow reads, stamps up to 0.25 s late", Duration: 2 * time.Hour, Config: cm4()},
		{Name: "i225-m8t", About: "i225-T1 and LEA-M8T, external timestamps", Duration: 2 * time.Hour, Config: i225()},
		{Name: "kernel-pps", About: "kernel PPS on a crystal (assumed figures)", Duration: 2 * time.Hour, Config: kernel()},
		{Name: "cold-start", About: "a receiver without a fix for five minutes, then with one", Duration: time.Hour, Config: timeHAT()},
		{Name: "antenna-pulled", About: "pulses drift for 20 s before the receiver says so, then come back", Duration: time.Hour, Config: timeHAT()},
		{Name: "spoof-jump", About: "pulses move by 5 us and labels by 3 s, together, for 10 min", Duration: time.Hour, Config: timeHAT()},
		{Name: "spikes", About: "one pulse in twenty is late by up to 50 us", Duration: time.Hour, Config: timeHAT()},
		{Name: "both-edges", About: "the card stamps both edges of the pulse", Duration: time.Hour, Config: timeHAT()},
		{Name: "leap-second", About: "a leap second is inserted, announced by table and receiver", Duration: time.Hour, Config: timeHAT()},
		{Name: "rollover", About: "the receiver falls back by 1024 weeks while it runs", Duration: time.Hour, Config: timeHAT()},
		{Name: "era", About: "the NTP era ends on 2036-02-07", Duration: time.Hour, Config: timeHAT()},
		{Name: "frequency-step", About: "the oscillator jumps by 200 ppb", Duration: time.Hour, Config: timeHAT()},
		{Name: "holdover-24h", About: "four hours of pulses, then a day without", Duration: 29 * time.Hour, Config: timeHAT()},
		{Name: "ageing", About: "four days with an oven that ages by 2 ppb a day, then a day without pulses", Duration: 121 * time.Hour, Config: oven()},
		{Name: "temperature", About: "a day's swing of 60 ppb, a sensor beside the oscillator; then four hours without pulses while it cools", Duration: 29 * time.Hour, Config: warm(true)},
		{Name: "temperature-blind", About: "the same without a sensor", Duration: 29 * time.Hour, Config: warm(false)},
		{Name: "device-vanishing", About: "the clock vanishes for a minute, the receiver for two", Duration: time.Hour, Config: timeHAT()},
	}
	for i := range all {
		s := &all[i]
		s.Config.Clock.Truth = start
		p, r := &s.Config.Pulse, &s.Config.Receiver
		f := func(k FaultKind, at, dur time.Duration, amount float64) Fault {
			return Fault{Kind: k, At: at, For: dur, Amount: amount}
		}
		both := func(fs ...Fault) { p.Faults, r.Faults = append(p.Faults, fs...), append(r.Faults, fs...) }
		switch s.Name {
		case "kernel-pps":
			s.Engine.Settings.Bias = 11700 * time.Nanosecond
		case "cold-start":
			both(f(Void, 0, 5*time.Minute, 0), f(NoPulse, 0, 5*time.Minute, 0))
		case "antenna-pulled":
			at := 30 * time.Minute
			both(f(PulseDrift, at, 10*time.Minute, 5), f(Void, at+20*time.Second, 10*time.Minute-20*time.Second, 0))
		case "spoof-jump":
			both(f(PulseJump, 30*time.Minute, 10*time.Minute, 5000), f(SecondOff, 30*time.Minute, 10*time.Minute, 3))
		case "spikes":
			p.SpikeP, p.SpikeMeanNS, p.SpikeMaxNS = 0.05, 10000, 50000
		case "both-edges":
			both(f(BothEdges, 0, 0, 0))
		case "leap-second":
			s.Config.Clock.Truth = date(tb, 2026, 12, 31, 23, 20, 0)
			r.Table, r.LeapWarn = leaps, true
		case "rollover":
			both(f(WeekOff, 30*time.Minute, 0, -1024))
		case "era":
			s.Config.Clock.Truth = date(tb, 2036, 2, 7, 6, 0, 0)
		case "frequency-step":
			s.Config.Clock.Noise.Ramps = []phctest.Ramp{{At: 1800, PPB: 200}}
		case "holdover-24h":
			both(f(NoPulse, 4*time.Hour, 24*time.Hour, 0), f(Void, 4*time.Hour, 24*time.Hour, 0))
		case "ageing":
			both(f(NoPulse, 96*time.Hour, 24*time.Hour, 0), f(Void, 96*time.Hour, 24*time.Hour, 0))
		case "temperature", "temperature-blind":
			both(f(NoPulse, 24*time.Hour, 4*time.Hour, 0), f(Void, 24*time.Hour, 4*time.Hour, 0))
		case "device-vanishing":
			s.Actions = []Action{
				{20 * time.Minute, func(l *Loop) { l.App.Clock.SetGone(true) }},
				{21 * time.Minute, func(l *Loop) { l.App.Clock.SetGone(false) }},
			}
			both(f(Silence, 40*time.Minute, 2*time.Minute, 0), f(NoPulse, 40*time.Minute, 2*time.Minute, 0))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("no scenario %q", name)
}

// Kind returns the virtual appliance with an oscillator of the given kind:
// tcxo, ocxo or crystal. False if there is no such kind.
func Kind(oscillator string) (Config, bool) {
	c := timeHAT()
	c.Clock.Width = 600 * time.Nanosecond // a card on PCI Express
	c.Pulse = PulseConfig{JitterNS: 20}
	c.Receiver = ReceiverConfig{Baud: 38400}
	switch oscillator {
	case "tcxo":
	case "ocxo":
		c.Clock.Noise = phctest.Noise{OffsetPPB: 80, WhitePPB: 0.2, FlickerPPB: 0.05, WalkPPB: 0.001}
	case "crystal":
		c.Clock.Noise = phctest.Noise{OffsetPPB: 12000, WhitePPB: 10, FlickerPPB: 3, WalkPPB: 3}
	default:
		return c, false
	}
	return c, true
}
