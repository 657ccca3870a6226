package refclockd

import (
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Settings is a checked file with what was read besides it.
type Settings struct {
	File
	// Warnings are problems that do not keep the daemon from running.
	Warnings []string
	// LeapTables are the tables of leap seconds in order of trust, the built-in
	// one last. There is at least one.
	LeapTables []*tai.Table
	// Servers are the witnesses to be asked, in the order of the file.
	Servers []WitnessServer
	// SimStart is when a simulation begins, UTC; zero: now.
	SimStart time.Time
}

// Load reads and checks the file at path. All errors come at once, joined, each
// a *config.Error with line and key. If the file could be parsed, the settings
// are returned beside the errors of its values, for a program that examines a
// damaged file; only those without an error may be run.
func Load(path string) (*Settings, error) {
	s := &Settings{File: Default()}
	f, err := config.Load(path, &s.File)
	if err != nil {
		return nil, err
	}
	return s, s.check(f)
}

// check is the check of a file's values.
type check struct {
	*config.Checker
	*Settings
}

func (s *Settings) check(f *config.File) error {
	c := &check{config.NewChecker(f), s}
	c.directories()
	c.receiver()
	c.pulse()
	c.clock()
	c.discipline()
	c.ntp()
	c.sim()
	c.compared()
	c.export()
	c.followers()
	c.witnesses()
	s.Log.Check(c.Checker)
	if c.Good() {
		if err := s.DisciplineConfig().Check(); err != nil {
			c.Refuse("discipline", "%w; want values as in configs/refclockd.toml", err)
		}
	}
	if s.Metrics.Exposed() {
		s.warn("metrics.listen: %v can be read by other machines", s.Metrics.Listen)
	}
	c.proof()
	c.leapTables()
	return c.Err()
}

func (c *check) directories() {
	for _, d := range [...]struct{ key, path string }{{"runtime_dir", c.RuntimeDir}, {"state_dir", c.StateDir}} {
		c.Require(filepath.IsAbs(d.path), d.key, "%q is not an absolute path; want one that begins with /", d.path)
	}
	c.Require(c.Record == "" || filepath.IsAbs(c.Record), "record", "%q is not an absolute path; want one that begins with /, or \"\" to record nothing", c.Record)
	c.Require(c.RecordLimit >= 1 && c.RecordLimit <= 1e6, "record_limit", "%d is out of range; want 1 to 1000000 MB", c.RecordLimit)
}

func (c *check) clock() {
	c.OneOf("clock.source", c.Clock.Source, "phc", "sim", "system", "none")
	c.Require(c.Clock.Source != "phc" || c.Clock.Device != "", "clock.device", `is empty; name an interface, such as "eth0", or a clock, such as "/dev/ptp0"`)
	max, step := c.Clock.MaxFreqPPB, c.Clock.FreqStepPPB
	c.Require(max >= 0 && max <= 1e9, "clock.max_freq_ppb", "%v is not a frequency limit; want ppb, or 0 for the device's own", max)
	c.Require(step >= 0 && step <= 10_000, "clock.freq_step_ppb", "%v is not a frequency step of a card; want ppb, 0 to 10000, such as 61.035, or 0 for the kernel's value", step)
	c.Require(step == 0 || c.Clock.Source == "phc", "clock.freq_step_ppb", "is not used with clock.source = %q; leave it out", c.Clock.Source)
}

func (c *check) discipline() {
	d := c.Discipline
	c.OneOf("discipline.servo", d.Servo, "kalman", "pi")
	c.Within("discipline.step_threshold", d.StepThreshold, 0, time.Second)
	c.Within("discipline.holdover_limit", d.HoldoverLimit, time.Microsecond, time.Second)
	c.Within("discipline.systematic_error", d.SystematicError, 0, time.Millisecond)
	t := c.Oscillator.Temperature
	c.Require(t == "" || filepath.IsAbs(t), "oscillator.temperature",
		"%q is not an absolute path; name a sensor's file such as \"/sys/class/hwmon/hwmon0/temp1_input\", or leave it empty", t)
}

func (c *check) ntp() {
	c.Require(c.NTP.Stratum >= 1 && c.NTP.Stratum <= 15, "ntp.stratum", "%d is not a stratum to serve; want 1 to 15 (1 with a receiver of your own)", c.NTP.Stratum)
	printable := !strings.ContainsFunc(c.NTP.RefID, func(r rune) bool { return r <= ' ' || r > '~' })
	c.Require(len(c.NTP.RefID) >= 1 && len(c.NTP.RefID) <= 4 && printable, "ntp.refid", "%q is not a reference ID; want one to four ASCII characters, such as \"GPS\"", c.NTP.RefID)
}

func (c *check) sim() {
	c.OneOf("sim.oscillator", c.Sim.Oscillator, "tcxo", "ocxo", "crystal")
	c.Within("sim.pulse_jitter", c.Sim.PulseJitter, 0, time.Millisecond)
	c.Require(math.Abs(c.Sim.FreqOffsetPPB) <= 100_000, "sim.freq_offset_ppb", "%v is out of range; want -100000 to 100000", c.Sim.FreqOffsetPPB)
	if c.Sim.Start == "now" {
		return
	}
	t, err := time.Parse(time.RFC3339, c.Sim.Start)
	c.Require(err == nil && t.Nanosecond() == 0, "sim.start", "%q is not a start; want \"now\" or a full second such as \"2026-11-23T12:00:00Z\"", c.Sim.Start)
	c.SimStart = t
	if c.Clock.Source == "sim" && t.Before(c.Receiver.NotBefore.Time) {
		c.Receiver.NotBefore.Time = t // a simulation may play in the past
	}
}

// ClockKind is the kind of the clock that is steered.
func (s *Settings) ClockKind() status.ClockKind {
	return map[string]status.ClockKind{"phc": status.PHCClock, "system": status.SystemClock, "sim": status.SimClock}[s.Clock.Source]
}

// ClockName names the clock that is steered, in logs and snapshots.
func (s *Settings) ClockName() string {
	if s.Clock.Source == "phc" {
		return s.Clock.Device
	}
	return s.Clock.Source
}

// DisciplineConfig is what the discipline is made from.
func (s *Settings) DisciplineConfig() discipline.Config {
	return discipline.Config{
		Servo: s.Discipline.Servo, MaxFreqPPB: s.Clock.MaxFreqPPB, PulseWidth: s.Pulse.Width.Duration,
		StepOver: s.Discipline.StepThreshold.Duration, Limit: s.Discipline.HoldoverLimit.Duration, Systematic: s.Discipline.SystematicError.Duration,
	}
}

// EngineSettings are the settings that a running engine takes over.
func (s *Settings) EngineSettings() refclock.Settings {
	return refclock.Settings{
		Table: s.LeapTables[0], Tables: s.LeapTables[1:],
		Bias: s.Pulse.Bias.Duration, Cable: s.Pulse.CableDelay(), NoSawtooth: !s.Pulse.Sawtooth,
	}
}

// SimConfig is the configuration of the virtual appliance.
func (s *Settings) SimConfig() sim.Config {
	c, _ := sim.Kind(s.Sim.Oscillator)
	c.Clock.Noise.OffsetPPB = s.Sim.FreqOffsetPPB
	c.Pulse.JitterNS = float64(s.Sim.PulseJitter.Duration)
	c.Clock.Seed, c.Pulse.Seed, c.Receiver.Seed = s.Sim.Seed*3+1, s.Sim.Seed*3+2, s.Sim.Seed*3+3
	c.Receiver.Table = s.LatestLeapTable()
	return c
}

// ReloadedKeys are the keys that a running daemon takes over; all others need a
// restart.
func ReloadedKeys() []string {
	return []string{"log.level", "leap.file", "leap.zone", "pulse.bias", "pulse.cable", "pulse.cable_length", "pulse.velocity_factor", "pulse.sawtooth"}
}

// NeedsRestart reports whether another key than ReloadedKeys differs.
func (s *Settings) NeedsRestart(running *Settings) bool {
	return !reflect.DeepEqual(s.withoutReloaded(), running.withoutReloaded())
}

// withoutReloaded returns the file with the zero value for ReloadedKeys.
func (s *Settings) withoutReloaded() File {
	f := s.File
	f.Log.Level, f.Leap.File, f.Leap.Zone = "", "", ""
	f.Pulse.Bias, f.Pulse.Cable, f.Pulse.CableLength, f.Pulse.Velocity = config.Duration{}, config.Duration{}, 0, 0
	f.Pulse.Sawtooth = false
	return f
}

// RequiresWitness reports whether the clock is not to be locked before a
// witness agrees.
func (s *Settings) RequiresWitness() bool {
	return slices.ContainsFunc(s.Servers, func(w WitnessServer) bool { return w.Required })
}
