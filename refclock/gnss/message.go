package gnss

import (
	"strings"

	"noonmark/phc/tai"
)

// Message is one message of the receiver. A field is meaningful if its Has
// companion is set or if it is not zero. A Message, and what it points to, is
// not changed after it was handed out.
type Message struct {
	Protocol string // Framing.Name
	Source   string // "RMC", "ZDA", "NAV-PVT", "TIM-TP", ...
	Talker   string // two letters of the NMEA talker, "P" for a maker's own; "" for UBX
	Mono     int64  // CLOCK_MONOTONIC_RAW, ns, when the first octet was read

	// Stated: the message labels an instant, and the receiver does not mark that
	// label as void. It may have no fix and go on with its own clock.
	Stated bool
	// Valid: the label may take part in identifying the second. It is Stated, the
	// message's own flags are good (status A, quality above 0, UTC resolved), and
	// the receiver did not report last that it has no fix. ZDA has no flag of its
	// own, so the fix reported last decides.
	Valid bool
	// Time is the instant labelled, rounded to the millisecond; HasDate says that
	// it is set. The date of a GGA, GNS or GLL is carried over from the message
	// that last had one, across midnight (DateCarried).
	Time        tai.Time
	HasDate     bool
	DateCarried bool
	// Rollover is the number of weeks, a multiple of 1024, added to the date that
	// the receiver sent, because that date is too early. Other evidence should
	// agree before the result is used.
	Rollover int

	Fix Fix

	Civil
	Solution
	Leap
	Pulse
	Oscillator
	Survey
	RF
	View
	Reply
}

// Civil is the label as calendar reading, UTC. For messages that count GPS time
// it is computed with the leap table. It is complete if HasDate.
type Civil struct {
	HasTimeOfDay         bool
	Dated                bool // messages of this kind have a date once the receiver knows it
	Year, Month, Day     int
	Hour, Minute, Second int // Second is 60 in an inserted leap second
	Nanos                int // ns after the second, 0 to 999999999
	// Epoch is Mono of the first message with the same time of day: a burst begins
	// with it, be it dated or not. 0 without a time of day.
	Epoch int64
}

// timeOfDay returns the time of day, ns.
func (c *Civil) timeOfDay() int64 {
	return int64(c.Hour*3600+c.Minute*60+c.Second)*1e9 + int64(c.Nanos)
}

// Solution is the receiver's solution for position and time.
type Solution struct {
	FixRepeated bool // Fix is not from this message but from an earlier one
	// FixElsewhere: the message is about one satellite system, which gives no fix,
	// and another message reports one. It says nothing against the time.
	FixElsewhere bool
	// FixDisputed: the message reports a fix, and another sentence of the same talker
	// reported within 5 s that there is none.
	FixDisputed bool
	TAcc        int64 // ns, the receiver's estimate of its time accuracy; 0 unknown

	Sats     int // satellites used
	HasSats  bool
	HasPos   bool
	Lat, Lon float64 // degrees, + = north, east (WGS 84)
	Alt      float64 // m above mean sea level
	HasAlt   bool
	HAcc     float64 // m, estimate of the horizontal accuracy; 0 unknown
	VAcc     float64 // m, of the vertical one
	HDOP     float64 // 0 unknown
	Speed    float64 // m/s over ground
	HasSpeed bool
}

// Leap is what the message reports of leap seconds.
type Leap struct {
	// NewLeap: the message labels a second 60 at the end of a month that the table
	// of leap seconds does not have (Config.NewLeaps). Time is the second after 59.
	NewLeap bool
	UTC     UTC
	// Uniform: the label is in GPS time or TAI, which have no leap seconds. Its
	// calendar reading is computed with the table.
	Uniform    bool
	LeapOffset int // TAI - UTC, s, as announced; 0 unknown
	LeapSource LeapSource
	// HasLeapEvent: LeapSign is +1 or -1 for an inserted or deleted second ahead,
	// or just past, and 0 for none. LeapAt is the instant from which the new offset
	// applies, LeapIn the seconds until then by the receiver's count.
	HasLeapEvent bool
	LeapSign     int
	LeapAt       tai.Time
	LeapIn       int
}

// Pulse announces the next time pulse.
type Pulse struct {
	// QErrPS is the quantisation error of the NEXT pulse, ps, if HasQErr. Its sign
	// is u-blox's: positive means that the pulse comes early by that much, so the
	// value is ADDED to the measured instant of the edge. u-blox does not document
	// the sign; A. Wallin measured it on an F9T (anderswallin.net, 2019-10).
	HasQErr bool
	QErrPS  int64
	// PulseTime is the instant that the next pulse marks, if HasPulse.
	HasPulse  bool
	PulseTime tai.Time
}

// Oscillator is the receiver's estimate of its own oscillator.
type Oscillator struct {
	HasClock      bool
	ClockBiasNS   int64
	ClockDriftPPB int64
	ClockFreqAcc  int64 // ps/s, accuracy of the drift
}

// Survey is the progress of a survey of the antenna's position.
type Survey struct {
	HasSurvey    bool
	SurveyActive bool
	SurveyValid  bool
	SurveyDur    int     // s
	SurveyObs    int     // positions used
	SurveyAcc    float64 // m, standard deviation of the mean
}

// RF is what the receiver reports of its antenna and of signals that disturb it.
type RF struct {
	HasAntenna   bool
	Antenna      Antenna
	AntennaPower AntennaPower
	Jamming      Threat
	JamIndicator int  // narrow-band interference, 0 (none) to 255 (strong); -1 unknown
	HasSpoofing  bool // the message has a field for Spoofing, though it may be unknown
	Spoofing     Threat
}

// View is the satellites in view, and the part of a message that comes in
// several.
type View struct {
	Satellites []Satellite // in view (GSV: of one sentence; NAV-SAT: all)
	Part       int         // GSV, TXT: number of this sentence, from 1
	Parts      int         // GSV, TXT: sentences in the group
	InView     int         // GSV: satellites in view in the group
	SystemID   int         // GSA, GSV: NMEA 4.10 system id; 0 none
}

// Satellite is one satellite in view.
type Satellite struct {
	System    System
	ID        int
	Elevation int // degrees above the horizon; NoElevation if unknown
	Azimuth   int // degrees from north; NoAzimuth if unknown
	CN0       int // dB-Hz; 0 if not tracked
	Used      bool
}

// Values of what a receiver does not report of a satellite.
const (
	NoElevation = -91
	NoAzimuth   = -1
)

// Reply is text, or the answer to a command.
type Reply struct {
	Text    string   // TXT, INF, MON-VER (software version)
	HW      string   // MON-VER
	Modules []string // MON-VER extensions

	AckClass, AckID byte   // ACK-ACK, ACK-NAK: the message answered
	Payload         []byte // CFG-GNSS, CFG-VALGET
}

// SetAntennaText reads the antenna's state from Text. Receivers report it so in
// NMEA TXT and UBX INF: u-blox "ANTSTATUS=OK", CASIC and MTK "ANTENNA OPEN".
func (m *Message) SetAntennaText() {
	state, ok := strings.CutPrefix(m.Text, "ANTSTATUS=")
	if !ok {
		if state, ok = strings.CutPrefix(m.Text, "ANTENNA "); !ok {
			return
		}
	}
	m.HasAntenna = true
	switch strings.TrimSpace(state) {
	case "OK":
		m.Antenna = AntennaOK
	case "OPEN":
		m.Antenna = AntennaOpen
	case "SHORT":
		m.Antenna = AntennaShort
	}
}
