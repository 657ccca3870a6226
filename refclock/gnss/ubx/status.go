package ubx

import (
	"math"
	"slices"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

// decodeTP reads TIM-TP: time of week in ms at 0, its rest in 2^-32 ms at 4,
// quantisation error in ps at 8, week at 12, flags at 14 (1 UTC base, 2 UTC
// available, 16 error invalid), base at 15.
func decodeTP(s *gnss.Stream, m *gnss.Message, p payload) bool {
	const utcBase, utcKnown, qErrInvalid = 1, 2, 16
	m.QErrPS, m.HasQErr = p.i32(8), p[14]&qErrInvalid == 0
	week, tow := p.u16(12), p.u32(0)*1e6+p.u32(4)*1e6>>32
	if week == 0 || week > maxWeek || tow > gnss.WeekSeconds*1e9 {
		return true // before the first fix the pulse marks no instant
	}
	t := gnss.GPSTime(week, tow)
	switch {
	case p[14]&utcBase != 0 && p[14]&utcKnown != 0:
		// Week and time of week are counted in UTC from the GPS epoch.
		posix := gnss.GPSEpoch + int64(week)*gnss.WeekSeconds + tow/1e9
		t += tai.Time(s.LeapOffset(posix)-gnss.GPSToTAI) * tai.Second
	case p[14]&utcBase != 0:
		return true // UTC without its leap seconds is no instant
	case p[15]&15 != 0:
		return true // weeks of GLONASS, BeiDou and Galileo are counted otherwise
	}
	m.PulseTime, m.Rollover = s.Rollover(t)
	m.HasPulse = true
	return true
}

// decodeTimSVIN reads TIM-SVIN: duration in s at 0, variance in mm2 at 16,
// observations at 20, valid at 24, active at 25.
func decodeTimSVIN(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.Survey = gnss.Survey{
		HasSurvey: true, SurveyDur: p.count(0), SurveyObs: p.count(20), SurveyAcc: math.Sqrt(float64(p.u32(16))) / 1e3,
		SurveyValid: p[24] != 0, SurveyActive: p[25] != 0,
	}
	return true
}

// decodeNavSVIN reads NAV-SVIN, the TIM-SVIN of the ninth generation: duration at
// 8, accuracy in 0.1 mm at 28, observations at 32, valid at 36, active at 37.
func decodeNavSVIN(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.Survey = gnss.Survey{
		HasSurvey: true, SurveyDur: p.count(8), SurveyObs: p.count(32), SurveyAcc: float64(p.u32(28)) / 1e4,
		SurveyValid: p[36] != 0, SurveyActive: p[37] != 0,
	}
	return true
}

// antennaOf translates aStatus: 0 initialising, 1 unknown, 2 ok, 3 short, 4 open.
func antennaOf(v byte) gnss.Antenna {
	switch v {
	case 2:
		return gnss.AntennaOK
	case 3:
		return gnss.AntennaShort
	case 4:
		return gnss.AntennaOpen
	}
	return gnss.AntennaUnknown
}

// powerOf translates aPower: 0 off, 1 on, 2 unknown.
func powerOf(v byte) gnss.AntennaPower {
	switch v {
	case 0:
		return gnss.PowerOff
	case 1:
		return gnss.PowerOn
	}
	return gnss.PowerUnknown
}

// jammingOf translates jammingState, which is common to MON-HW, MON-RF and
// SEC-SIG: 0 unknown or off, 1 none, 2 warning, 3 critical. Only its two lowest
// bits are read.
func jammingOf(v byte) gnss.Threat {
	return [...]gnss.Threat{gnss.ThreatUnknown, gnss.ThreatNone, gnss.ThreatWarning, gnss.ThreatCritical}[v&3]
}

// spoofingOf translates the state common to NAV-STATUS and SEC-SIG: 0 unknown or
// off, 1 none, 2 indicated, 3 several indications.
func spoofingOf(v byte) gnss.Threat {
	if v > 3 {
		return gnss.ThreatUnknown
	}
	return jammingOf(v)
}

// decodeHW reads MON-HW: antenna at 20, its power at 21, jamming in bits 2 and 3
// of 22, jamming indicator at 45, in the longer form of generation 6 at 53.
func decodeHW(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.HasAntenna, m.Antenna, m.AntennaPower = true, antennaOf(p[20]), powerOf(p[21])
	m.Jamming = jammingOf(p[22] >> 2)
	m.JamIndicator = int(p[45])
	if len(p) >= 68 {
		m.JamIndicator = int(p[53])
	}
	return true
}

// decodeRF reads MON-RF: blocks at 1, from 4 on 24 octets each: id, flags
// (jamming in the low two bits), antenna, its power, ..., jamming indicator at
// 16. The worst block counts.
func decodeRF(s *gnss.Stream, m *gnss.Message, p payload) bool {
	n := int(p[1])
	if len(p) < 4+24*n {
		return s.Refuse(gnss.BadLength)
	}
	m.AntennaPower = gnss.PowerUnknown
	for i := 4; i < 4+24*n; i += 24 {
		m.HasAntenna = true
		m.Antenna = max(m.Antenna, antennaOf(p[i+2]))
		if w := powerOf(p[i+3]); w != gnss.PowerUnknown {
			m.AntennaPower = w
		}
		m.Jamming = max(m.Jamming, jammingOf(p[i+1]))
		m.JamIndicator = max(m.JamIndicator, int(p[i+16]))
	}
	return true
}

// decodeSIG reads SEC-SIG. Version 1: jamming in bits 1 and 2 of 4, spoofing in
// bits 1 to 3 of 8. Version 2: jamming in bits 1 and 2, spoofing in bits 4 to 6
// of 1. Version 3 has the layout of version 2 (X20 HPG 2.11 interface
// description; SparkFun's u-blox library saw it on an X20P).
func decodeSIG(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.HasSpoofing = true
	switch {
	case p[0] == 1 && len(p) >= 12:
		if p[4]&1 != 0 {
			m.Jamming = jammingOf(p[4] >> 1)
		}
		if p[8]&1 != 0 {
			m.Spoofing = spoofingOf(p[8] >> 1 & 7)
		}
	case p[0] == 2 || p[0] == 3:
		if p[1]&1 != 0 {
			m.Jamming = jammingOf(p[1] >> 1)
		}
		if p[1]&8 != 0 {
			m.Spoofing = spoofingOf(p[1] >> 4 & 7)
		}
	case p[0] == 1:
		return s.Refuse(gnss.BadLength)
	default:
		return s.Refuse(gnss.UnknownSentence) // a version of unknown layout
	}
	return true
}

// decodeVER reads MON-VER: software in 30 octets, hardware in 10, extensions in
// 30 each.
func decodeVER(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.Text, m.HW = p.text(0, 30), p.text(30, 10)
	for i := 40; i+30 <= len(p); i += 30 {
		if x := p.text(i, 30); x != "" {
			m.Modules = append(m.Modules, x)
		}
	}
	return true
}

// decodeAck reads ACK-ACK and ACK-NAK: class and id of the message answered.
func decodeAck(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.AckClass, m.AckID = p[0], p[1]
	return true
}

// decodePayload hands out the payload as it is.
func decodePayload(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.Payload = slices.Clone([]byte(p))
	return true
}
