package simulate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/sim"
)

// maxDuration is the longest run: virtual time costs real time.
const maxDuration = 400 * 24 * time.Hour

// scenarioFile is a scenario as a TOML file. Keys that are left out have the
// values of the scenario named by base.
type scenarioFile struct {
	Base     string          `toml:"base"`
	Duration config.Duration `toml:"duration"`
	Start    string          `toml:"start"`
	Clock    struct {
		Offset     config.Duration `toml:"offset"`
		OffsetPPB  float64         `toml:"freq_offset_ppb"`
		WhitePPB   float64         `toml:"white_fm_ppb"`
		FlickerPPB float64         `toml:"flicker_fm_ppb"`
		WalkPPB    float64         `toml:"random_walk_fm_ppb"`
		AgeingPPB  float64         `toml:"ageing_ppb_per_day"`
		Width      config.Duration `toml:"read_width"`
		Ramp       []struct {
			At   config.Duration `toml:"at"`
			Over config.Duration `toml:"over"`
			PPB  float64         `toml:"ppb"`
		} `toml:"ramp"`
	} `toml:"clock"`
	Pulse struct {
		JitterNS   float64         `toml:"jitter_ns"`
		SawtoothNS float64         `toml:"sawtooth_ns"`
		WanderNS   float64         `toml:"wander_ns"`
		WanderTau  config.Duration `toml:"wander_tau"`
		SpikeP     float64         `toml:"spike_probability"`
		SpikeNS    float64         `toml:"spike_mean_ns"`
		SpikeMaxNS float64         `toml:"spike_max_ns"`
		DropP      float64         `toml:"drop_probability"`
		FalseP     float64         `toml:"false_edge_probability"`
		Bias       config.Duration `toml:"bias"`
	} `toml:"pulse"`
	Receiver struct {
		Baud  int  `toml:"baud"`
		TIMTP bool `toml:"tim_tp"`
	} `toml:"receiver"`
	Fault []struct {
		Kind   string          `toml:"kind"`
		At     config.Duration `toml:"at"`
		For    config.Duration `toml:"for"`
		Amount float64         `toml:"amount"`
	} `toml:"fault"`
}

// ErrScenario is the error of a name that no scenario has.
var ErrScenario = errors.New("no such scenario")

// FindScenario returns the scenario of a name, or of a file whose name ends in
// ".toml". The error is ErrScenario or one of package config.
func FindScenario(name string) (sim.Scenario, error) {
	if !strings.HasSuffix(name, ".toml") {
		s, err := sim.Find(name)
		if err != nil {
			return s, fmt.Errorf("%w: %q; -scenario list shows the names", ErrScenario, name)
		}
		return s, nil
	}
	var c scenarioFile
	f, err := config.Load(name, &c)
	if err != nil {
		return sim.Scenario{}, err
	}
	if c.Base == "" {
		c.Base = "timehat-f9t"
	}
	s, err := sim.Find(c.Base)
	if err != nil {
		return s, f.Errorf("base", "%w; want a name that refclockctl simulate -scenario list shows", err)
	}
	s.Name = name
	return s, c.apply(f, &s)
}

// apply sets in s what the file sets.
func (c *scenarioFile) apply(f *config.File, s *sim.Scenario) error {
	num := func(key string, dst *float64, v float64) {
		if f.Has(key) {
			*dst = v
		}
	}
	dur := func(key string, dst *time.Duration, v config.Duration) {
		if f.Has(key) {
			*dst = v.Duration
		}
	}
	k, p := &s.Config.Clock, &s.Config.Pulse
	dur("duration", &s.Duration, c.Duration)
	dur("clock.offset", &k.Start, c.Clock.Offset)
	num("clock.freq_offset_ppb", &k.Noise.OffsetPPB, c.Clock.OffsetPPB)
	num("clock.white_fm_ppb", &k.Noise.WhitePPB, c.Clock.WhitePPB)
	num("clock.flicker_fm_ppb", &k.Noise.FlickerPPB, c.Clock.FlickerPPB)
	num("clock.random_walk_fm_ppb", &k.Noise.WalkPPB, c.Clock.WalkPPB)
	num("clock.ageing_ppb_per_day", &k.Noise.AgeingPPB, c.Clock.AgeingPPB)
	dur("clock.read_width", &k.Width, c.Clock.Width)
	num("pulse.jitter_ns", &p.JitterNS, c.Pulse.JitterNS)
	num("pulse.sawtooth_ns", &p.SawtoothNS, c.Pulse.SawtoothNS)
	num("pulse.wander_ns", &p.WanderNS, c.Pulse.WanderNS)
	num("pulse.wander_tau", &p.WanderS, c.Pulse.WanderTau.Seconds())
	num("pulse.spike_probability", &p.SpikeP, c.Pulse.SpikeP)
	num("pulse.spike_mean_ns", &p.SpikeMeanNS, c.Pulse.SpikeNS)
	num("pulse.spike_max_ns", &p.SpikeMaxNS, c.Pulse.SpikeMaxNS)
	num("pulse.drop_probability", &p.DropP, c.Pulse.DropP)
	num("pulse.false_edge_probability", &p.EMIP, c.Pulse.FalseP)
	dur("pulse.bias", &p.Bias, c.Pulse.Bias)
	if f.Has("receiver.baud") {
		s.Config.Receiver.Baud = c.Receiver.Baud
	}
	if f.Has("receiver.tim_tp") {
		s.Config.Receiver.TIMTP = c.Receiver.TIMTP
	}
	for _, r := range c.Clock.Ramp {
		k.Noise.Ramps = append(k.Noise.Ramps, phctest.Ramp{At: r.At.Seconds(), Over: r.Over.Seconds(), PPB: r.PPB})
	}
	return errors.Join(c.applyStart(f, k), c.applyFaults(f, s), checkDuration(f, s.Duration))
}

func (c *scenarioFile) applyStart(f *config.File, k *phctest.Config) error {
	if c.Start == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, c.Start)
	if err != nil || t.Nanosecond() != 0 || t.Year() < 1980 || t.Year() > 2200 {
		return f.Errorf("start", "%q is no start; want a full second such as \"2026-11-23T12:00:00Z\"", c.Start)
	}
	k.Truth = tai.FromUnix(t.Unix(), 0, tai.Builtin().OffsetUTC(t.Unix()))
	return nil
}

// applyFaults gives each fault to both the pulses and the receiver: the kind
// says which of them it concerns.
func (c *scenarioFile) applyFaults(f *config.File, s *sim.Scenario) error {
	p, r := &s.Config.Pulse, &s.Config.Receiver
	for i, x := range c.Fault {
		y := sim.Fault{At: x.At.Duration, For: x.For.Duration, Amount: x.Amount}
		if err := y.Kind.UnmarshalText([]byte(x.Kind)); err != nil {
			return f.Errorf(fmt.Sprintf("fault[%d].kind", i), "%w", err)
		}
		p.Faults, r.Faults = append(p.Faults, y), append(r.Faults, y)
	}
	return nil
}

func checkDuration(f *config.File, d time.Duration) error {
	if d <= 0 || d > maxDuration {
		return f.Errorf("duration", "%v is out of range; want more than 0 and at most 400 days", d)
	}
	return nil
}
