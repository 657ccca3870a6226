package ubx

import (
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

// fixOf translates the fix type common to NAV messages: 0 none, 1 dead
// reckoning, 2 2D, 3 3D, 4 satellites and dead reckoning, 5 time only. ok is
// their flag gnssFixOK.
func fixOf(t byte, ok bool) gnss.Fix {
	if !ok {
		return gnss.FixNone
	}
	switch t {
	case 1:
		return gnss.FixEstimated
	case 2:
		return gnss.Fix2D
	case 3, 4:
		return gnss.Fix3D
	case 5:
		return gnss.FixTime
	}
	return gnss.FixNone
}

// decodePVT reads NAV-PVT: year at 4, valid at 11 (1 date, 2 time, 4 resolved),
// tAcc at 12, nano at 16, fixType at 20, flags at 21 (1 fix ok), satellites at
// 23, then the position.
func decodePVT(s *gnss.Stream, m *gnss.Message, p payload) bool {
	s.SetFix(m, fixOf(p[20], p[21]&1 != 0))
	m.Sats, m.HasSats = int(p[23]), true
	m.TAcc = p.u32(12)
	m.UTC = utcOf(p[11]&4 != 0)
	if m.Fix != gnss.FixNone {
		if lat, lon := float64(p.i32(28))/1e7, float64(p.i32(24))/1e7; lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180 {
			m.Lat, m.Lon, m.HasPos = lat, lon, true
			m.Alt, m.HasAlt = float64(p.i32(36))/1e3, true
			m.HAcc, m.VAcc = float64(p.u32(40))/1e3, float64(p.u32(44))/1e3
		} else {
			s.Count(gnss.BadField)
		}
	}
	stated := p[11]&3 == 3
	return setUTC(s, m, p[4:], p.i32(16), stated, stated && m.UTC == gnss.UTCResolved && m.Fix.Good())
}

// decodeTimeUTC reads NAV-TIMEUTC: tAcc at 4, nano at 8, year at 12, valid at 19
// (1 time of week, 2 week, 4 UTC). The LEA-4 has the same layout.
func decodeTimeUTC(s *gnss.Stream, m *gnss.Message, p payload) bool {
	s.UseFix(m)
	m.TAcc = p.u32(4)
	m.UTC = utcOf(p[19]&4 != 0)
	stated := p[19]&7 == 7
	return setUTC(s, m, p[12:], p.i32(8), stated, stated && (m.Fix == gnss.FixUnknown || m.Fix.Good()))
}

// utcOf translates the flag of resolved leap seconds.
func utcOf(resolved bool) gnss.UTC {
	if resolved {
		return gnss.UTCResolved
	}
	return gnss.UTCUnresolved
}

// setUTC labels m with the calendar reading at c (year, month, day, hour,
// minute, second) plus nano, ns, which may be negative.
func setUTC(s *gnss.Stream, m *gnss.Message, c payload, nano int64, stated, valid bool) bool {
	m.Dated = true
	m.Year, m.Month, m.Day = c.u16(0), int(c[2]), int(c[3])
	m.Hour, m.Minute, m.Second = int(c[4]), int(c[5]), int(c[6])
	if !stated && (m.Year < 1980 || m.Month == 0) {
		s.Count(gnss.VoidStatus) // nothing is known yet, and the fields show it
		m.Civil = gnss.Civil{Dated: true}
		return true
	}
	if m.Hour > 23 || m.Minute > 59 || m.Second > 60 || nano < -1e9 || nano > 1e9 {
		return s.Refuse(gnss.BadTime)
	}
	if !s.SetUTC(m, stated) {
		return false
	}
	s.SetTime(m, m.Time+tai.Time(nano))
	s.BeginEpoch(m)
	m.Stated, m.Valid = stated, valid
	if !stated {
		s.Count(gnss.VoidStatus)
	}
	return true
}

// decodeTimeGPS reads NAV-TIMEGPS: time of week in ms at 0, its rest in ns at 4,
// week at 8, leap seconds GPS - UTC at 10, valid at 11 (1 time of week, 2 week,
// 4 leap), tAcc at 12.
func decodeTimeGPS(s *gnss.Stream, m *gnss.Message, p payload) bool {
	s.UseFix(m)
	m.TAcc, m.UTC = p.u32(12), utcOf(p[11]&4 != 0)
	if m.UTC == gnss.UTCResolved {
		s.SetLeapOffset(m, p.i8(10)+gnss.GPSToTAI, gnss.LeapUnreported)
	}
	return setGPS(s, m, p.i16(8), p.u32(0)*1e6+p.i32(4), p[11]&3 == 3)
}

// decodeSOL reads NAV-SOL: time of week in ms at 0, its rest in ns at 4, week at
// 8, fix at 10, flags at 11 (1 fix ok, 4 week, 8 time of week), satellites at 47.
func decodeSOL(s *gnss.Stream, m *gnss.Message, p payload) bool {
	s.SetFix(m, fixOf(p[10], p[11]&1 != 0))
	m.Sats, m.HasSats = int(p[47]), true
	return setGPS(s, m, p.i16(8), p.u32(0)*1e6+p.i32(4), p[11]&12 == 12)
}

// maxWeek is the highest GPS week taken, of the year 2248.
const maxWeek = 14000

// setGPS labels m with a GPS week and time of week, ns. GPS time has no leap
// seconds, so such a label is right even while UTC is unresolved.
func setGPS(s *gnss.Stream, m *gnss.Message, week int, tow int64, stated bool) bool {
	m.Dated = true
	if !stated {
		s.Count(gnss.VoidStatus)
		return true
	}
	if week < 0 || week > maxWeek {
		return s.Refuse(gnss.BadDate)
	}
	if tow < -1e9 || tow > gnss.WeekSeconds*1e9+1e9 {
		return s.Refuse(gnss.BadTime)
	}
	s.SetGPS(m, gnss.GPSTime(week, tow))
	s.BeginEpoch(m)
	m.Stated = true
	m.Valid = m.Fix == gnss.FixUnknown || m.Fix.Good()
	return true
}

// leapSources are the values of srcOfCurrLs in NAV-TIMELS, from 0 (u-blox F9
// interface description); 255 and any other is unknown.
var leapSources = [...]gnss.LeapSource{
	gnss.LeapFirmware, gnss.LeapGLONASS, gnss.LeapGPS, gnss.LeapSBAS, gnss.LeapBeiDou, gnss.LeapGalileo, gnss.LeapAided, gnss.LeapConfigured, gnss.LeapNavIC,
}

// decodeTimeLS reads NAV-TIMELS: source at 8, current GPS - UTC at 9, source of
// the change at 10, change at 11, seconds to it at 12, its GPS week and day at 16
// and 18, valid at 23 (1 current, 2 event).
func decodeTimeLS(s *gnss.Stream, m *gnss.Message, p payload) bool {
	source, offset := gnss.LeapUnknown, 0
	if i := int(p[8]); i < len(leapSources) {
		source = leapSources[i]
	}
	if p[23]&1 != 0 {
		offset = p.i8(9) + gnss.GPSToTAI
	}
	s.SetLeapOffset(m, offset, source)
	change := p.i8(11)
	if p[23]&2 == 0 || m.LeapOffset == 0 || change < -1 || change > 1 {
		return true
	}
	m.HasLeapEvent, m.LeapSign, m.LeapIn = true, change, int(p.i32(12))
	// The event is at the end of the given day of the given GPS week. Days run
	// from 1 (Sunday) to 7, BeiDou's from 0 to 6.
	week, day := p.u16(16), p.u16(18)
	if p[10] == 4 {
		day++
	}
	if change == 0 || day < 1 || day > 7 {
		return true
	}
	before := m.LeapOffset
	if m.LeapIn <= 0 {
		before -= change // it is past: the current offset is the new one
	}
	utc := int64(gnss.GPSEpoch) + int64(week)*gnss.WeekSeconds + int64(day)*86400
	m.LeapAt = tai.Leap{UTC: utc, Offset: before + change}.At()
	return true
}

// decodeClock reads NAV-CLOCK: bias in ns at 4, drift in ns/s at 8, tAcc at 12,
// fAcc at 16.
func decodeClock(s *gnss.Stream, m *gnss.Message, p payload) bool {
	m.TAcc = p.u32(12)
	m.Oscillator = gnss.Oscillator{HasClock: true, ClockBiasNS: p.i32(4), ClockDriftPPB: p.i32(8), ClockFreqAcc: p.u32(16)}
	return true
}

// decodeStatus reads NAV-STATUS: fix at 4, flags at 5 (1 fix ok), spoofing in
// bits 3 and 4 of 7.
func decodeStatus(s *gnss.Stream, m *gnss.Message, p payload) bool {
	s.SetFix(m, fixOf(p[4], p[5]&1 != 0))
	m.Spoofing, m.HasSpoofing = spoofingOf(p[7]>>3&3), true
	return true
}

// decodeSAT reads NAV-SAT: count at 5, from 8 on 12 octets each: system, id,
// C/N0, elevation, azimuth (2), residual (2), flags (4; 8 = used).
func decodeSAT(s *gnss.Stream, m *gnss.Message, p payload) bool {
	n := int(p[5])
	if len(p) < 8+12*n {
		return s.Refuse(gnss.BadLength)
	}
	m.InView, m.HasSats = n, true
	m.Satellites = make([]gnss.Satellite, 0, n)
	for i := 8; i < 8+12*n; i += 12 {
		addSatellite(m, gnss.Satellite{System: gnss.System(p[i]), ID: int(p[i+1]), Elevation: p.i8(i + 3), Azimuth: p.i16(i + 4), CN0: int(p[i+2]), Used: p[i+8]&8 != 0})
	}
	return true
}

// decodeSVInfo reads NAV-SVINFO, the predecessor of NAV-SAT: count at 4, from 8
// on 12 octets each: channel, id, flags (1 = used), quality, C/N0, elevation,
// azimuth (2), ...
func decodeSVInfo(s *gnss.Stream, m *gnss.Message, p payload) bool {
	n := int(p[4])
	if len(p) < 8+12*n {
		return s.Refuse(gnss.BadLength)
	}
	m.InView, m.HasSats = n, true
	m.Satellites = make([]gnss.Satellite, 0, n)
	for i := 8; i < 8+12*n; i += 12 {
		if p[i+1] == 0 || p[i] == 255 {
			continue // a channel without a satellite
		}
		sys, id := oldSatellite(int(p[i+1]))
		addSatellite(m, gnss.Satellite{System: sys, ID: id, Elevation: p.i8(i + 5), Azimuth: p.i16(i + 6), CN0: int(p[i+4]), Used: p[i+2]&1 != 0})
	}
	return true
}

// addSatellite appends a satellite whose angles it checks, and counts it if it
// is used.
func addSatellite(m *gnss.Message, s gnss.Satellite) {
	if s.Elevation < -90 || s.Elevation > 90 {
		s.Elevation = gnss.NoElevation
	}
	if s.Azimuth < 0 || s.Azimuth > 360 {
		s.Azimuth = gnss.NoAzimuth
	}
	if s.System > gnss.NavIC {
		s.System = gnss.SystemUnknown
	}
	if s.Used {
		m.Sats++
	}
	m.Satellites = append(m.Satellites, s)
}

// oldSatellite translates the single numbering of old receivers ("satellite
// numbering" in the protocol descriptions).
func oldSatellite(id int) (gnss.System, int) {
	switch {
	case id <= 32:
		return gnss.GPS, id
	case id <= 64:
		return gnss.BeiDou, id - 27
	case id <= 96:
		return gnss.GLONASS, id - 64
	case id >= 120 && id <= 158:
		return gnss.SBAS, id
	case id >= 159 && id <= 163:
		return gnss.BeiDou, id - 158
	case id >= 173 && id <= 182:
		return gnss.IMES, id - 172
	case id >= 193 && id <= 202:
		return gnss.QZSS, id - 192
	case id >= 211 && id <= 246:
		return gnss.Galileo, id - 210
	case id == 255:
		return gnss.GLONASS, 0
	}
	return gnss.SystemUnknown, id
}
