package refclockd

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Settings is a checked file with what was read besides it.
type Settings struct {
	File
	// Place returns FILE:LINE: KEY of a key, for errors that show while the daemon
	// runs.
	Place func(key string) string
	// Warnings are problems that do not keep the daemon from running.
	Warnings []string
	// LeapTables are the tables of leap seconds in order of trust, the built-in
	// one last. There is at least one.
	LeapTables []*tai.Table
	// Servers are the witnesses to be asked, in the order of the file.
	Servers []WitnessServer
	// SimStart is when a simulation begins, UTC; zero: now.
	SimStart time.Time
	// SimFaults are what goes wrong with the virtual appliance.
	SimFaults []sim.Fault

	damaged []string // files of leap tables that could not be read
}

// Load reads and checks the file at path. All errors come at once, joined, each
// a *config.Error with line and key. If the file could be parsed, the settings
// are returned beside the errors of its values, for a program that examines a
// damaged file; only those without an error may be run.
func Load(path string) (*Settings, error) {
	s := &Settings{File: Default()}
	f, err := config.Load(path, &s.File)
	if f == nil {
		return nil, err
	}
	s.Place = f.Place
	return s, s.check(f, err)
}

// check is the check of a file's values.
type check struct {
	*config.Checker
	*Settings
}

func (s *Settings) check(f *config.File, found error) error {
	c := &check{config.NewChecker(f), s}
	c.Add(found)
	if f.Empty() {
		s.warn("%s sets no key; this assumes a receiver at %s, pulses at %s and the clock of %s: copy the file of your role from configs/", f.Path, s.Receiver.Device, s.Pulse.Device, s.Clock.Device)
	}
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
	c.fleet()
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
	c.Require(c.History.MaxSize >= 10 && c.History.MaxSize <= 1e6, "history.max_size", "%d is out of range; want 10 to 1000000 MB", c.History.MaxSize)
	c.Require(c.RecordLimit >= 1 && c.RecordLimit <= 1e6, "record_limit", "%d is out of range; want 1 to 1000000 MB", c.RecordLimit)
}

func (c *check) clock() {
	c.OneOf("clock.source", c.Clock.Source, "phc", "sim", "system", "none")
	c.Require(c.Clock.Source != "phc" || c.Clock.Device != "", "clock.device", `is empty; name an interface, such as "eth0", or a clock, such as "/dev/ptp0"`)
	max, step := c.Clock.MaxFreqPPB, c.Clock.FreqStepPPB
	c.Require(max >= 0 && max <= 1e9, "clock.max_freq_ppb", "%v is not a frequency limit; want ppb, 0 to 1000000000; 0 is the device's own", max)
	c.Require(step >= 0 && step <= 10_000, "clock.freq_step_ppb", "%v is not a frequency step of a card; want ppb, 0 to 10000, such as 61.035, or 0 for the kernel's value", step)
	c.Require(step == 0 || c.Clock.Source == "phc", "clock.freq_step_ppb", "is not used with clock.source = %q; leave it out", c.Clock.Source)
}

func (c *check) discipline() {
	d := c.Discipline
	c.OneOf("discipline.servo", d.Servo, "kalman", "pi")
	c.Within("discipline.step_threshold", d.StepThreshold, 0, discipline.DefaultSlewWithin)
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
	c.simFaults()
	c.OneOf("sim.oscillator", c.Sim.Oscillator, "tcxo", "ocxo", "crystal")
	c.OneOf("sim.receiver", c.Sim.Receiver, "ublox", "nmea")
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
	ublox := s.Sim.Receiver == "ublox"
	c.Receiver.Sky, c.Receiver.Status, c.Receiver.Version = ublox, ublox, ublox
	c.Pulse.Faults, c.Receiver.Faults = s.SimFaults, s.SimFaults
	return c
}

// simFaults reads [[sim.fault]].
func (c *check) simFaults() {
	for i, f := range c.Sim.Fault {
		key := fmt.Sprintf("sim.fault[%d]", i)
		var k sim.FaultKind
		if err := k.UnmarshalText([]byte(f.Kind)); err != nil {
			c.OneOf(key+".kind", f.Kind, sim.FaultNames()...)
		}
		c.Require(f.At.Duration >= 0, key+".at", "%v is before the start; want 0s or later", f.At)
		c.Require(f.For.Duration >= 0, key+".for", "%v is negative; want how long it lasts, or 0s to the end", f.For)
		c.SimFaults = append(c.SimFaults, sim.Fault{Kind: k, At: f.At.Duration, For: f.For.Duration, Amount: f.Amount})
	}
}

// ReloadedKeys are the keys that a running daemon takes over; all others need a
// restart.
func ReloadedKeys() []string {
	return []string{"log.level", "leap.file", "leap.zone", "pulse.bias", "pulse.cable", "pulse.cable_length", "pulse.velocity_factor", "pulse.sawtooth"}
}

// Changes lists the keys that differ from those of a running daemon.
func (s *Settings) Changes(running *Settings) config.Changes {
	return config.Compare(s.File, running.File, ReloadedKeys())
}

// NeedsCapability returns the key that needs a capability; not ok if none does.
func (s *Settings) NeedsCapability() (key string, c privileges.Capability, ok bool) {
	switch c = privileges.SysTime; {
	case s.Clock.Source == "system":
		return "clock.source", c, true
	case s.SystemClock.Mode == "discipline":
		return "system_clock.mode", c, true
	}
	return "pulse.edge", c, s.capturesClear()
}

// Capabilities are those that the daemon needs as long as it runs. The error names
// the key that needs one which the process does not have, if nothing works without
// it.
func (s *Settings) Capabilities() (need []privileges.Capability, err error) {
	_, c, ok := s.NeedsCapability()
	if !ok {
		return nil, nil
	}
	if s.Clock.Source == "system" && !privileges.Has(privileges.SysTime) {
		err = fmt.Errorf("%s: \"system\" needs %v, which this process does not have (%w); start it with systemctl start refclockd, whose unit gives it (systemctl cat refclockd shows a drop-in that takes it away), or as root",
			s.Place("clock.source"), privileges.SysTime, fs.ErrPermission)
	}
	return []privileges.Capability{c}, err
}

// RuntimeDirError turns an error of publishing in runtime_dir into one with place and
// remedy.
func RuntimeDirError(s *Settings, err error) error {
	const unit = "the unit makes /run/refclock, the default, and lets refclockd write only there and to /var/lib/refclock"
	err = fmt.Errorf("%s: %w", s.Place("runtime_dir"), err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w; the user that refclockd runs as cannot write there: %s", err, unit)
	case errors.Is(err, syscall.EROFS):
		err = fmt.Errorf("%w; %s: name a folder there, or add ReadWritePaths= for another one", err, unit)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w; name a folder that can be made: %s", err, unit)
	}
	return exitcode.With(exitcode.ErrUnavailable, err)
}

// RequiresWitness reports whether the clock is not to be locked before a
// witness agrees.
func (s *Settings) RequiresWitness() bool {
	return slices.ContainsFunc(s.Servers, func(w WitnessServer) bool { return w.Required })
}
