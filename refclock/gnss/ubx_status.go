package gnss

import (
	"math"
	"slices"

	"noonmark/phc/tai"
)

// navSAT: count at 5, from 8 on 12 octets each: system, id, C/N0, elevation,
// azimuth (2), residual (2), flags (4; 8 = used).
func (d *Decoder) navSAT(m *Message, p payload) bool {
	n := int(p[5])
	if len(p) < 8+12*n {
		return d.refuse(BadLength)
	}
	m.InView, m.HasSats = n, true
	m.Satellites = make([]Satellite, 0, n)
	for i := 8; i < 8+12*n; i += 12 {
		m.addSat(Satellite{System(p[i]), int(p[i+1]), p.i8(i + 3), p.i16(i + 4), int(p[i+2]), p[i+8]&8 != 0})
	}
	return true
}

// navSVInfo is NAV-SAT's forerunner: count at 4, from 8 on 12 octets each:
// channel, id, flags (1 = used), quality, C/N0, elevation, azimuth (2), ...
func (d *Decoder) navSVInfo(m *Message, p payload) bool {
	n := int(p[4])
	if len(p) < 8+12*n {
		return d.refuse(BadLength)
	}
	m.InView, m.HasSats = n, true
	m.Satellites = make([]Satellite, 0, n)
	for i := 8; i < 8+12*n; i += 12 {
		if p[i+1] == 0 || p[i] == 255 {
			continue // a channel without a satellite
		}
		sys, id := oldSatellite(int(p[i+1]))
		m.addSat(Satellite{sys, id, p.i8(i + 5), p.i16(i + 6), int(p[i+4]), p[i+2]&1 != 0})
	}
	return true
}

// addSat appends a satellite whose angles are checked, and counts it as used.
func (m *Message) addSat(s Satellite) {
	if s.Elevation < -90 || s.Elevation > 90 {
		s.Elevation = NoElevation
	}
	if s.Azimuth < 0 || s.Azimuth > 360 {
		s.Azimuth = NoAzimuth
	}
	if s.System > NavIC {
		s.System = SystemUnknown
	}
	if s.Used {
		m.Sats++
	}
	m.Satellites = append(m.Satellites, s)
}

// oldSatellite translates the single numbering of old receivers ("satellite
// numbering" in the protocol descriptions).
func oldSatellite(id int) (System, int) {
	switch {
	case id <= 32:
		return GPS, id
	case id <= 64:
		return BeiDou, id - 27
	case id <= 96:
		return GLONASS, id - 64
	case id >= 120 && id <= 158:
		return SBAS, id
	case id >= 159 && id <= 163:
		return BeiDou, id - 158
	case id >= 173 && id <= 182:
		return IMES, id - 172
	case id >= 193 && id <= 202:
		return QZSS, id - 192
	case id >= 211 && id <= 246:
		return Galileo, id - 210
	case id == 255:
		return GLONASS, 0
	}
	return SystemUnknown, id
}

// timTP: time of week in ms at 0, its rest in 2^-32 ms at 4, quantisation error
// in ps at 8, week at 12, flags at 14 (1 UTC base, 2 UTC available, 16 error
// invalid), base at 15.
func (d *Decoder) timTP(m *Message, p payload) bool {
	const utcBase, utcKnown, qErrInvalid = 1, 2, 16
	m.QErrPS, m.HasQErr = p.i32(8), p[14]&qErrInvalid == 0
	week, tow := p.u16(12), p.u32(0)*1e6+p.u32(4)*1e6>>32
	if week == 0 || week > 14000 || tow > weekSeconds*1e9 {
		return true // before the first fix there is no time to mark
	}
	t := gpsTime(week, tow)
	switch {
	case p[14]&utcBase != 0 && p[14]&utcKnown != 0:
		// The week and time of week are counted in UTC from the GPS epoch.
		sec := gpsUnix + int64(week)*weekSeconds + tow/1e9
		t += tai.Time(d.cal.leaps.OffsetUTC(sec)-gpsToTAI) * tai.Second
	case p[14]&utcBase != 0:
		return true // UTC without its leap seconds names no instant
	case p[15]&15 != 0:
		return true // weeks of GLONASS, BeiDou or Galileo are counted otherwise
	}
	m.PulseTime, m.Rollover = d.cal.instant(t)
	m.HasPulse = true
	return true
}

// timSVIN: duration in s at 0, variance in mm2 at 16, observations at 20, valid
// at 24, active at 25.
func (d *Decoder) timSVIN(m *Message, p payload) bool {
	m.HasSurvey, m.SurveyDur, m.SurveyObs = true, p.count(0), p.count(20)
	m.SurveyAcc = math.Sqrt(float64(p.u32(16))) / 1e3
	m.SurveyValid, m.SurveyActive = p[24] != 0, p[25] != 0
	return true
}

// navSVIN is TIM-SVIN of the ninth generation: duration at 8, accuracy in
// 0.1 mm at 28, observations at 32, valid at 36, active at 37.
func (d *Decoder) navSVIN(m *Message, p payload) bool {
	m.HasSurvey, m.SurveyDur, m.SurveyObs = true, p.count(8), p.count(32)
	m.SurveyAcc = float64(p.u32(28)) / 1e4
	m.SurveyValid, m.SurveyActive = p[36] != 0, p[37] != 0
	return true
}

// antenna translates aStatus: 0 initialising, 1 unknown, 2 ok, 3 short, 4 open.
func antenna(v byte) Antenna {
	if v >= 2 && v <= 4 {
		return Antenna(v - 1)
	}
	return AntennaUnknown
}

// antennaPower translates aPower.
func antennaPower(v byte) string {
	switch v {
	case 0:
		return "off"
	case 1:
		return "on"
	}
	return "unknown"
}

// monHW: antenna at 20, its power at 21, jamming in bits 2 and 3 of 22, jamming
// indicator at 45, in the longer form of generation 6 at 53.
func (d *Decoder) monHW(m *Message, p payload) bool {
	m.HasAntenna, m.Antenna, m.AntennaPower = true, antenna(p[20]), antennaPower(p[21])
	m.Jamming = Threat(p[22] >> 2 & 3)
	m.JamIndicator = int(p[45])
	if len(p) >= 68 {
		m.JamIndicator = int(p[53])
	}
	return true
}

// monRF: blocks at 1, from 4 on 24 octets each: id, flags (jamming in the low
// two bits), antenna, its power, ..., jamming indicator at 16. The worst block
// speaks for all.
func (d *Decoder) monRF(m *Message, p payload) bool {
	n := int(p[1])
	if len(p) < 4+24*n {
		return d.refuse(BadLength)
	}
	m.AntennaPower = "unknown"
	for i := 4; i < 4+24*n; i += 24 {
		m.HasAntenna = true
		m.Antenna = max(m.Antenna, antenna(p[i+2]))
		if w := antennaPower(p[i+3]); w != "unknown" {
			m.AntennaPower = w
		}
		m.Jamming = max(m.Jamming, Threat(p[i+1]&3))
		m.JamIndicator = max(m.JamIndicator, int(p[i+16]))
	}
	return true
}

// secSIG version 1: jamming in bits 1 and 2 of 4, spoofing in bits 1 to 3 of 8.
// Version 2: jamming in bits 1 and 2, spoofing in bits 4 to 6 of 1. Version 3
// has the layout of version 2 (X20 HPG 2.11 interface description).
func (d *Decoder) secSIG(m *Message, p payload) bool {
	switch {
	case p[0] == 1 && len(p) >= 12:
		if p[4]&1 != 0 {
			m.Jamming = Threat(p[4] >> 1 & 3)
		}
		if p[8]&1 != 0 {
			m.Spoofing = spoof(p[8] >> 1 & 7)
		}
	case p[0] == 2 || p[0] == 3:
		if p[1]&1 != 0 {
			m.Jamming = Threat(p[1] >> 1 & 3)
		}
		if p[1]&8 != 0 {
			m.Spoofing = spoof(p[1] >> 4 & 7)
		}
	case p[0] == 1:
		return d.refuse(BadLength)
	default:
		return d.refuse(UnknownSentence) // a version whose layout is not known here
	}
	return true
}

// monVER: software in 30 octets, hardware in 10, extensions in 30 each.
func (d *Decoder) monVER(m *Message, p payload) bool {
	m.Text, m.HW = p.text(0, 30), p.text(30, 10)
	for i := 40; i+30 <= len(p); i += 30 {
		if x := p.text(i, 30); x != "" {
			m.Modules = append(m.Modules, x)
		}
	}
	return true
}

func (d *Decoder) ack(m *Message, p payload) bool {
	m.AckClass, m.AckID = p[0], p[1]
	return true
}

func (d *Decoder) raw(m *Message, p payload) bool {
	m.Payload = slices.Clone([]byte(p))
	return true
}
