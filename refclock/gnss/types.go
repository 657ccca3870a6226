package gnss

import (
	"fmt"
	"slices"
)

// Fix is the kind of solution that the receiver reports.
type Fix uint8

// The kinds of fix.
const (
	FixUnknown   Fix = iota // not reported
	FixNone                 // reported as missing
	FixEstimated            // dead reckoning or simulation: not from satellites
	FixManual               // a position entered by hand
	Fix2D
	Fix3D
	FixTime // time from satellites at a fixed position
	FixGNSS // from satellites, dimension unknown
)

var fixNames = [...]string{"unknown", "none", "estimated", "manual", "2d", "3d", "time", "gnss"}

// String returns the word in documents and JSON.
func (f Fix) String() string {
	if int(f) < len(fixNames) {
		return fixNames[f]
	}
	return "unknown"
}

// Good reports whether the time comes from satellites. FixManual counts: timing
// receivers report their surveyed position so.
func (f Fix) Good() bool { return f >= FixManual }

// Antenna is the state of the antenna supply.
type Antenna uint8

// The states of the antenna supply. The worse one is the greater.
const (
	AntennaUnknown Antenna = iota
	AntennaOK
	AntennaShort
	AntennaOpen
)

var antennaNames = [...]string{"unknown", "ok", "short", "open"}

// String returns the word in status and JSON.
func (a Antenna) String() string {
	if int(a) < len(antennaNames) {
		return antennaNames[a]
	}
	return "unknown"
}

// AntennaPower is the state of the antenna's power as the receiver switches it.
type AntennaPower uint8

// The states of the antenna's power.
const (
	PowerUnreported AntennaPower = iota // the message does not report it
	PowerUnknown                        // the receiver does not know it
	PowerOff
	PowerOn
)

var powerNames = [...]string{"", "unknown", "off", "on"}

// String returns the word in JSON, empty for PowerUnreported.
func (p AntennaPower) String() string {
	if int(p) < len(powerNames) {
		return powerNames[p]
	}
	return "unknown"
}

// Threat is what the receiver reports of jamming or spoofing.
type Threat uint8

// The threats. The worse one is the greater.
const (
	ThreatUnknown  Threat = iota // not reported; most receivers ship with the detectors off
	ThreatNone                   // the detector is on and finds nothing
	ThreatWarning                // detected; the fix is still good
	ThreatCritical               // detected; the fix cannot be relied on
)

var threatNames = [...]string{"unknown", "none", "warning", "critical"}

// String returns the word in status and JSON.
func (t Threat) String() string {
	if int(t) < len(threatNames) {
		return threatNames[t]
	}
	return "unknown"
}

// System is a satellite system, numbered as u-blox does (gnssId).
type System uint8

// The satellite systems.
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

// String returns the system's name.
func (s System) String() string {
	if int(s) < len(systemNames) {
		return systemNames[s]
	}
	return "unknown"
}

// TimeScale is the time scale of the labels in sentences.
type TimeScale uint8

// The time scales. GPS time and TAI have no leap seconds.
const (
	ScaleUTC TimeScale = iota
	ScaleGPS
	ScaleTAI
)

var scaleNames = [...]string{"utc", "gps", "tai"}

// String returns the scale's word in configuration files.
func (s TimeScale) String() string {
	if int(s) < len(scaleNames) {
		return scaleNames[s]
	}
	return "unknown"
}

// UnmarshalText reads the word of a configuration file.
func (s *TimeScale) UnmarshalText(b []byte) error {
	i := slices.Index(scaleNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is no time scale; want one of %q", b, scaleNames)
	}
	*s = TimeScale(i)
	return nil
}

// MarshalText returns String.
func (s TimeScale) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// toTAI returns TAI minus the scale, s, of one without leap seconds.
func (s TimeScale) toTAI() int {
	if s == ScaleGPS {
		return GPSToTAI
	}
	return 0
}

// Confidence is what a label must have to be used.
type Confidence uint8

// The levels, of which the zero value is the default.
const (
	ConfidenceFix         Confidence = iota // besides being stated, no message reports that there is no fix
	ConfidenceStated                        // the receiver does not mark the label as void
	ConfidenceReportedFix                   // besides, a message reports a fix
)

var confidenceNames = [...]string{"fix", "stated", "reported_fix"}

// String returns the level's word in configuration files.
func (c Confidence) String() string {
	if int(c) < len(confidenceNames) {
		return confidenceNames[c]
	}
	return "unknown"
}

// UnmarshalText reads the word of a configuration file.
func (c *Confidence) UnmarshalText(b []byte) error {
	i := slices.Index(confidenceNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is no confidence; want one of %q", b, confidenceNames)
	}
	*c = Confidence(i)
	return nil
}

// MarshalText returns String.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// admits reports whether the label of a decoded message may be used.
func (c Confidence) admits(m *Message) bool {
	switch c {
	case ConfidenceStated:
		return m.Stated
	case ConfidenceReportedFix:
		return m.Valid && m.Fix.Good()
	}
	return m.Valid
}

// UTC is whether the receiver knows the leap seconds with which it makes UTC.
// Without them a label in UTC may be wrong by whole seconds.
type UTC uint8

// The states of UTC.
const (
	UTCUnreported UTC = iota // the message does not report it
	UTCUnresolved            // the leap seconds are not known yet
	UTCResolved              // they are known, though perhaps not from satellites
)

// LeapSource is where a receiver has its present count of leap seconds from.
type LeapSource uint8

// The sources of the count.
const (
	LeapUnreported LeapSource = iota // the message does not report it
	LeapUnknown                      // the receiver does not know it
	LeapFirmware                     // the default of the firmware, which may be years old
	LeapGLONASS                      // difference between GPS and GLONASS time
	LeapGPS
	LeapSBAS
	LeapBeiDou
	LeapGalileo
	LeapAided      // aiding data that the host supplied
	LeapConfigured // by the user
	LeapNavIC
	LeapHeard // from satellites; the message does not name the system
)

var leapSourceNames = [...]string{"", "unknown", "firmware", "GPS-GLONASS difference", "GPS", "SBAS", "BeiDou", "Galileo", "aided data", "configured", "NavIC", "satellites"}

// FromSatellites reports whether the receiver heard the count from satellites. A
// source that is not listed here is none, whatever a new firmware adds.
func (l LeapSource) FromSatellites() bool {
	switch l {
	case LeapGLONASS, LeapGPS, LeapSBAS, LeapBeiDou, LeapGalileo, LeapNavIC, LeapHeard:
		return true
	}
	return false
}

// String returns the word in logs and JSON, empty for LeapUnreported.
func (l LeapSource) String() string {
	if int(l) < len(leapSourceNames) {
		return leapSourceNames[l]
	}
	return "unknown"
}

// Position is where a fixed antenna stands.
type Position struct {
	Lat, Lon float64 // degrees, + = north, east (WGS 84)
	Height   float64 // m above the ellipsoid, not above mean sea level
	Acc      float64 // m, accuracy of the position
}
