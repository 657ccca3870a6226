package gnss

import (
	"time"

	"noonmark/phc/tai"
)

// Stream is what all protocols of one input share: the calendar, the latest fix
// and the counters. A Protocol uses it while it decodes a frame.
type Stream struct {
	c        Counters
	dates    dates
	newLeaps bool
	scale    TimeScale // of calendar labels without a scale of their own

	fixes      fixes
	epochs     epochs
	leapSource LeapSource // as NAV-TIMELS named it last
}

func (s *Stream) init(cfg Config) {
	s.newLeaps, s.scale = cfg.NewLeaps, cfg.TimeScale
	s.dates = dates{floor: cfg.NotBefore.UTC(), leaps: cfg.Leaps}
	if s.dates.leaps == nil {
		s.dates.leaps = tai.Builtin()
	}
}

func (s *Stream) reset() {
	s.dates.forget()
	s.dates.offset = 0
	s.fixes, s.epochs, s.leapSource = fixes{}, epochs{}, LeapUnreported
}

// Count counts a Defect for a message that is handed out all the same.
func (s *Stream) Count(d Defect) { s.c.count(d) }

// Refuse counts a Defect and returns false, for Decode to return.
func (s *Stream) Refuse(d Defect) bool {
	s.c.count(d)
	return false
}

// SetFix sets the fix of a message that reports one.
func (s *Stream) SetFix(m *Message, f Fix) {
	m.Fix = f
	m.FixElsewhere = !s.fixes.report(m.Talker, f, m.Mono)
	m.FixDisputed = s.fixes.dispute(m, f)
}

// SetModeFix sets the fix of a message whose statement "no fix" counts only while
// no other message reports a fix.
func (s *Stream) SetModeFix(m *Message, f Fix) {
	m.Fix = f
	s.fixes.mode(f, m.Mono)
	m.FixElsewhere = f == FixNone && s.LatestFix(m.Mono).Good()
	m.FixDisputed = f.Good() && s.fixes.disputed(m)
}

// UseFix sets the fix of a message that reports none, which is the one reported
// last. It is FixUnknown if that was too long ago.
func (s *Stream) UseFix(m *Message) {
	m.Fix, m.FixRepeated = s.LatestFix(m.Mono), true
}

// LatestFix returns the fix reported last, FixUnknown if that was long before
// mono.
func (s *Stream) LatestFix(mono int64) Fix { return s.fixes.latest(mono) }

// BeginEpoch notes the time of day of a message, as the receiver sent it. The
// first message with it begins the epoch.
func (s *Stream) BeginEpoch(m *Message) { m.Epoch = s.epochs.begin(m.timeOfDay(), m.Uniform, m.Mono) }

// Century returns the full year of a two-digit one.
func (s *Stream) Century(yy int) int { return s.dates.century(yy) }

// SetUTC labels m with its calendar fields, which are UTC. A date that lies
// before the earliest possible one is moved. trust says that the date may be
// carried to messages without one. It returns false, and counts why, if the
// fields are no instant.
func (s *Stream) SetUTC(m *Message, trust bool) bool {
	c := civil{m.Year, m.Month, m.Day}
	if !c.exists() {
		return s.Refuse(BadDate)
	}
	sent := c
	c, m.Rollover = s.dates.rollover(c)
	m.Year, m.Month, m.Day = c.year, c.month, c.day
	t, err := s.dates.leaps.FromUTC(c.year, c.month, c.day, m.Hour, m.Minute, m.Second, m.Nanos)
	if err != nil {
		if m.Second != 60 {
			return s.Refuse(BadDate)
		}
		// At the end of a month it may be true, and the table out of date.
		if !s.newLeaps || m.Hour != 23 || m.Minute != 59 || c.add(1).day != 1 {
			return s.Refuse(NoLeapSecond)
		}
		if t, err = s.dates.leaps.FromUTC(c.year, c.month, c.day, 23, 59, 59, m.Nanos); err != nil {
			return s.Refuse(BadDate)
		}
		m.Time, m.HasDate, m.NewLeap = roundMS(t+tai.Second), true, true
		return true
	}
	tod := m.timeOfDay()
	s.SetTime(m, t)
	if trust {
		s.dates.set(sent, tod, m.Mono)
	}
	return true
}

// SetLabel labels m with its calendar fields, which are in the configured time
// scale, as SetUTC does. A label in GPS time or TAI needs no leap seconds.
func (s *Stream) SetLabel(m *Message, trust bool) bool {
	if s.scale == ScaleUTC {
		return s.SetUTC(m, trust)
	}
	sent := civil{m.Year, m.Month, m.Day}
	if !sent.exists() || m.Second == 60 {
		return s.Refuse(BadDate)
	}
	tod := m.timeOfDay()
	d, weeks := s.dates.rollover(sent)
	m.Rollover, m.Uniform = weeks, true
	s.SetTime(m, tai.FromUnix(d.time().Unix(), tod, s.scale.toTAI()))
	if trust {
		s.dates.set(sent, tod, m.Mono)
	}
	return true
}

// SetGPS labels m with an instant of GPS time as the receiver sent it. An
// instant before the earliest possible date is moved.
func (s *Stream) SetGPS(m *Message, sent tai.Time) {
	t, weeks := s.Rollover(sent)
	m.Rollover, m.Uniform = weeks, true
	s.SetTime(m, t)
	// A carried date is moved again when it is used, so it is kept as sent.
	u, _ := s.utc(roundMS(sent))
	s.dates.set(civilOf(u), m.timeOfDay(), m.Mono)
}

// SetTime labels m with t, rounded to the millisecond, and sets its calendar
// fields.
func (s *Stream) SetTime(m *Message, t tai.Time) {
	m.Time, m.HasDate, m.HasTimeOfDay = roundMS(t), true, true
	u, leap := s.utc(m.Time)
	m.Year, m.Month, m.Day = u.Year(), int(u.Month()), u.Day()
	m.Hour, m.Minute, m.Second = u.Clock()
	m.Second += leap
	m.Nanos = u.Nanosecond()
}

// CarryDate sets the date of a message that has only a time of day: that of the
// latest message with a date, across midnight. It returns false if that date is
// unknown or too old.
func (s *Stream) CarryDate(m *Message) bool {
	date, ok := s.dates.carry(m.timeOfDay(), m.Mono)
	if ok {
		m.Year, m.Month, m.Day = date.year, date.month, date.day
	}
	return ok
}

// ForgetDate stops the carrying of dates: the receiver's clock is lost.
func (s *Stream) ForgetDate() { s.dates.forget() }

// SetLeapOffset notes the TAI - UTC, s, that a message announces, and where the
// receiver has it from. LeapUnreported: the message does not say, and the source
// that was named last holds; LeapHeard if none was. What the receiver has from
// satellites shows that a date with fewer leap seconds is short of a rollover.
func (s *Stream) SetLeapOffset(m *Message, offset int, source LeapSource) {
	switch {
	case source != LeapUnreported:
		s.leapSource = source
	case s.leapSource == LeapUnreported:
		source = LeapHeard
	default:
		source = s.leapSource
	}
	if m.LeapOffset, m.LeapSource = offset, source; offset != 0 && source.FromSatellites() {
		s.dates.offset = offset
	}
}

// LeapOffset returns TAI - UTC, s, at a POSIX time, by the table.
func (s *Stream) LeapOffset(posix int64) int { return s.dates.leaps.OffsetUTC(posix) }

// Rollover moves an instant of GPS time by as many times 1024 weeks as it needs
// to be possible. It returns the instant and the number of weeks.
func (s *Stream) Rollover(t tai.Time) (tai.Time, int) { return s.dates.instant(t) }

// utc returns the calendar reading of t, and 1 with the 59th second if t lies in
// an inserted leap second.
func (s *Stream) utc(t tai.Time) (u time.Time, leap int) {
	off := s.dates.leaps.Offset(t)
	if s.dates.leaps.Offset(t+tai.Second) > off && t.UTC(off).Second() == 0 {
		t, leap = t-tai.Second, 1
	}
	return t.UTC(off), leap
}
