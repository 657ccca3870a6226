package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/daemon"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// defaultConfig is read when -config does not name another file.
const defaultConfig = "/etc/noonmark/refclockd.toml"

// file is the configuration file.
type file struct {
	RuntimeDir string               `toml:"runtime_dir"`
	StateDir   string               `toml:"state_dir"`
	Receiver   receiverConfig       `toml:"receiver"`
	Pulse      pulseConfig          `toml:"pulse"`
	Clock      clockConfig          `toml:"clock"`
	Discipline disciplineConfig     `toml:"discipline"`
	Oscillator oscillatorConfig     `toml:"oscillator"`
	Leap       leapConfig           `toml:"leap"`
	NTP        ntpConfig            `toml:"ntp"`
	Log        daemon.LogConfig     `toml:"log"`
	Metrics    daemon.MetricsConfig `toml:"metrics"`
	Sim        simConfig            `toml:"sim"`

	Export      exportConfig      `toml:"export"`
	SystemClock systemClockConfig `toml:"system_clock"`
	PHC         []phcConfig       `toml:"phc"`
	Witness     []witnessConfig   `toml:"witness"`
}

type receiverConfig struct {
	Device    string      `toml:"device"`
	Baud      any         `toml:"baud"` // a number, or "auto"
	Protocol  string      `toml:"protocol"`
	NotBefore config.Date `toml:"not_before"`
	Rollover  string      `toml:"rollover"`

	Fixed         bool    `toml:"fixed"`
	PositionLimit float64 `toml:"position_limit"`

	Configure      bool            `toml:"configure"`
	ConfigureBaud  int             `toml:"configure_baud"`
	USB            bool            `toml:"usb"`
	Save           bool            `toml:"save"`
	Systems        []string        `toml:"systems"`
	Position       []float64       `toml:"position"`
	Survey         config.Duration `toml:"survey"`
	SurveyAccuracy float64         `toml:"survey_accuracy"`
}

type pulseConfig struct {
	Source   string          `toml:"source"`
	Device   string          `toml:"device"`
	Edge     string          `toml:"edge"`
	Pin      int             `toml:"pin"`
	Channel  int             `toml:"channel"`
	Width    config.Duration `toml:"width"`
	Bias     config.Duration `toml:"bias"`
	Cable    config.Duration `toml:"cable"`
	Length   float64         `toml:"cable_length"`
	Velocity float64         `toml:"velocity_factor"`
	Sawtooth bool            `toml:"sawtooth"`
	Compare  []compareConfig `toml:"compare"`
}

type clockConfig struct {
	Source     string  `toml:"source"`
	Device     string  `toml:"device"`
	MaxFreqPPB float64 `toml:"max_freq_ppb"`
	StepPPB    float64 `toml:"freq_step_ppb"`
}

type disciplineConfig struct {
	Servo         string          `toml:"servo"`
	StepThreshold config.Duration `toml:"step_threshold"`
	HoldoverLimit config.Duration `toml:"holdover_limit"`
	Systematic    config.Duration `toml:"systematic_error"`
}

type oscillatorConfig struct {
	Temperature string `toml:"temperature"`
}

type leapConfig struct {
	File  string `toml:"file"`
	Zone  string `toml:"zone"`
	Prove bool   `toml:"prove"`
}

type ntpConfig struct {
	RefID   string `toml:"refid"`
	Stratum int    `toml:"stratum"`
}

type simConfig struct {
	Seed          uint64          `toml:"seed"`
	Oscillator    string          `toml:"oscillator"`
	FreqOffsetPPB float64         `toml:"freq_offset_ppb"`
	PulseJitter   config.Duration `toml:"pulse_jitter"`
	ReceiverPTY   bool            `toml:"receiver_pty"`
	Start         string          `toml:"start"`
}

// defaults are the values of keys that the file leaves out.
func defaults() file {
	return file{
		RuntimeDir: filepath.Dir(status.DefaultPath),
		StateDir:   "/var/lib/refclock",
		Receiver: receiverConfig{Device: "/dev/ttyAMA0", Baud: int64(9600), Protocol: "auto", NotBefore: config.Date{Time: gnss.BuildDate()},
			Rollover: "correct", PositionLimit: 100, SurveyAccuracy: 3},
		Pulse:       pulseConfig{Source: "kernel", Device: "/dev/pps0", Edge: "rising", Velocity: pps.SolidVelocity, Sawtooth: true},
		Clock:       clockConfig{Source: "phc", Device: "eth0"},
		Discipline:  disciplineConfig{Servo: "kalman", HoldoverLimit: config.D(100 * time.Microsecond)},
		Leap:        leapConfig{File: "/usr/share/zoneinfo/leap-seconds.list", Zone: "/usr/share/zoneinfo/right/UTC"},
		NTP:         ntpConfig{RefID: "GPS", Stratum: 1},
		Export:      exportConfig{SHMUnit: -1},
		SystemClock: systemClockConfig{Mode: "off", Step: "acquiring", StepThreshold: config.D(time.Millisecond)},
		Sim:         simConfig{Seed: 1, Oscillator: "tcxo", FreqOffsetPPB: 2300, PulseJitter: config.D(20 * time.Nanosecond), ReceiverPTY: true, Start: "now"},
	}
}

// settings is the configuration, checked and typed.
type settings struct {
	file
	edge     phc.Edges
	kedge    pps.KernelEdge
	refid    [4]byte
	kind     status.ClockKind
	disc     discipline.Config
	tables   []*tai.Table // of leap seconds, in order of trust
	table    *tai.Table   // the one that ends last
	inForce  *leapTable
	warnings []string
	simStart time.Time // zero: now

	rates     []int // at which the receiver may be
	watch     integrity.ReceiverConfig
	setup     *gnss.Setup // nil: the receiver is left as it is
	steps     follow.Steps
	witnesses []witness
}

// load reads and checks the configuration file at path. All complaints come
// at once.
func load(path string) (*settings, error) {
	s := &settings{file: defaults()}
	f, err := config.Load(path, &s.file)
	if err != nil {
		return nil, err
	}
	return s, s.check(f)
}

// oscillators are the kinds that [sim] knows.
var oscillators = []string{"tcxo", "ocxo", "crystal"}

func (s *settings) check(f *config.File) error {
	var errs []error
	bad := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	need := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, f.Errorf(key, format, args...))
		}
	}
	between := func(key string, d config.Duration, lo, hi time.Duration) {
		need(d.Duration >= lo && d.Duration <= hi, key, "%v is out of range; want %v to %v", d, lo, hi)
	}
	for _, d := range [...]struct{ key, dir string }{{"runtime_dir", s.RuntimeDir}, {"state_dir", s.StateDir}} {
		need(filepath.IsAbs(d.dir), d.key, "%q is no absolute path; give one that begins with /", d.dir)
	}
	bad(s.checkReceiver(f))
	bad(f.OneOf("receiver.protocol", s.Receiver.Protocol, "auto", "nmea", "ubx"))
	bad(f.OneOf("pulse.source", s.Pulse.Source, "kernel", "extts", "sim", "none"))
	bad(f.OneOf("clock.source", s.Clock.Source, "phc", "sim", "system", "none"))
	bad(f.OneOf("discipline.servo", s.Discipline.Servo, "kalman", "pi"))
	bad(f.OneOf("sim.oscillator", s.Sim.Oscillator, oscillators...))
	need((s.Pulse.Source == "sim") == (s.Clock.Source == "sim") || s.Pulse.Source == "none", "pulse.source",
		"%q with clock.source %q; the simulated pulse belongs to the simulated clock: set both to \"sim\" or neither", s.Pulse.Source, s.Clock.Source)
	need(s.Pulse.Source != "extts" || s.Clock.Source == "phc", "pulse.source",
		"\"extts\" needs clock.source = \"phc\": it is that clock that stamps the pulse")
	need(s.Clock.Source == "sim" || s.Receiver.Device != "", "receiver.device", "is empty; name the receiver's port, such as \"/dev/ttyAMA0\"")
	need(s.Pulse.Source != "kernel" || s.Pulse.Device != "", "pulse.device", "is empty; name a PPS device, such as \"/dev/pps0\"")
	need(s.Clock.Source != "phc" || s.Clock.Device != "", "clock.device", "is empty; name an interface, such as \"eth0\", or a clock, such as \"/dev/ptp0\"")
	bad(wrap(f, "pulse.edge", s.edgeOf()))
	need(s.Pulse.Pin >= -1 && s.Pulse.Pin < 64, "pulse.pin", "%d is no pin; want 0 or more, or -1 to leave the card's pins as they are", s.Pulse.Pin)
	need(s.Pulse.Channel >= 0 && s.Pulse.Channel < 64, "pulse.channel", "%d is no channel; want 0 or more", s.Pulse.Channel)
	between("pulse.width", s.Pulse.Width, 0, 999*time.Millisecond)
	between("pulse.bias", s.Pulse.Bias, -10*time.Millisecond, 10*time.Millisecond)
	bad(checkCable(f, "pulse.", s.Pulse.Cable, s.Pulse.Length, s.Pulse.Velocity))
	between("discipline.step_threshold", s.Discipline.StepThreshold, 0, time.Second)
	between("discipline.holdover_limit", s.Discipline.HoldoverLimit, time.Microsecond, time.Second)
	need(s.Oscillator.Temperature == "" || filepath.IsAbs(s.Oscillator.Temperature), "oscillator.temperature",
		"%q is no absolute path; name a sensor's file such as \"/sys/class/hwmon/hwmon0/temp1_input\", or leave it empty", s.Oscillator.Temperature)
	between("discipline.systematic_error", s.Discipline.Systematic, 0, time.Millisecond)
	need(s.Clock.MaxFreqPPB >= 0 && s.Clock.MaxFreqPPB <= 1e9 && !math.IsNaN(s.Clock.MaxFreqPPB), "clock.max_freq_ppb", "%v is no frequency limit; want ppb, or 0 for the device's own", s.Clock.MaxFreqPPB)
	need(s.Clock.StepPPB >= 0 && s.Clock.StepPPB <= 10_000, "clock.freq_step_ppb", "%v is no step of a card's frequency; want ppb, 0 to 10000, such as 61.035; 0 for what the kernel knows", s.Clock.StepPPB)
	need(s.Clock.StepPPB == 0 || s.Clock.Source == "phc", "clock.freq_step_ppb", "is of no use with clock.source = %q; leave it out", s.Clock.Source)
	need(s.NTP.Stratum >= 1 && s.NTP.Stratum <= 15, "ntp.stratum", "%d is no stratum to serve; want 1 to 15 (1 with a receiver of one's own)", s.NTP.Stratum)
	need(len(s.NTP.RefID) >= 1 && len(s.NTP.RefID) <= 4 && printable(s.NTP.RefID), "ntp.refid", "%q is no reference identifier; want one to four ASCII characters, such as \"GPS\"", s.NTP.RefID)
	between("sim.pulse_jitter", s.Sim.PulseJitter, 0, time.Millisecond)
	need(math.Abs(s.Sim.FreqOffsetPPB) <= 100_000, "sim.freq_offset_ppb", "%v is out of range; want -100000 to 100000", s.Sim.FreqOffsetPPB)
	if s.Sim.Start != "now" {
		t, err := time.Parse(time.RFC3339, s.Sim.Start)
		need(err == nil && t.Nanosecond() == 0, "sim.start", "%q is no start; want \"now\" or a full second such as \"2026-11-23T12:00:00Z\"", s.Sim.Start)
		s.simStart = t
		if s.Clock.Source == "sim" && t.Before(s.Receiver.NotBefore.Time) {
			s.Receiver.NotBefore.Time = t // a simulation may play in the past
		}
	}
	bad(s.checkCompare(f))
	bad(s.checkOutputs(f))
	bad(s.Log.Check(f))
	copy(s.refid[:], s.NTP.RefID)
	s.kind = map[string]status.ClockKind{"phc": status.PHCClock, "system": status.SystemClock, "sim": status.SimClock}[s.Clock.Source]
	s.disc = discipline.Config{
		Servo: s.Discipline.Servo, MaxFreqPPB: s.Clock.MaxFreqPPB, PulseWidth: s.Pulse.Width.Duration,
		StepOver: s.Discipline.StepThreshold.Duration, Limit: s.Discipline.HoldoverLimit.Duration, Systematic: s.Discipline.Systematic.Duration,
	}
	if len(errs) == 0 {
		bad(wrap(f, "discipline", s.disc.Check()))
	}
	if s.Metrics.Exposed() {
		s.warnings = append(s.warnings, fmt.Sprintf("metrics.listen: %v can be read by others", s.Metrics.Listen))
	}
	bad(s.leaps(f))
	return errors.Join(errs...)
}

// wrap puts file and line to an error.
func wrap(f *config.File, key string, err error) error {
	if err == nil {
		return nil
	}
	return f.Errorf(key, "%w", err)
}

func (s *settings) edgeOf() error {
	if err := s.kedge.UnmarshalText([]byte(s.Pulse.Edge)); err != nil {
		return err
	}
	s.edge = phc.Rising
	if s.kedge == pps.Clear {
		s.edge = phc.Falling
	}
	return nil
}

// leapTable is the table of leap seconds that the engine counts with.
type leapTable struct{ atomic.Pointer[tai.Table] }

// offset returns TAI - UTC in s for a reading of CLOCK_REALTIME in ns.
func (t *leapTable) offset(real int64) int { return t.Load().OffsetUTC(real / 1e9) }

// leaps reads the tables of leap seconds in their order of trust, the one built
// in last. What is missing or old is a warning; what is damaged an error, but
// for a zone file that nobody has named.
func (s *settings) leaps(f *config.File) error {
	var errs []error
	s.tables = nil
	for _, x := range [...]struct {
		key, path string
		read      func([]byte, string) (*tai.Table, error)
		mend      string
	}{
		{"leap.file", s.Leap.File, func(b []byte, name string) (*tai.Table, error) {
			return tai.ParseLeapSeconds(bytes.NewReader(b), name)
		}, "fetch it anew, or set it to \"\" to do without"},
		{"leap.zone", s.Leap.Zone, tai.ParseTZif, "want a zone of right/, as the package tzdata or tzdata-legacy has it, or \"\" to do without"},
	} {
		if x.path == "" {
			continue
		}
		b, err := os.ReadFile(x.path)
		if errors.Is(err, fs.ErrNotExist) && !f.Has(x.key) {
			continue
		}
		if err != nil {
			s.warnings = append(s.warnings, fmt.Sprintf("%s: %v; it has no say about leap seconds", x.key, err))
			continue
		}
		t, err := x.read(b, x.path)
		switch {
		case err == nil:
			s.tables = append(s.tables, t)
		case x.key == "leap.zone" && !f.Has(x.key):
			s.warnings = append(s.warnings, fmt.Sprintf("leap.zone: %v; it has no say about leap seconds", err))
		default:
			errs = append(errs, f.Errorf(x.key, "%w; %s", err, x.mend))
		}
	}
	s.tables = append(s.tables, tai.Builtin())
	s.table = s.tables[0]
	s.inForce = new(leapTable)
	s.inForce.Store(s.table)
	valid := 0
	for _, t := range s.tables {
		if t.Expires.After(s.table.Expires) {
			s.table = t
		}
		if time.Now().Before(t.Expires) {
			valid++
		} else if !t.Expires.IsZero() && len(s.tables) > 1 {
			s.warnings = append(s.warnings, fmt.Sprintf("leap: %s expired on %s; it has no say any more: a newer one should be fetched", t.Source, t.Expires.Format(time.DateOnly)))
		}
	}
	if valid == 0 {
		s.warnings = append(s.warnings, "leap: no table of leap seconds is in date; the receiver's announcements count alone")
	}
	return errors.Join(errs...)
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// checkCable checks the delay of an antenna cable, given as such or by length
// and velocity factor; prefix is that of its keys.
func checkCable(f *config.File, prefix string, delay config.Duration, metres, factor float64) error {
	switch {
	case delay.Duration < 0 || delay.Duration > 100*time.Microsecond:
		return f.Errorf(prefix+"cable", "%v is out of range; want 0s to 100us", delay)
	case !(metres >= 0 && metres <= 10_000):
		return f.Errorf(prefix+"cable_length", "%v is out of range; want metres, 0 to 10000", metres)
	case !(factor >= 0.3 && factor <= 1):
		return f.Errorf(prefix+"velocity_factor", "%v is no velocity factor; want 0.3 to 1, such as 0.66 (RG-58) or 0.85 (LMR-400)", factor)
	case delay.Duration != 0 && metres != 0:
		return f.Errorf(prefix+"cable_length", "%v and %scable = %q; give the delay or the length, not both", metres, prefix, delay)
	}
	return nil
}

// cable is the delay that checkCable has found good.
func cable(delay config.Duration, metres, factor float64) time.Duration {
	return delay.Duration + pps.CableDelay(metres, factor)
}

// live are the settings that a running engine takes.
func (s *settings) live() refclock.Settings {
	return refclock.Settings{Table: s.tables[0], Tables: s.tables[1:], Bias: s.Pulse.Bias.Duration, Cable: cable(s.Pulse.Cable, s.Pulse.Length, s.Pulse.Velocity), NoSawtooth: !s.Pulse.Sawtooth}
}

// fixed returns the file's values without those that a reload can change.
func (s *settings) fixed() file {
	f := s.file
	f.Log.Level, f.Leap.File, f.Leap.Zone = "", "", ""
	f.Pulse.Bias, f.Pulse.Cable, f.Pulse.Sawtooth = config.Duration{}, config.Duration{}, false
	f.Pulse.Length, f.Pulse.Velocity = 0, 0
	return f
}

// appliance returns the configuration of the virtual appliance.
func (s *settings) appliance() sim.Config {
	c, _ := sim.Kind(s.Sim.Oscillator)
	c.Clock.Noise.OffsetPPB = s.Sim.FreqOffsetPPB
	c.Pulse.JitterNS = float64(s.Sim.PulseJitter.Duration)
	c.Clock.Seed, c.Pulse.Seed, c.Receiver.Seed = s.Sim.Seed*3+1, s.Sim.Seed*3+2, s.Sim.Seed*3+3
	c.Receiver.Table = s.table
	return c
}
