// Package refclockd is the configuration of refclockd: the keys of its file,
// their defaults and checks, and the typed settings that its parts are made
// from. It is the only copy; every program that reads the file uses it.
//
// Each key is documented in configs/refclockd.toml, whose values are the
// defaults here.
package refclockd

import (
	"path/filepath"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/history"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/status"
)

// DefaultPath is where the daemon reads its file when no other is named.
const DefaultPath = "/etc/noonmark/refclockd.toml"

// File is the configuration file.
type File struct {
	RuntimeDir  string         `toml:"runtime_dir"`
	StateDir    string         `toml:"state_dir"`
	Record      string         `toml:"record"`       // folder; empty: nothing is recorded
	RecordLimit int            `toml:"record_limit"` // MB
	Fleet       string         `toml:"fleet"`        // file; empty: none
	Receiver    Receiver       `toml:"receiver"`
	Pulse       Pulse          `toml:"pulse"`
	Clock       Clock          `toml:"clock"`
	Discipline  Discipline     `toml:"discipline"`
	Oscillator  Oscillator     `toml:"oscillator"`
	Leap        Leap           `toml:"leap"`
	NTP         NTP            `toml:"ntp"`
	Witness     []Witness      `toml:"witness"`
	SystemClock SystemClock    `toml:"system_clock"`
	PHC         []FollowingPHC `toml:"phc"`
	Export      Export         `toml:"export"`
	History     History        `toml:"history"`
	Log         config.Log     `toml:"log"`
	Metrics     config.Metrics `toml:"metrics"`
	Sim         Sim            `toml:"sim"`
}

// Receiver is [receiver]: the port, which messages are accepted, and how
// the receiver itself is configured.
type Receiver struct {
	Device    string      `toml:"device"`
	Baud      any         `toml:"baud"` // int64, or "auto"
	Protocol  string      `toml:"protocol"`
	NotBefore config.Date `toml:"not_before"`
	Rollover  string      `toml:"rollover"`

	Fixed         bool    `toml:"fixed"`
	PositionLimit float64 `toml:"position_limit"` // m

	Configure      bool            `toml:"configure"`
	ConfigureBaud  int             `toml:"configure_baud"`
	USB            bool            `toml:"usb"`
	Save           bool            `toml:"save"`
	Systems        []string        `toml:"systems"`
	Position       []float64       `toml:"position"` // latitude and longitude in degrees, height in m
	Survey         config.Duration `toml:"survey"`
	SurveyAccuracy float64         `toml:"survey_accuracy"` // m

	TimeScale   gnss.TimeScale  `toml:"time_scale"`
	LabelOffset config.Duration `toml:"label_offset"`

	MinConfidence  gnss.Confidence `toml:"min_confidence"`
	ConfigurePulse bool            `toml:"configure_pulse"`
}

// Pulse is [pulse]: the pulse that steers the clock, and those compared with it.
type Pulse struct {
	PulseInput
	Sawtooth bool            `toml:"sawtooth"`
	Compare  []ComparedPulse `toml:"compare"`
}

// ComparedPulse is a [[pulse.compare]]: a pulse that never steers the clock.
type ComparedPulse struct {
	Name string `toml:"name"` // empty: made from the input
	PulseInput
	Limit       config.Duration `toml:"limit"`
	Independent bool            `toml:"independent"`
}

// PulseInput is where a pulse comes in, and how late it is there.
type PulseInput struct {
	Source      string          `toml:"source"`
	Device      string          `toml:"device"`
	Edge        pps.KernelEdge  `toml:"edge"`
	Pin         int             `toml:"pin"`
	Channel     int             `toml:"channel"`
	Width       config.Duration `toml:"width"`
	Bias        config.Duration `toml:"bias"` // positive: stamps are late
	Cable       config.Duration `toml:"cable"`
	CableLength float64         `toml:"cable_length"`    // m
	Velocity    float64         `toml:"velocity_factor"` // of light
}

// Clock is [clock]: the clock that is steered.
type Clock struct {
	Source      string  `toml:"source"`
	Device      string  `toml:"device"`
	MaxFreqPPB  float64 `toml:"max_freq_ppb"`
	FreqStepPPB float64 `toml:"freq_step_ppb"`
}

// Discipline is [discipline].
type Discipline struct {
	Servo           string          `toml:"servo"`
	StepThreshold   config.Duration `toml:"step_threshold"`
	HoldoverLimit   config.Duration `toml:"holdover_limit"`
	SystematicError config.Duration `toml:"systematic_error"`
}

// Oscillator is [oscillator].
type Oscillator struct {
	Temperature string `toml:"temperature"` // a sensor's file
}

// Leap is [leap]: the tables of leap seconds.
type Leap struct {
	File  string `toml:"file"`
	Zone  string `toml:"zone"`
	Prove any    `toml:"prove"` // a word of leap.ProofNames; a boolean is deprecated
}

// NTP is [ntp]: what NTP servers tell their clients about the reference.
type NTP struct {
	RefID   string `toml:"refid"`
	Stratum int    `toml:"stratum"`
}

// ID returns the reference ID as NTP has it.
func (n NTP) ID() (id [4]byte) {
	copy(id[:], n.RefID)
	return id
}

// Witness is a [[witness]]: a time server that is asked for its opinion.
type Witness struct {
	Address   string          `toml:"address"`
	NTS       *bool           `toml:"nts"` // nil: true
	CA        string          `toml:"ca"`
	MaxOffset config.Duration `toml:"max_offset"`
	Required  bool            `toml:"required"`
	Interval  config.Duration `toml:"interval"`
}

// SystemClock is [system_clock].
type SystemClock struct {
	Mode          string          `toml:"mode"`
	Step          follow.Steps    `toml:"step"`
	StepThreshold config.Duration `toml:"step_threshold"`
}

// UnmarshalText reads the short form, system_clock = "observe".
func (c *SystemClock) UnmarshalText(b []byte) error {
	c.Mode = string(b)
	return nil
}

// FollowingPHC is a [[phc]]: a further PTP hardware clock that follows.
type FollowingPHC struct {
	Device        string          `toml:"device"`
	StepThreshold config.Duration `toml:"step_threshold"`
}

// Export is [export]: other programs on this machine that are given the time.
type Export struct {
	ChronySock  string `toml:"chrony_sock"`
	SHMUnit     int    `toml:"shm_unit"` // -1: none
	PTP4L       string `toml:"ptp4l"`
	PTP4LDomain int    `toml:"ptp4l_domain"`

	TransportSpecific int `toml:"ptp4l_transport_specific"` // -1: found out
	HoldoverClass     int `toml:"ptp4l_holdover_class"`
}

// Samples reports whether a program gets samples of the time.
func (e Export) Samples() bool { return e.ChronySock != "" || e.SHMUnit >= 0 }

// Any reports whether anything is exported.
func (e Export) Any() bool { return e.Samples() || e.PTP4L != "" }

// History is [history]: measurements and events that are kept.
type History struct {
	Dir     string `toml:"dir"`      // below state_dir, or absolute; empty: a day in runtime_dir
	MaxSize int    `toml:"max_size"` // MB
}

// Sim is [sim]: the virtual appliance.
type Sim struct {
	Seed          uint64          `toml:"seed"`
	Oscillator    string          `toml:"oscillator"`
	FreqOffsetPPB float64         `toml:"freq_offset_ppb"`
	PulseJitter   config.Duration `toml:"pulse_jitter"`
	Receiver      string          `toml:"receiver"`
	ReceiverPTY   bool            `toml:"receiver_pty"`
	Start         string          `toml:"start"`
	Fault         []SimFault      `toml:"fault"`
}

// SimFault is a [[sim.fault]]: something that goes wrong with the virtual receiver
// or its pulse for a while.
type SimFault struct {
	Kind   string          `toml:"kind"`
	At     config.Duration `toml:"at"`
	For    config.Duration `toml:"for"` // 0: to the end
	Amount float64         `toml:"amount"`
}

// SetsSystemClock reports whether the system clock is set by the clock that is
// steered, directly or by a program that is given its time.
func (f *File) SetsSystemClock() bool {
	return f.Clock.Source == "system" || f.SystemClock.Mode == "discipline" || f.Export.Samples()
}

// HistoryDir is the folder of measurements and events, and whether it is in memory,
// where they are kept for a day.
func (f *File) HistoryDir() (dir string, memory bool) {
	switch d := f.History.Dir; {
	case d == "":
		return filepath.Join(f.RuntimeDir, "history"), true
	case filepath.IsAbs(d):
		return d, false
	default:
		return filepath.Join(f.StateDir, d), false
	}
}

// HistoryDirOf is HistoryDir of the configuration file at path. Problems of other keys do
// not matter here.
func HistoryDirOf(path string) (string, error) {
	s, err := Load(path)
	if s == nil {
		return "", err
	}
	dir, _ := s.HistoryDir()
	return dir, nil
}

// Default returns a file with the values of keys that are left out.
func Default() File {
	return File{
		RuntimeDir: filepath.Dir(status.DefaultPath),
		StateDir:   "/var/lib/refclock", RecordLimit: 128,
		Receiver: Receiver{
			Device: "/dev/ttyAMA0", Baud: int64(9600), Protocol: "auto", NotBefore: config.Date{Time: gnss.BuildDate()},
			Rollover: "correct", PositionLimit: 100, SurveyAccuracy: 3, ConfigurePulse: true,
		},
		Pulse: Pulse{
			PulseInput: PulseInput{Source: "kernel", Device: "/dev/pps0", Velocity: pps.SolidVelocity},
			Sawtooth:   true,
		},
		Clock:       Clock{Source: "phc", Device: "eth0"},
		Discipline:  Discipline{Servo: "kalman", HoldoverLimit: config.D(100 * time.Microsecond)},
		Leap:        Leap{File: "/usr/share/zoneinfo/leap-seconds.list", Zone: "/usr/share/zoneinfo/right/UTC", Prove: leap.ProofAuto.String()},
		NTP:         NTP{RefID: "GPS", Stratum: 1},
		SystemClock: SystemClock{Mode: "off", StepThreshold: config.D(time.Millisecond)},
		Export:      Export{SHMUnit: -1, TransportSpecific: -1, HoldoverClass: 52},
		History:     History{Dir: "history", MaxSize: history.DefaultMaxSize >> 20},
		Log:         config.DefaultLog(),
		Sim: Sim{
			Seed: 1, Oscillator: "tcxo", FreqOffsetPPB: 2300, PulseJitter: config.D(20 * time.Nanosecond),
			Receiver: "ublox", ReceiverPTY: true, Start: "now",
		},
	}
}
