package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"noonmark/internal/config"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
)

// exportConfig names the programs on this machine that get the time.
type exportConfig struct {
	ChronySock  string `toml:"chrony_sock"`
	SHMUnit     int    `toml:"shm_unit"`
	PTP4L       string `toml:"ptp4l"`
	PTP4LDomain int    `toml:"ptp4l_domain"`
}

type systemClockConfig struct {
	Mode          string          `toml:"mode"`
	Step          string          `toml:"step"`
	StepThreshold config.Duration `toml:"step_threshold"`
}

// UnmarshalText takes system_clock = "observe" for its mode alone.
func (c *systemClockConfig) UnmarshalText(b []byte) error {
	c.Mode = string(b)
	return nil
}

type phcConfig struct {
	Device        string          `toml:"device"`
	StepThreshold config.Duration `toml:"step_threshold"`
}

type witnessConfig struct {
	Address   string          `toml:"address"`
	NTS       *bool           `toml:"nts"`
	CA        string          `toml:"ca"`
	MaxOffset config.Duration `toml:"max_offset"`
	Required  bool            `toml:"required"`
	Interval  config.Duration `toml:"interval"`
}

// Defaults and limits of a witness.
const (
	witnessOffset   = 50 * time.Millisecond
	witnessInterval = 64 * time.Second
	witnessFastest  = 16 * time.Second // below it servers of others answer with a kiss code
)

// witness is a [[witness]] that makes sense.
type witness struct {
	name     string // as configured: in logs and metrics
	host     string
	port     int // 0: the usual
	nts      bool
	roots    *x509.CertPool // nil: the system's
	limit    time.Duration
	every    time.Duration
	required bool
}

// checkOutputs checks what goes out of the engine, and its witnesses.
func (s *settings) checkOutputs(f *config.File) error {
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
	x := s.Export
	need(x.SHMUnit >= -1 && x.SHMUnit <= 255, "export.shm_unit", "%d is no unit of NTP shared memory; want 0 to 255, or -1 for none", x.SHMUnit)
	need(x.PTP4LDomain >= 0 && x.PTP4LDomain <= 255, "export.ptp4l_domain", "%d is no PTP domain; want 0 to 255", x.PTP4LDomain)
	need((x.ChronySock == "" && x.SHMUnit < 0 && x.PTP4L == "") || s.Clock.Source != "none", "export",
		"nothing can be exported with clock.source = \"none\": there is no clock that follows the pulses")

	bad(f.OneOf("system_clock.mode", s.SystemClock.Mode, "discipline", "observe", "off"))
	bad(wrap(f, "system_clock.step", s.steps.UnmarshalText([]byte(s.SystemClock.Step))))
	if d := s.SystemClock.StepThreshold.Duration; d < 10*time.Microsecond || d > 400*time.Millisecond {
		bad(f.Errorf("system_clock.step_threshold", "%v is out of range; want 10us to 400ms", d))
	}
	need(s.SystemClock.Mode == "off" || s.Clock.Source != "system" && s.Clock.Source != "none", "system_clock.mode",
		"%q with clock.source %q; the system clock can follow a PHC only", s.SystemClock.Mode, s.Clock.Source)
	need(s.SystemClock.Mode != "discipline" || s.Clock.Source != "sim", "system_clock.mode",
		"\"discipline\" with clock.source \"sim\"; this machine's time must not follow a simulation: use \"observe\" or \"off\"")
	if s.SystemClock.Mode == "discipline" && (x.ChronySock != "" || x.SHMUnit >= 0) {
		s.warnings = append(s.warnings, "system_clock.mode: while the program that reads the export steers the system clock, refclockd leaves it alone")
	}

	for i, p := range s.PHC {
		key := fmt.Sprintf("phc[%d].", i)
		need(p.Device != "", key+"device", "is empty; name an interface, such as \"eth1\", or a clock, such as \"/dev/ptp1\"")
		need(p.Device == "" || p.Device != s.Clock.Device, key+"device", "%q is the clock that the pulses steer; name another", p.Device)
		need(!slices.ContainsFunc(s.PHC[:i], func(q phcConfig) bool { return q.Device == p.Device }), key+"device", "%q is named twice", p.Device)
		need(p.StepThreshold.Duration >= 0 && p.StepThreshold.Duration <= 400*time.Millisecond, key+"step_threshold", "%v is out of range; want 0s to 400ms", p.StepThreshold)
		need(s.Clock.Source == "phc", key+"device", "further clocks follow a PHC; clock.source is %q", s.Clock.Source)
	}
	for i := range s.Witness {
		w, err := s.Witness[i].check(f, fmt.Sprintf("witness[%d].", i))
		bad(err)
		need(!slices.ContainsFunc(s.witnesses, func(v witness) bool { return v.name == w.name }), fmt.Sprintf("witness[%d].address", i), "%q is named twice", w.name)
		s.witnesses = append(s.witnesses, w)
	}
	return errors.Join(errs...)
}

func (c *witnessConfig) check(f *config.File, key string) (witness, error) {
	w := witness{name: c.Address, nts: c.NTS == nil || *c.NTS, limit: c.MaxOffset.Duration, every: c.Interval.Duration, required: c.Required}
	if w.limit == 0 {
		w.limit = witnessOffset
	}
	if w.every == 0 {
		w.every = witnessInterval
	}
	var err error
	if w.host, w.port, err = hostPort(c.Address); err != nil {
		return w, f.Errorf(key+"address", "%w; want a server's name or address, such as \"time.example\" or \"192.0.2.1:4460\"", err)
	}
	if w.limit < time.Microsecond || w.limit > time.Second {
		return w, f.Errorf(key+"max_offset", "%v is out of range; want 1us to 1s", w.limit)
	}
	if w.every < witnessFastest || w.every > 24*time.Hour {
		return w, f.Errorf(key+"interval", "%v is out of range; want %v to 24h", w.every, witnessFastest)
	}
	if c.CA == "" {
		return w, nil
	}
	if !w.nts {
		return w, f.Errorf(key+"ca", "is of no use with nts = false; plain NTP proves nothing")
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return w, f.Errorf(key+"ca", "%w; want a file of PEM certificates", err)
	}
	if w.roots = x509.NewCertPool(); !w.roots.AppendCertsFromPEM(pem) {
		return w, f.Errorf(key+"ca", "%s holds no PEM certificate", c.CA)
	}
	return w, nil
}

// hostPort splits an address whose port may be left out.
func hostPort(a string) (string, int, error) {
	if a == "" {
		return "", 0, errors.New("is empty")
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil { // without a port, or an IPv6 address without brackets
		if net.ParseIP(a) == nil && slices.Contains([]byte(a), ':') {
			return "", 0, fmt.Errorf("%q is no address", a)
		}
		return a, 0, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is no address", a)
	}
	return host, int(n), nil
}

// checkReceiver checks what the receiver is minded for and configured to.
func (s *settings) checkReceiver(f *config.File) error {
	var errs []error
	need := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, f.Errorf(key, format, args...))
		}
	}
	r := &s.Receiver
	switch b := r.Baud.(type) {
	case int64:
		need(b >= 300 && b <= 4_000_000, "receiver.baud", "%d is no baud rate of a receiver; want 300 to 4000000 (9600 is common), or \"auto\"", b)
		s.rates = []int{int(min(max(b, 0), 4_000_000))}
	case string:
		need(b == "auto", "receiver.baud", "%q is no baud rate; want a number such as 9600, or \"auto\"", b)
		s.rates = receiver.Rates()
	default:
		need(false, "receiver.baud", "is no baud rate; want a number such as 9600, or \"auto\"")
		s.rates = []int{9600}
	}
	if err := f.OneOf("receiver.rollover", r.Rollover, "correct", "refuse"); err != nil {
		errs = append(errs, err)
	}
	need(r.PositionLimit >= 10 && r.PositionLimit <= 1e6, "receiver.position_limit", "%v is out of range; want metres, 10 to 1000000", r.PositionLimit)
	need(r.ConfigureBaud == 0 || slices.Contains(receiver.Rates(), r.ConfigureBaud), "receiver.configure_baud", "%d is no rate to set a receiver to; want one of %v, or 0 to leave it", r.ConfigureBaud, receiver.Rates())
	need(r.Survey.Duration == 0 || r.Survey.Duration >= time.Minute && r.Survey.Duration <= 7*24*time.Hour, "receiver.survey", "%v is out of range; want 1m to 168h, or 0s for none", r.Survey)
	need(r.SurveyAccuracy > 0 && r.SurveyAccuracy <= 1000, "receiver.survey_accuracy", "%v is out of range; want metres, more than 0 to 1000", r.SurveyAccuracy)
	s.watch = integrity.ReceiverConfig{Fixed: r.Fixed, PositionLimit: r.PositionLimit}
	set := gnss.Setup{Baud: r.ConfigureBaud, USB: r.USB, NMEA: r.Protocol == "nmea", SurveySeconds: int(r.Survey.Seconds()), SurveyAcc: r.SurveyAccuracy}
	if r.Save {
		set.Layers = gnss.LayerRAM | gnss.LayerBBR | gnss.LayerFlash
	}
	if len(r.Position) != 0 {
		p := r.Position
		need(len(p) == 3 && p[0] >= -90 && p[0] <= 90 && p[1] >= -180 && p[1] <= 180 && p[2] > -1000 && p[2] < 10_000, "receiver.position",
			"%v is no place; want [latitude, longitude, height]: degrees, north and east positive, and metres above the ellipsoid", p)
		if len(p) == 3 {
			at := gnss.Position{Lat: p[0], Lon: p[1], Height: p[2], Acc: 1}
			s.watch.Fixed, s.watch.Place, set.Fixed = true, &at, &at
		}
	}
	for _, name := range r.Systems {
		sys := slices.IndexFunc([]gnss.System{gnss.GPS, gnss.SBAS, gnss.Galileo, gnss.BeiDou, gnss.IMES, gnss.QZSS, gnss.GLONASS, gnss.NavIC}, func(x gnss.System) bool { return x.String() == name })
		need(sys >= 0, "receiver.systems", "%q is not known; want some of GPS, Galileo, GLONASS, BeiDou, QZSS, NavIC, SBAS", name)
		set.Systems = append(set.Systems, gnss.System(max(sys, 0)))
	}
	if s.Pulse.Source != "none" {
		length := s.Pulse.Width.Duration
		if length == 0 {
			length = 100 * time.Millisecond
		}
		set.Pulse = &gnss.Pulse{LengthUS: uint32(length.Microseconds())}
	}
	if r.Configure {
		s.setup = &set
	}
	return errors.Join(errs...)
}

// heldBack is the doubt that is there from the start.
func (s *settings) heldBack() string {
	if slices.ContainsFunc(s.witnesses, func(w witness) bool { return w.required }) {
		return reason.WitnessAwaited.String()
	}
	return ""
}
