package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
)

// Further exit codes of sysexits.h.
const (
	exitNoInput = 66
	exitIO      = 74
)

const decodeHelp = `usage: refclockctl decode [-all] [-not-before YYYY-MM-DD] FILE|-

Reads a raw receiver log (NMEA, UBX, mixed, with comment lines that begin with #)
and prints one JSON object a line for every message that names an instant.
"valid" says that the receiver states the time and does not call it void; "fix"
is its solution, and only with a fix ("disciplines") would the daemon use it.
Input that was refused is counted by reason on standard error.

Dates are printed as the receiver sent them, however old: a log of 2005 stays one,
and a receiver past a week rollover shows as what it says, unless the leap seconds
it announces belong to 1024 weeks later ("rollover_weeks" then says by how much the
date was moved). refclockd also moves dates that lie before its
receiver.not_before; -not-before shows what it would make of this log.

`

// runDecode is the decode command; it returns the exit code.
func runDecode(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("decode", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, decodeHelp); fl.PrintDefaults() }
	all := fl.Bool("all", false, "print every message decoded, also those that name no instant")
	floor := fl.String("not-before", "", "move dates before this `date` by 1024 weeks until they are past it")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fl.NArg() != 1 {
		fl.Usage()
		return exitUsage
	}
	cfg := gnss.Config{Comments: true, Leaps: tai.Builtin()}
	if *floor != "" {
		t, err := time.Parse(time.DateOnly, *floor)
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl: decode: -not-before wants a date like 2026-11-01, not %q\n", *floor)
			return exitUsage
		}
		cfg.NotBefore = t
	}
	in := stdin
	if name := fl.Arg(0); name != "-" {
		f, err := os.Open(name)
		if err != nil {
			fmt.Fprintf(stderr, "refclockctl: decode: %v\n", err)
			if errors.Is(err, fs.ErrPermission) {
				return exitNoPerm
			}
			return exitNoInput
		}
		defer f.Close()
		in = f
	}
	if err := decode(in, stdout, stderr, cfg, *all); err != nil {
		fmt.Fprintf(stderr, "refclockctl: decode: %v\n", err)
		var pe *fs.PathError
		if errors.As(err, &pe) && pe.Op == "read" { // a directory, most often
			return exitNoInput
		}
		return exitIO
	}
	return exitOK
}

func decode(in io.Reader, stdout, stderr io.Writer, cfg gnss.Config, all bool) error {
	d := registry.NewDecoder(cfg)
	out := bufio.NewWriter(stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var werr error
	emit := func(m *gnss.Message) {
		if werr == nil && (all || m.HasDate) {
			werr = enc.Encode(decodeLine(m, cfg.Leaps, all))
		}
	}
	buf := make([]byte, 32<<10)
	for werr == nil {
		n, err := in.Read(buf)
		d.Feed(buf[:n], 0, emit)
		if n > 0 && werr == nil {
			werr = out.Flush() // a log that is still being written shows at once
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	d.Flush(emit)
	if err := out.Flush(); werr == nil {
		werr = err
	}
	c := d.Counters()
	fmt.Fprintf(stderr, "decoded %d messages\n", c.Messages)
	for _, f := range c.Frames {
		fmt.Fprintf(stderr, "%-17s %d\n", f.Protocol+"_frames", f.Frames)
	}
	for _, r := range gnss.Defects() {
		if n := c.Of(r); n > 0 {
			fmt.Fprintf(stderr, "%-17s %d\n", r, n)
		}
	}
	return werr
}

// line is what decode prints of a message; the order is that of the output.
type line struct {
	Time        string `json:"time,omitempty"`
	Source      string `json:"source"`
	Talker      string `json:"talker,omitempty"`
	Valid       *bool  `json:"valid,omitempty"`
	Disciplines *bool  `json:"disciplines,omitempty"`
	Fix         string `json:"fix,omitempty"`
	TimeOfDay   string `json:"time_of_day,omitempty"`
	DateCarried bool   `json:"date_carried,omitempty"`
	Rollover    int    `json:"rollover_weeks,omitempty"`
	Unresolved  bool   `json:"utc_unresolved,omitempty"`
	TAcc        int64  `json:"time_accuracy_ns,omitempty"`

	Sats *int     `json:"satellites_used,omitempty"`
	Lat  *float64 `json:"lat,omitempty"`
	Lon  *float64 `json:"lon,omitempty"`
	Alt  *float64 `json:"alt_m,omitempty"`
	HAcc float64  `json:"horizontal_accuracy_m,omitempty"`
	VAcc float64  `json:"vertical_accuracy_m,omitempty"`
	HDOP float64  `json:"hdop,omitempty"`
	Vel  *float64 `json:"speed_m_s,omitempty"`

	LeapOffset int    `json:"tai_offset_s,omitempty"`
	LeapSource string `json:"leap_source,omitempty"`
	LeapSign   *int   `json:"leap,omitempty"`
	LeapIn     *int   `json:"leap_in_s,omitempty"`
	LeapAt     string `json:"leap_at,omitempty"`

	PulseTime string `json:"pulse_time,omitempty"`
	QErr      *int64 `json:"sawtooth_ps,omitempty"`

	ClockBias  *int64 `json:"clock_bias_ns,omitempty"`
	ClockDrift *int64 `json:"clock_drift_ppb,omitempty"`
	ClockFAcc  int64  `json:"clock_frequency_accuracy_ps_s,omitempty"`

	Survey *lineSurvey `json:"survey,omitempty"`

	Antenna  string `json:"antenna,omitempty"`
	Power    string `json:"antenna_power,omitempty"`
	Jamming  string `json:"jamming,omitempty"`
	JamLevel *int   `json:"jamming_indicator,omitempty"`
	Spoofing string `json:"spoofing,omitempty"`

	InView     int       `json:"satellites_in_view,omitempty"`
	Satellites []lineSat `json:"satellites,omitempty"`
	Part       int       `json:"part,omitempty"`
	Parts      int       `json:"parts,omitempty"`
	Text       string    `json:"text,omitempty"`
	Hardware   string    `json:"hardware,omitempty"`
	Extensions []string  `json:"extensions,omitempty"`
	Answers    string    `json:"answers,omitempty"`
	Payload    string    `json:"payload,omitempty"`
}

type lineSat struct {
	System    string `json:"system"`
	ID        int    `json:"id"`
	Elevation *int   `json:"elevation_deg,omitempty"`
	Azimuth   *int   `json:"azimuth_deg,omitempty"`
	CN0       int    `json:"cn0_dbhz,omitempty"`
	Used      bool   `json:"used,omitempty"`
}

type lineSurvey struct {
	Active       bool    `json:"active"`
	Valid        bool    `json:"valid"`
	Duration     int     `json:"duration_s"`
	Observations int     `json:"observations"`
	Accuracy     float64 `json:"accuracy_m"`
}

// decodeLine makes the output line of a message.
func decodeLine(m *gnss.Message, leaps *tai.Table, all bool) *line {
	l := &line{Source: m.Source, Talker: m.Talker, Rollover: m.Rollover}
	if m.HasDate {
		l.Time = fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", m.Year, m.Month, m.Day, m.Hour, m.Minute, m.Second, m.Nanos/1e6)
		l.Valid, l.Disciplines, l.DateCarried = &m.Stated, &m.Valid, m.DateCarried
	} else if m.HasTimeOfDay {
		l.TimeOfDay = fmt.Sprintf("%02d:%02d:%02d.%03d", m.Hour, m.Minute, m.Second, m.Nanos/1e6)
	}
	if m.Fix != gnss.FixUnknown {
		l.Fix = m.Fix.String()
	}
	if m.HasSats {
		l.Sats = &m.Sats
	}
	l.TAcc = m.TAcc
	l.Unresolved = m.UTCUnresolved
	if !all {
		return l
	}
	if m.HasPos {
		l.Lat, l.Lon = &m.Lat, &m.Lon
	}
	if m.HasAlt {
		l.Alt = &m.Alt
	}
	if m.HasSpeed {
		l.Vel = &m.Speed
	}
	l.HAcc, l.VAcc, l.HDOP = m.HAcc, m.VAcc, m.HDOP
	l.LeapOffset, l.LeapSource = m.LeapOffset, m.LeapSource.String()
	if m.HasLeapEvent {
		l.LeapSign, l.LeapIn = &m.LeapSign, &m.LeapIn
		if m.LeapAt != 0 {
			l.LeapAt = instant(m.LeapAt, leaps.With(tai.Leap{UTC: leapUTC(m), Offset: m.LeapOffset + m.LeapSign}))
		}
	}
	if m.HasPulse {
		l.PulseTime = instant(m.PulseTime, leaps)
	}
	if m.HasQErr {
		l.QErr = &m.QErrPS
	}
	if m.HasClock {
		l.ClockBias, l.ClockDrift, l.ClockFAcc = &m.ClockBiasNS, &m.ClockDriftPPB, m.ClockFreqAcc
	}
	if m.HasSurvey {
		l.Survey = &lineSurvey{m.SurveyActive, m.SurveyValid, m.SurveyDur, m.SurveyObs, m.SurveyAcc}
	}
	if m.HasAntenna {
		l.Antenna, l.Power = m.Antenna.String(), m.AntennaPower.String()
	}
	if m.Jamming != gnss.ThreatUnknown || m.JamIndicator >= 0 {
		l.Jamming = m.Jamming.String()
	}
	if m.JamIndicator >= 0 {
		l.JamLevel = &m.JamIndicator
	}
	if m.Spoofing != gnss.ThreatUnknown {
		l.Spoofing = m.Spoofing.String()
	}
	l.InView, l.Part, l.Parts = m.InView, m.Part, m.Parts
	for i := range m.Satellites {
		s := &m.Satellites[i]
		o := lineSat{System: s.System.String(), ID: s.ID, CN0: s.CN0, Used: s.Used}
		if s.Elevation != gnss.NoElevation {
			o.Elevation = &s.Elevation
		}
		if s.Azimuth != gnss.NoAzimuth {
			o.Azimuth = &s.Azimuth
		}
		l.Satellites = append(l.Satellites, o)
	}
	l.Text, l.Hardware, l.Extensions = m.Text, m.HW, m.Modules
	if strings.HasPrefix(m.Source, "ACK-") {
		l.Answers = fmt.Sprintf("%02x-%02x", m.AckClass, m.AckID)
	}
	if m.Payload != nil {
		l.Payload = fmt.Sprintf("%x", m.Payload)
	}
	return l
}

// leapUTC returns the POSIX time at which the announced offset begins.
func leapUTC(m *gnss.Message) int64 {
	sec, _ := m.LeapAt.Unix(m.LeapOffset + m.LeapSign)
	return sec
}

// instant writes t as UTC.
func instant(t tai.Time, leaps *tai.Table) string {
	return t.UTC(leaps.Offset(t)).Format("2006-01-02T15:04:05.000000000Z")
}
