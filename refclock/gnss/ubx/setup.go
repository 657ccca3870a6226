package ubx

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"noonmark/refclock/gnss"
)

// Setup is the wanted configuration of a receiver.
type Setup struct {
	// Layers are the memories that settings go to; 0 means RAM only, so that
	// nothing outlives the next reset.
	Layers Layer
	// USB: the receiver is connected through its own USB port, not UART 1.
	USB bool
	// Baud is the rate of UART 1 to change to; 0 leaves it.
	Baud int
	// Systems are the satellite systems to use; nil leaves them.
	Systems []gnss.System
	// Pulse is the time pulse; nil leaves it.
	Pulse *Pulse
	// Fixed, or else a survey-in of SurveySeconds or more down to SurveyAcc (m);
	// neither leaves the receiver navigating.
	Fixed         *gnss.Position
	SurveySeconds int
	SurveyAcc     float64
	// NMEA keeps RMC, ZDA and GGA in addition to UBX, for other readers of the port.
	NMEA bool
}

// Keys of the configuration database (u-blox generation 9 and later), compared
// with the table of gpsd 3.22 (gps/ubx.py); those of SEC-SIG and NavIC, which are
// not in it, with SparkFun's u-blox_config_keys.h.
const (
	keyRateMeas   = 0x30210001 // ms
	keyRateNav    = 0x30210002
	keyDynModel   = 0x20110021 // 2 = stationary
	keyBaudUART1  = 0x40520001
	keyOutUBX     = 0x10740001 // UART 1; USB is 0x00040000 on
	keyOutNMEA    = 0x10740002
	usbOutOffset  = 0x00040000
	keyTPPulseDef = 0x20050023 // 0 = period
	keyTPLenDef   = 0x20050030 // 1 = length
	keyTPCable    = 0x30050001 // ns
	keyTPPeriod   = 0x40050002 // µs
	keyTPPeriodLk = 0x40050003
	keyTPLen      = 0x40050004 // µs
	keyTPLenLk    = 0x40050005
	keyTPUser     = 0x40050006 // ns
	keyTPEnable   = 0x10050007
	keyTPSync     = 0x10050008
	keyTPUseLk    = 0x10050009
	keyTPAlign    = 0x1005000A
	keyTPRising   = 0x1005000B
	keyTPGrid     = 0x2005000C // 1 = GPS
	keyTModeMode  = 0x20030001 // 0 off, 1 survey-in, 2 fixed
	keyTModeType  = 0x20030002 // 1 = latitude, longitude, height
	keyTModeLat   = 0x40030009 // 1e-7 degrees
	keyTModeLon   = 0x4003000A
	keyTModeH     = 0x4003000B // cm
	keyTModeLatHP = 0x2003000C // 1e-9 degrees
	keyTModeLonHP = 0x2003000D
	keyTModeHHP   = 0x2003000E // 0.1 mm
	keyTModeAcc   = 0x4003000F // 0.1 mm
	keySvinDur    = 0x40030010 // s
	keySvinAcc    = 0x40030011 // 0.1 mm
	keyITFM       = 0x1041000D // interference monitor, which MON-RF reports
)

// output is one message on a port: its key for I2C (that of UART 1 is one more,
// that of USB three), its id for CFG-MSG, and its period in epochs.
type output struct {
	key  uint32
	id   int
	rate int
}

// outputs are the messages that are used. The time message comes every second;
// what changes slowly comes rarely, so that 9600 baud is enough.
var outputs = [...]output{
	{0x20910006, navPVT, 1},
	{0x2091017D, timTP, 1},
	{0x20910047, navTimeGPS, 1},
	{0x20910060, navTimeLS, 10},
	{0x20910065, navClock, 5},
	{0x20910015, navSAT, 10},
	{0x2091001A, navStatus, 5},
	{0x20910359, monRF, 5},
	{0x20910634, secSIG, 5},
}

// surveyOutputs report the progress of a survey-in. Timing receivers have the
// first, high-precision receivers the second.
var surveyOutputs = [...]output{{0x20910097, timSVIN, 10}, {0x20910088, navSVIN, 10}}

// sentences are the NMEA sentences switched off, and those that Setup.NMEA keeps.
var sentences = [...]struct {
	key  uint32
	id   int
	keep bool
}{
	{0x209100BA, 0xF000, true},  // GGA
	{0x209100C9, 0xF001, false}, // GLL
	{0x209100BF, 0xF002, false}, // GSA
	{0x209100C4, 0xF003, false}, // GSV
	{0x209100AB, 0xF004, true},  // RMC
	{0x209100B0, 0xF005, false}, // VTG
	{0x209100D8, 0xF008, true},  // ZDA
}

// signalGroup is the upper half of the keys of satellite systems.
const signalGroup = 0x1031

// signalKeys are the keys that enable a satellite system, in the order in which
// they are sent. NavIC is sent only if it is wanted: few receivers have it.
var signalKeys = [...]struct {
	system gnss.System
	key    uint32
}{
	{gnss.GPS, 0x1031001F},
	{gnss.SBAS, 0x10310020},
	{gnss.Galileo, 0x10310021},
	{gnss.BeiDou, 0x10310022},
	{gnss.QZSS, 0x10310024},
	{gnss.GLONASS, 0x10310025},
	{gnss.NavIC, 0x10310026},
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// settings returns the groups of settings for generation 9 and later. A group
// is accepted or refused as a whole.
func (s *Setup) settings() [][]setting {
	port, usb := uint32(1), uint32(0)
	if s.USB {
		port, usb = 3, usbOutOffset
	}
	groups := [][]setting{
		{{keyRateMeas, 1000}, {keyRateNav, 1}, {keyOutUBX + usb, 1}, {keyOutNMEA + usb, flag(s.NMEA)}},
	}
	var out []setting
	for _, o := range outputs {
		out = append(out, setting{o.key + port, uint64(o.rate)})
	}
	if s.NMEA {
		for _, o := range sentences {
			out = append(out, setting{o.key + port, flag(o.keep)})
		}
	}
	groups = append(groups, out, []setting{{keyITFM, 1}})
	if s.Pulse != nil {
		groups = append(groups, s.Pulse.settings())
	}
	if s.Systems != nil {
		var sig []setting
		for _, k := range signalKeys {
			if want := slices.Contains(s.Systems, k.system); want || k.system != gnss.NavIC {
				sig = append(sig, setting{k.key, flag(want)})
			}
		}
		groups = append(groups, sig)
	}
	return append(groups, s.timeMode(port)...)
}

// settings returns the settings of the time pulse.
func (p *Pulse) settings() []setting {
	unlocked := uint64(0)
	if p.WithoutFix {
		unlocked = uint64(p.LengthUS)
	}
	return []setting{
		{keyTPPulseDef, 0}, {keyTPLenDef, 1}, {keyTPCable, uint64(uint16(p.CableNS))},
		{keyTPPeriod, 1e6}, {keyTPPeriodLk, 1e6}, {keyTPLen, unlocked}, {keyTPLenLk, uint64(p.LengthUS)},
		{keyTPUser, uint64(uint32(p.UserNS))}, {keyTPEnable, 1}, {keyTPSync, 1}, {keyTPUseLk, 1},
		{keyTPAlign, 1}, {keyTPRising, 1}, {keyTPGrid, 1},
	}
}

// timeMode returns the groups of settings for a fixed antenna.
func (s *Setup) timeMode(port uint32) (groups [][]setting) {
	switch {
	case s.Fixed != nil:
		lat, latHP := split(s.Fixed.Lat, 1e7)
		lon, lonHP := split(s.Fixed.Lon, 1e7)
		h, hHP := split(s.Fixed.Height, 100)
		groups = append(groups, []setting{{keyDynModel, 2}}, []setting{
			{keyTModeMode, 2}, {keyTModeType, 1}, {keyTModeLat, lat}, {keyTModeLatHP, latHP}, {keyTModeLon, lon},
			{keyTModeLonHP, lonHP}, {keyTModeH, h}, {keyTModeHHP, hHP}, {keyTModeAcc, tenthMM(s.Fixed.Acc)},
		})
	case s.SurveySeconds > 0:
		groups = append(groups, []setting{{keyDynModel, 2}}, []setting{
			{keySvinDur, uint64(s.SurveySeconds)}, {keySvinAcc, tenthMM(s.SurveyAcc)}, {keyTModeMode, 1},
		})
		for _, o := range surveyOutputs {
			groups = append(groups, []setting{{o.key + port, uint64(o.rate)}})
		}
	}
	return groups
}

// split writes v in units of 1/scale, with a second value in hundredths of them.
// Both are two's complement, of the lengths that the keys have.
func split(v, scale float64) (unit, hundredth uint64) {
	all := int64(math.Round(v * scale * 100))
	u := all / 100
	return uint64(uint32(int32(u))), uint64(uint8(int8(all - u*100)))
}

// tenthMM writes a length in m in units of 0.1 mm, at most 100 km.
func tenthMM(m float64) uint64 {
	return uint64(math.Round(math.Min(math.Max(m, 0), 1e5) * 1e4))
}

// protocolVersion returns the PROTVER of a MON-VER in hundredths, 0 if it has
// none (before generation 7).
func protocolVersion(m *gnss.Message) int {
	for _, x := range m.Modules {
		v, ok := strings.CutPrefix(x, "PROTVER")
		if !ok {
			continue
		}
		if f, err := strconv.ParseFloat(strings.TrimLeft(v, " ="), 64); err == nil && f > 0 && f < 1000 {
			return int(math.Round(f * 100))
		}
	}
	return 0
}
