package gnss

import (
	"time"

	"github.com/adrianmo/go-nmea"

	"noonmark/phc/tai"
)

// Config says how a Decoder reads dates. The zero value suits recorded
// history: nothing is moved.
type Config struct {
	// NotBefore is the date before which no message can have been made; earlier
	// dates are offered 1024 weeks (or multiples) later. Zero moves nothing on
	// account of its age.
	NotBefore time.Time
	// Leaps is the table of leap seconds; nil means tai.Builtin.
	Leaps *tai.Table
	// Comments: lines that begin with # are comments of a log file. A live
	// receiver has none.
	Comments bool
	// NewLeaps: a second 60 at the end of a month is handed on (Message.NewLeap)
	// also where the table has none. For a live receiver, which may know better.
	NewLeaps bool
}

// Decoder is a push decoder. It is for one goroutine.
type Decoder struct {
	c      Counters
	framer *framer
	parser nmea.SentenceParser
	cal    calendar

	newLeaps bool

	emit func(*Message)
	next *Message // not handed out, to be filled

	fix     Fix   // latest word of the receiver on its fix
	fixMono int64 // when
}

// staleFix is the age in ns from which the receiver's latest word on its fix
// no longer speaks for a message without one.
const staleFix = 5e9

// NewDecoder returns a Decoder that has seen nothing.
func NewDecoder(cfg Config) *Decoder {
	d := &Decoder{cal: calendar{floor: cfg.NotBefore.UTC(), leaps: cfg.Leaps}, newLeaps: cfg.NewLeaps}
	if d.cal.leaps == nil {
		d.cal.leaps = tai.Builtin()
	}
	d.framer = newFramer(&d.c, cfg.Comments)
	d.parser = newSentenceParser()
	return d
}

// Feed takes the bytes b, whose first was read at mono (CLOCK_MONOTONIC_RAW,
// ns), and calls emit for every message they complete, in order. b is not kept;
// the Message is the callee's to keep.
func (d *Decoder) Feed(b []byte, mono int64, emit func(*Message)) {
	d.emit = emit
	d.c.Octets += uint64(len(b))
	d.framer.feed(b, mono, d.frame)
}

// Flush treats the input so far as complete and looks for frames in what is
// held back as the start of one.
func (d *Decoder) Flush(emit func(*Message)) {
	d.emit = emit
	d.framer.flush(d.frame)
}

// Counters returns what has been seen so far.
func (d *Decoder) Counters() Counters { return d.c }

// SetLeaps replaces the table of leap seconds.
func (d *Decoder) SetLeaps(t *tai.Table) { d.cal.leaps = t }

// Reset forgets what was learned from the stream, for a device that was
// reopened: the rest of a frame, the date, the fix.
func (d *Decoder) Reset() {
	d.framer.flush(func(frame) {})
	d.cal.forget()
	d.cal.offset = 0
	d.fix = FixUnknown
}

func (d *Decoder) frame(f frame) {
	if d.next == nil {
		d.next = new(Message)
	}
	m := d.next
	*m = Message{Mono: f.mono, JamIndicator: -1}
	var ok bool
	switch f.kind {
	case frameNMEA:
		d.c.NMEA++
		ok = d.nmea(m, f.data)
	case frameUBX:
		d.c.UBX++
		ok = d.ubx(m, f.data)
	}
	if ok {
		d.c.Messages++
		d.next = nil // it is the callee's now
		d.emit(m)
	}
}

// refuse counts and returns false, for handlers to return.
func (d *Decoder) refuse(r Reason) bool {
	d.c.count(r)
	return false
}

// setFix notes the receiver's word on its fix.
func (d *Decoder) setFix(m *Message, f Fix) {
	m.Fix = f
	d.fix, d.fixMono = f, m.Mono
}

// fixSpeaks returns the receiver's latest word on its fix, FixUnknown if there
// is none of late.
func (d *Decoder) fixSpeaks(mono int64) Fix {
	if mono-d.fixMono > staleFix {
		return FixUnknown
	}
	return d.fix
}

// label fills in Time from the calendar fields of m, moving the date where it
// cannot be; trust says that the date may be carried to messages without one.
func (d *Decoder) label(m *Message, trust bool) bool {
	c := civil{m.Year, m.Month, m.Day}
	if !c.exists() {
		return d.refuse(BadDate)
	}
	sent := c
	c, m.Rollover = d.cal.rollover(c)
	m.Year, m.Month, m.Day = c.year, c.month, c.day
	t, err := d.cal.leaps.FromUTC(c.year, c.month, c.day, m.Hour, m.Minute, m.Second, m.Nanos)
	if err != nil {
		if m.Second != 60 {
			return d.refuse(BadDate)
		}
		// At the end of a month it may be true, and the table behind.
		if !d.newLeaps || m.Hour != 23 || m.Minute != 59 || c.add(1).day != 1 {
			return d.refuse(NoLeapSecond)
		}
		if t, err = d.cal.leaps.FromUTC(c.year, c.month, c.day, 23, 59, 59, m.Nanos); err != nil {
			return d.refuse(BadDate)
		}
		m.Time, m.HasDate, m.NewLeap = roundMS(t+tai.Second), true, true
		return true
	}
	tod := m.timeOfDay()
	d.read(m, t)
	if trust {
		d.cal.set(sent, tod, m.Mono)
	}
	return true
}

// instant fills in the label of a message that counts GPS time.
func (d *Decoder) instant(m *Message, t tai.Time) {
	sent := t
	t, m.Rollover = d.cal.instant(t)
	d.read(m, t)
	// A carried date is moved again when it is used, so it is kept as sent.
	u, _ := d.utc(roundMS(sent))
	d.cal.set(civilOf(u), m.timeOfDay(), m.Mono)
}

// read sets the label of m to t, with its calendar reading.
func (d *Decoder) read(m *Message, t tai.Time) {
	m.Time, m.HasDate, m.HasTimeOfDay = roundMS(t), true, true
	u, leap := d.utc(m.Time)
	m.Year, m.Month, m.Day = u.Year(), int(u.Month()), u.Day()
	m.Hour, m.Minute, m.Second = u.Clock()
	m.Second += leap
	m.Nanos = u.Nanosecond()
}

// utc returns the calendar reading of t, and 1 with the 59th second where t
// lies in an inserted leap second.
func (d *Decoder) utc(t tai.Time) (u time.Time, leap int) {
	off := d.cal.leaps.Offset(t)
	if d.cal.leaps.Offset(t+tai.Second) > off && t.UTC(off).Second() == 0 {
		t, leap = t-tai.Second, 1
	}
	return t.UTC(off), leap
}

// timeOfDay returns the time of day in ns.
func (m *Message) timeOfDay() int64 {
	return int64(m.Hour*3600+m.Minute*60+m.Second)*1e9 + int64(m.Nanos)
}
