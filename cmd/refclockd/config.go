package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/cmd/internal/config"
	"noonmark/cmd/internal/daemon"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/gnss"
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
	Sawtooth bool            `toml:"sawtooth"`
	Compare  []compareConfig `toml:"compare"`
}

type clockConfig struct {
	Source     string  `toml:"source"`
	Device     string  `toml:"device"`
	MaxFreqPPB float64 `toml:"max_freq_ppb"`
}

type disciplineConfig struct {
	Servo         string          `toml:"servo"`
	StepThreshold config.Duration `toml:"step_threshold"`
	HoldoverLimit config.Duration `toml:"holdover_limit"`
	Systematic    config.Duration `toml:"systematic_error"`
}

type leapConfig struct {
	File string `toml:"file"`
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
		Pulse:       pulseConfig{Source: "kernel", Device: "/dev/pps0", Edge: "rising", Sawtooth: true},
		Clock:       clockConfig{Source: "phc", Device: "eth0"},
		Discipline:  disciplineConfig{Servo: "kalman", HoldoverLimit: config.D(100 * time.Microsecond)},
		Leap:        leapConfig{File: "/usr/share/zoneinfo/leap-seconds.list"},
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
	table    *tai.Table
	warnings []string
	simStart time.Time // zero: now

	rates     []int // at which the receiver may be
	watch     gnss.WatchConfig
	setup     *gnss.Setup // nil: the receiver is left as it is
	steps     refclock.Steps
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
	between("pulse.cable", s.Pulse.Cable, 0, 100*time.Microsecond)
	between("discipline.step_threshold", s.Discipline.StepThreshold, 0, time.Second)
	between("discipline.holdover_limit", s.Discipline.HoldoverLimit, time.Microsecond, time.Second)
	between("discipline.systematic_error", s.Discipline.Systematic, 0, time.Millisecond)
	need(s.Clock.MaxFreqPPB >= 0 && s.Clock.MaxFreqPPB <= 1e9 && !math.IsNaN(s.Clock.MaxFreqPPB), "clock.max_freq_ppb", "%v is no frequency limit; want ppb, or 0 for the device's own", s.Clock.MaxFreqPPB)
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

// leaps reads the leap table: the newer of the file's and the one built in. A
// missing or old file is a warning; a damaged one is an error.
func (s *settings) leaps(f *config.File) error {
	s.table = tai.Builtin()
	if s.Leap.File == "" {
		return nil
	}
	r, err := os.Open(s.Leap.File)
	if errors.Is(err, fs.ErrNotExist) && !f.Has("leap.file") {
		return nil
	}
	if err != nil {
		s.warnings = append(s.warnings, fmt.Sprintf("leap.file: %v; the table built in is used", err))
		return nil
	}
	defer r.Close()
	t, err := tai.ParseLeapSeconds(r, s.Leap.File)
	if err != nil {
		return f.Errorf("leap.file", "%w; fetch it anew, or set it to \"\" for the table built in", err)
	}
	if t.Expires.After(s.table.Expires) {
		s.table = t
	}
	if now := time.Now(); s.table.Expired(tai.FromUnix(now.Unix(), 0, s.table.Offset(tai.FromUnix(now.Unix(), 0, 37)))) {
		s.warnings = append(s.warnings, fmt.Sprintf("leap.file: %s expired on %s; a newer one should be fetched", s.table.Source, s.table.Expires.Format(time.DateOnly)))
	}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// live are the settings that a running engine takes.
func (s *settings) live() refclock.Settings {
	return refclock.Settings{Table: s.table, Bias: s.Pulse.Bias.Duration, Cable: s.Pulse.Cable.Duration, NoSawtooth: !s.Pulse.Sawtooth}
}

// fixed returns the file's values without those that a reload can change.
func (s *settings) fixed() file {
	f := s.file
	f.Log.Level, f.Leap.File = "", ""
	f.Pulse.Bias, f.Pulse.Cable, f.Pulse.Sawtooth = config.Duration{}, config.Duration{}, false
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
