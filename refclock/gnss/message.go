package gnss

import "noonmark/phc/tai"

// Fix is the kind of solution the receiver says it has.
type Fix uint8

const (
	FixUnknown   Fix = iota
	FixNone          // the receiver says it has none
	FixEstimated     // dead reckoning, or simulated: not from satellites
	FixManual        // a position put in by hand
	Fix2D
	Fix3D
	FixTime // time from satellites at a fixed position
	FixGNSS // from satellites, dimension unknown
)

var fixNames = [...]string{"unknown", "none", "estimated", "manual", "2d", "3d", "time", "gnss"}

func (f Fix) String() string {
	if int(f) < len(fixNames) {
		return fixNames[f]
	}
	return "unknown"
}

// Good reports whether the solution can carry time: satellites stand behind it.
// FixManual counts, because timing receivers report their surveyed position so.
func (f Fix) Good() bool { return f >= FixManual }

// Antenna is the state of the antenna supply.
type Antenna uint8

const (
	AntennaUnknown Antenna = iota
	AntennaOK
	AntennaShort
	AntennaOpen
)

var antennaNames = [...]string{"unknown", "ok", "short", "open"}

func (a Antenna) String() string {
	if int(a) < len(antennaNames) {
		return antennaNames[a]
	}
	return "unknown"
}

// Threat is the receiver's verdict on jamming or spoofing. ThreatUnknown says
// nothing: detectors are off in most receivers as shipped.
type Threat uint8

const (
	ThreatUnknown  Threat = iota
	ThreatNone            // looked for, not seen
	ThreatWarning         // seen; the fix is still good
	ThreatCritical        // seen, and the fix is not to be trusted
)

var threatNames = [...]string{"unknown", "none", "warning", "critical"}

func (t Threat) String() string {
	if int(t) < len(threatNames) {
		return threatNames[t]
	}
	return "unknown"
}

// System is a satellite system, numbered as u-blox does (gnssId).
type System uint8

const (
	GPS System = iota
	SBAS
	Galileo
	BeiDou
	IMES
	QZSS
	GLONASS
	NavIC
	SystemUnknown System = 255
)

var systemNames = [...]string{"GPS", "SBAS", "Galileo", "BeiDou", "IMES", "QZSS", "GLONASS", "NavIC"}

func (s System) String() string {
	if int(s) < len(systemNames) {
		return systemNames[s]
	}
	return "unknown"
}

// Satellite is one satellite in view.
type Satellite struct {
	System    System
	ID        int
	Elevation int // degrees above the horizon; -91 if unknown
	Azimuth   int // degrees from north; -1 if unknown
	CN0       int // dB-Hz; 0 if not tracked
	Used      bool
}

// NoElevation and NoAzimuth mark what a receiver does not say.
const (
	NoElevation = -91
	NoAzimuth   = -1
)

// Message is one statement of the receiver. A field is meaningful when its
// Has companion is set or when it is not zero. A Message and what it points to
// is not touched again after it was handed out.
type Message struct {
	Source string // "RMC", "ZDA", "NAV-PVT", "TIM-TP", ...
	Talker string // two letters of the NMEA talker, "P" for a maker's own; "" for UBX
	Mono   int64  // CLOCK_MONOTONIC_RAW in ns when the first byte was read

	// Stated: the message labels an instant and the receiver does not call that
	// label void, whether it has a fix or not (a receiver without a fix goes on
	// with its own clock).
	Stated bool
	// Valid: the label may take part in telling which second it is: it is
	// Stated, the message's own flags are good (status A, quality above 0, UTC
	// resolved), and the receiver's latest word on its fix is not that it has
	// none. A ZDA has no flag of its own and follows that word.
	Valid bool

	// Time is the instant labelled, rounded to the millisecond; HasDate says
	// that it is set. The date of a GGA, GNS or GLL is carried over from the
	// message that last gave one, across midnight (DateCarried).
	HasDate     bool
	DateCarried bool
	Time        tai.Time
	// The label as calendar reading in UTC. Second may be 60 in an inserted
	// leap second. For NAV-TIMEGPS and NAV-SOL, which count GPS time, it is
	// computed with the leap table.
	HasTimeOfDay         bool
	Year, Month, Day     int
	Hour, Minute, Second int
	Nanos                int // ns after the second, 0 to 999999999
	// NewLeap: the message names the second 60 at the end of a month that the
	// table of leap seconds does not know (Config.NewLeaps). Time is the second
	// after 59.
	NewLeap bool
	// Rollover is the number of weeks (a multiple of 1024) added to the date the
	// receiver sent, because that lies before the time it can be. It is an offer:
	// other evidence should agree before it is served.
	Rollover int
	// UTCUnresolved: the receiver says that it does not know the leap seconds
	// yet, so a label in UTC may be off by whole seconds.
	UTCUnresolved bool
	TAcc          int64 // receiver's estimate of its time accuracy, ns; 0 unknown

	Fix      Fix
	Sats     int // satellites used in the solution
	HasSats  bool
	HasPos   bool
	Lat, Lon float64 // degrees, + = north, east (WGS 84)
	Alt      float64 // m above mean sea level
	HasAlt   bool
	HAcc     float64 // m, horizontal accuracy estimate; 0 unknown
	VAcc     float64 // m
	HDOP     float64 // 0 unknown
	Speed    float64 // m/s over ground
	HasSpeed bool

	// LeapOffset is TAI - UTC in s as the receiver announces it; 0 unknown.
	LeapOffset int
	// HasLeapEvent: LeapSign is +1 or -1 for an inserted or deleted second ahead
	// (or just past) and 0 for none; LeapAt is the instant at which the new offset
	// comes into force, LeapIn the seconds until then as the receiver counts them.
	HasLeapEvent bool
	LeapSign     int
	LeapAt       tai.Time
	LeapIn       int
	LeapSource   string // where the receiver has the current offset from

	// Quantisation error of the NEXT time pulse in ps (TIM-TP). u-blox's sign: a
	// positive value means that the pulse comes early by that much, so the value
	// is ADDED to the measured instant of the edge (u-blox does not say it; measured
	// on an F9T by A. Wallin, anderswallin.net, 2019-10). HasPulse says that PulseTime
	// holds the instant that pulse marks, HasQErr that QErrPS is known.
	HasQErr   bool
	QErrPS    int64
	HasPulse  bool
	PulseTime tai.Time

	// NAV-CLOCK: bias and drift of the receiver's own oscillator.
	HasClock      bool
	ClockBiasNS   int64
	ClockDriftPPB int64
	ClockFreqAcc  int64 // ps/s

	// TIM-SVIN and NAV-SVIN.
	HasSurvey    bool
	SurveyActive bool
	SurveyValid  bool
	SurveyDur    int     // s
	SurveyObs    int     // positions used
	SurveyAcc    float64 // m, standard deviation of the mean

	HasAntenna   bool
	Antenna      Antenna
	AntennaPower string // "off", "on", "unknown"
	Jamming      Threat
	JamIndicator int // 0 (none) to 255 (strong) narrow-band interference; -1 unknown
	Spoofing     Threat

	Satellites []Satellite // in view (GSV: of one sentence, NAV-SAT: all)
	Part       int         // GSV, TXT: number of this sentence, from 1
	Parts      int         // GSV, TXT: sentences in the group
	InView     int         // GSV: satellites in view in the group
	SystemID   int         // GSA, GSV: NMEA 4.10 system id; 0 none

	Text    string   // TXT, INF, MON-VER (software version)
	HW      string   // MON-VER
	Modules []string // MON-VER extensions

	// ACK-ACK, ACK-NAK: the message answered; CFG-GNSS, CFG-VALGET: their data.
	AckClass, AckID byte
	Payload         []byte
}
