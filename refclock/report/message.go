package report

import (
	"fmt"
	"strings"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

// Message is the projection of a receiver's message that `refclockctl decode`
// prints, in this order. Its JSON keys are a contract: they only grow.
type Message struct {
	Time        string `json:"time,omitempty"` // UTC as the receiver says it
	Source      string `json:"source"`         // kind of message
	Talker      string `json:"talker,omitempty"`
	Valid       *bool  `json:"valid,omitempty"`       // the receiver calls its time valid
	Disciplines *bool  `json:"disciplines,omitempty"` // the daemon would use it
	Fix         string `json:"fix,omitempty"`
	TimeOfDay   string `json:"time_of_day,omitempty"`
	DateCarried bool   `json:"date_carried,omitempty"` // from an earlier message
	Rollover    int    `json:"rollover_weeks,omitempty"`
	Unresolved  bool   `json:"utc_unresolved,omitempty"` // the leap seconds are not known
	TAcc        int64  `json:"time_accuracy_ns,omitempty"`
	Sats        *int   `json:"satellites_used,omitempty"`

	MessagePosition
	MessageTiming
	Survey *Survey `json:"survey,omitempty"`
	MessageSurroundings
	MessageSatellites
	MessageIdentity
}

// MessagePosition is where the receiver is and how fast it moves.
type MessagePosition struct {
	Lat  *float64 `json:"lat,omitempty"` // degrees, north positive
	Lon  *float64 `json:"lon,omitempty"` // degrees, east positive
	Alt  *float64 `json:"alt_m,omitempty"`
	HAcc float64  `json:"horizontal_accuracy_m,omitempty"`
	VAcc float64  `json:"vertical_accuracy_m,omitempty"`
	HDOP float64  `json:"hdop,omitempty"`
	Vel  *float64 `json:"speed_m_s,omitempty"`
}

// MessageTiming is what is said of leap seconds, the pulse and the receiver's
// clock.
type MessageTiming struct {
	LeapOffset int    `json:"tai_offset_s,omitempty"`
	LeapSource string `json:"leap_source,omitempty"`
	LeapSign   *int   `json:"leap,omitempty"` // +1: a second is inserted, -1: omitted
	LeapIn     *int   `json:"leap_in_s,omitempty"`
	LeapAt     string `json:"leap_at,omitempty"`

	PulseTime string `json:"pulse_time,omitempty"`
	QErr      *int64 `json:"sawtooth_ps,omitempty"` // quantisation error of that pulse

	ClockBias  *int64 `json:"clock_bias_ns,omitempty"`
	ClockDrift *int64 `json:"clock_drift_ppb,omitempty"`
	ClockFAcc  int64  `json:"clock_frequency_accuracy_ps_s,omitempty"`
}

// MessageSurroundings is what the receiver says of its antenna and of
// interference.
type MessageSurroundings struct {
	Antenna  string `json:"antenna,omitempty"`
	Power    string `json:"antenna_power,omitempty"`
	Jamming  string `json:"jamming,omitempty"`
	JamLevel *int   `json:"jamming_indicator,omitempty"`
	Spoofing string `json:"spoofing,omitempty"`
}

// MessageSatellites are the satellites in view, or a part of them.
type MessageSatellites struct {
	InView     int         `json:"satellites_in_view,omitempty"`
	Satellites []Satellite `json:"satellites,omitempty"`
	Part       int         `json:"part,omitempty"`
	Parts      int         `json:"parts,omitempty"`
}

// Satellite is a satellite in view.
type Satellite struct {
	System    string `json:"system"`
	ID        int    `json:"id"`
	Elevation *int   `json:"elevation_deg,omitempty"`
	Azimuth   *int   `json:"azimuth_deg,omitempty"`
	CN0       int    `json:"cn0_dbhz,omitempty"`
	Used      bool   `json:"used,omitempty"`
}

// MessageIdentity is what the receiver says of itself, and answers.
type MessageIdentity struct {
	Text       string   `json:"text,omitempty"`
	Hardware   string   `json:"hardware,omitempty"`
	Extensions []string `json:"extensions,omitempty"`
	Answers    string   `json:"answers,omitempty"` // class and number of the message that is acknowledged
	Payload    string   `json:"payload,omitempty"` // hexadecimal
}

// Survey is the progress of a survey-in.
type Survey struct {
	Active       bool    `json:"active"`
	Valid        bool    `json:"valid"`
	Duration     int     `json:"duration_s"`
	Observations int     `json:"observations"`
	Accuracy     float64 `json:"accuracy_m"`
}

// NewMessage makes the projection of a message. leaps converts the instants of
// pulses and leap seconds to UTC. all: not only what names the instant.
func NewMessage(m *gnss.Message, leaps *tai.Table, all bool) *Message {
	l := &Message{Source: m.Source, Talker: m.Talker, Rollover: m.Rollover, TAcc: m.TAcc, Unresolved: m.UTC == gnss.UTCUnresolved}
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
	if all {
		l.addPosition(m)
		l.addTiming(m, leaps)
		l.addReceiver(m)
		l.addSatellites(m)
	}
	return l
}

func (l *Message) addPosition(m *gnss.Message) {
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
	if m.HasSurvey {
		l.Survey = &Survey{m.SurveyActive, m.SurveyValid, m.SurveyDur, m.SurveyObs, m.SurveyAcc}
	}
}

func (l *Message) addTiming(m *gnss.Message, leaps *tai.Table) {
	l.LeapOffset, l.LeapSource = m.LeapOffset, m.LeapSource.String()
	if m.HasLeapEvent {
		l.LeapSign, l.LeapIn = &m.LeapSign, &m.LeapIn
		if m.LeapAt != 0 {
			after := m.LeapOffset + m.LeapSign
			begins, _ := m.LeapAt.Unix(after)
			l.LeapAt = instant(m.LeapAt, leaps.With(tai.Leap{UTC: begins, Offset: after}))
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
}

func (l *Message) addReceiver(m *gnss.Message) {
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
	l.Text, l.Hardware, l.Extensions = m.Text, m.HW, m.Modules
	if strings.HasPrefix(m.Source, "ACK-") {
		l.Answers = fmt.Sprintf("%02x-%02x", m.AckClass, m.AckID)
	}
	if m.Payload != nil {
		l.Payload = fmt.Sprintf("%x", m.Payload)
	}
}

func (l *Message) addSatellites(m *gnss.Message) {
	l.InView, l.Part, l.Parts = m.InView, m.Part, m.Parts
	for i := range m.Satellites {
		s := &m.Satellites[i]
		o := Satellite{System: s.System.String(), ID: s.ID, CN0: s.CN0, Used: s.Used}
		if s.Elevation != gnss.NoElevation {
			o.Elevation = &s.Elevation
		}
		if s.Azimuth != gnss.NoAzimuth {
			o.Azimuth = &s.Azimuth
		}
		l.Satellites = append(l.Satellites, o)
	}
}

// instant writes t as UTC.
func instant(t tai.Time, leaps *tai.Table) string { return *utc(t.UTC(leaps.Offset(t))) }
