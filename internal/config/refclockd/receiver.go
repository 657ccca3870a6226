package refclockd

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/integrity"
	"noonmark/refclock/receiver"
)

// systems are the satellite systems that receiver.systems can name.
var systems = [...]gnss.System{gnss.GPS, gnss.SBAS, gnss.Galileo, gnss.BeiDou, gnss.IMES, gnss.QZSS, gnss.GLONASS, gnss.NavIC}

func (c *check) receiver() {
	r := &c.Receiver
	switch {
	case c.Clock.Source == "sim":
	case strings.TrimSpace(r.Device) == "":
		c.Refuse("receiver.device", `is empty; name the receiver's port, such as "/dev/ttyAMA0"`)
	default:
		c.Require(filepath.IsAbs(r.Device), "receiver.device", `%q is not an absolute path; name the receiver's port, such as "/dev/ttyAMA0"`, r.Device)
	}
	switch b := r.Baud.(type) {
	case int64:
		near := nearestRate(b)
		c.Require(b == near, "receiver.baud", "%d is not a baud rate of a serial port; did you mean %d? 9600 is common, and \"auto\" tries the usual ones", b, near)
	case string:
		c.Require(b == "auto", "receiver.baud", "%q is not a baud rate; want a number such as 9600, or \"auto\"", b)
	default:
		c.Refuse("receiver.baud", "is not a baud rate; want a number such as 9600, or \"auto\"")
	}
	c.Within("receiver.label_offset", r.LabelOffset, -10*time.Second, 10*time.Second)
	c.OneOf("receiver.rollover", r.Rollover, "correct", "refuse")
	c.OneOf("receiver.protocol", r.Protocol, append([]string{"auto"}, registry.Names()...)...)
	c.Require(r.PositionLimit >= 10 && r.PositionLimit <= 1e6, "receiver.position_limit", "%v is out of range; want metres, 10 to 1000000", r.PositionLimit)
	c.Require(r.ConfigureBaud == 0 || slices.Contains(receiver.Rates(), r.ConfigureBaud), "receiver.configure_baud",
		"%d is not a rate to set a receiver to; want one of %v, or 0 to leave it", r.ConfigureBaud, receiver.Rates())
	if r.Survey.Duration != 0 {
		c.Within("receiver.survey", r.Survey, time.Minute, 7*24*time.Hour)
	}
	c.Require(r.SurveyAccuracy > 0 && r.SurveyAccuracy <= 1000, "receiver.survey_accuracy", "%v is out of range; want metres, more than 0 to 1000", r.SurveyAccuracy)
	if p := r.Position; len(p) != 0 {
		c.Require(len(p) == 3 && p[0] >= -90 && p[0] <= 90 && p[1] >= -180 && p[1] <= 180 && p[2] > -1000 && p[2] < 10_000, "receiver.position",
			"%v is not a position; want [latitude, longitude, height]: degrees, north and east positive, and metres above the ellipsoid", p)
	}
	for _, name := range r.Systems {
		_, ok := systemOf(name)
		c.Require(ok, "receiver.systems", "%q is not known; want some of GPS, Galileo, GLONASS, BeiDou, QZSS, NavIC, SBAS", name)
	}
}

func systemOf(name string) (gnss.System, bool) {
	i := slices.IndexFunc(systems[:], func(x gnss.System) bool { return x.String() == name })
	if i < 0 {
		return 0, false
	}
	return systems[i], true
}

// portRates are the rates of serial ports: those of termios(3), and those in
// between that receivers are also set to.
var portRates = [...]int64{300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 128000, 230400, 250000, 256000,
	460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000}

// nearestRate returns the rate of serial ports that is nearest.
func nearestRate(b int64) int64 {
	return slices.MinFunc(portRates[:], func(x, y int64) int { return cmp.Compare(max(x-b, b-x), max(y-b, b-y)) })
}

// Rates are the baud rates at which the receiver may be, the likeliest first.
// There is at least one.
func (r *Receiver) Rates() []int {
	if b, ok := r.Baud.(int64); ok {
		return []int{int(min(max(b, 0), 4_000_000))}
	}
	return receiver.Rates()
}

// decodeConfig is how the receiver's labels are read.
func (s *Settings) decodeConfig() gnss.Config {
	r := &s.Receiver
	return gnss.Config{
		NotBefore: r.NotBefore.Time, Leaps: s.LeapTables[0], TimeScale: r.TimeScale, LabelOffset: r.LabelOffset.Duration,
		MinConfidence: r.MinConfidence,
	}
}

// position is the configured place of the antenna, nil for none.
func (r *Receiver) position() *gnss.Position {
	if len(r.Position) != 3 {
		return nil
	}
	return &gnss.Position{Lat: r.Position[0], Lon: r.Position[1], Height: r.Position[2], Acc: 1}
}

// watchConfig is what the receiver's positions are compared with.
func (s *Settings) watchConfig() integrity.ReceiverConfig {
	place := s.Receiver.position()
	return integrity.ReceiverConfig{Fixed: s.Receiver.Fixed || place != nil, PositionLimit: s.Receiver.PositionLimit, Place: place}
}

// receiverSetup is how the receiver is to be configured; nil leaves it as it is.
func (s *Settings) receiverSetup() *ubx.Setup {
	r := &s.Receiver
	if !r.Configure {
		return nil
	}
	set := &ubx.Setup{
		Baud: r.ConfigureBaud, USB: r.USB, NMEA: r.Protocol == "nmea",
		SurveySeconds: int(r.Survey.Seconds()), SurveyAcc: r.SurveyAccuracy, Fixed: r.position(),
	}
	if r.Save {
		set.Layers = ubx.LayerRAM | ubx.LayerBBR | ubx.LayerFlash
	}
	for _, name := range r.Systems {
		if sys, ok := systemOf(name); ok {
			set.Systems = append(set.Systems, sys)
		}
	}
	if s.Pulse.Source != "none" && r.ConfigurePulse {
		length := s.Pulse.Width.Duration
		if length == 0 {
			length = 100 * time.Millisecond
		}
		set.Pulse = &ubx.Pulse{LengthUS: uint32(length.Microseconds())}
	}
	return set
}

// earliest is receiver.not_before as an instant.
func (r *Receiver) earliest(leaps *tai.Table) tai.Time { return instant(r.NotBefore.Time, leaps) }

// latest is the last plausible date: so long after the build, or after
// receiver.not_before if that is later.
func (r *Receiver) latest(leaps *tai.Table) tai.Time {
	from := gnss.BuildDate()
	if n := r.NotBefore.Time; n.After(from) {
		from = n
	}
	return instant(from.AddDate(gnss.PlausibleYears, 0, 0), leaps)
}

func instant(t time.Time, leaps *tai.Table) tai.Time {
	return tai.FromUnix(t.Unix(), 0, leaps.OffsetUTC(t.Unix()))
}
