package refclock

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/status"
)

// LeapNews is what is known of the sources of leap seconds.
type LeapNews struct {
	Receiver int       // TAI - UTC as the receiver announces it, s; 0 = it does not
	Table    int       // TAI - UTC by the table, s; 0 = not known what day it is
	Source   string    // where the table is from
	Expires  time.Time // when the table ends
	Expired  bool
	Differ   bool // receiver and table contradict each other
	Awaited  bool // the lock is held back until the receiver can know its leap count
}

const (
	// almanac is how long a receiver without a memory may be ignorant of the leap
	// seconds after its first fix: subframe 4 page 18 comes every 12.5 min
	// (IS-GPS-200, 20.3.3.5.1.6 and 20.3.2); half a minute for a lost start.
	almanac = 13 * time.Minute
	// leapSpan is the largest error of whole seconds that a wrong leap count
	// makes: there have been 18 of them since GPS began.
	leapSpan = 20 * time.Second
	// firmware is where a receiver has its leap seconds from while it has heard
	// none: what its maker put in.
	firmware = "firmware"
	// leapAge is how often what lasts is said again.
	leapAge = 24 * time.Hour
)

// leapWatch holds the first lock back while a cold receiver may not know the
// leap seconds: it gives a fix, and a second that is off by a few. Plain NMEA
// has no word for that, so other evidence is asked for: an announced count, a
// UBX message that says its UTC is resolved, the system clock; or time.
type leapWatch struct {
	news    LeapNews
	sure    bool  // the count is confirmed, or was never in doubt
	cold    bool  // the receiver was without a fix when it was first heard
	against bool  // a system clock that others keep shows another second
	fix     int64 // mono of the first valid label
	saidDif int64
	saidExp int64
	source  string
}

// message takes every message. sys is CLOCK_REALTIME as TAI at its arrival,
// zero if it says nothing; kept says that somebody disciplines it.
func (l *leapWatch) message(m *gnss.Message, sys tai.Time, kept bool) {
	if l.sure {
		return
	}
	switch {
	case m.LeapOffset != 0 && m.LeapSource != firmware:
		l.sure = true
		return
	case m.HasTimeOfDay && !m.Valid && !m.HasPulse && l.fix == 0:
		l.cold = true
	}
	if !m.Valid || !m.HasDate || m.DateCarried {
		return
	}
	if l.fix == 0 {
		l.fix = m.Mono
	}
	if m.Talker == "" || m.Mono-l.fix > int64(almanac) { // UBX: valid means resolved
		l.sure = true
		return
	}
	if sys == 0 {
		return
	}
	switch d := sys.Sub(m.Time); { // of which up to a second is the message's latency
	case d > -200*time.Millisecond && d < 1200*time.Millisecond:
		l.sure = true
	case kept && d > -leapSpan && d < leapSpan+time.Second:
		l.against = true
	}
}

// waits reports whether the lock is to be held back.
func (l *leapWatch) waits() bool { return !l.sure && l.fix != 0 && (l.cold || l.against) }

// minded compares what the receiver announces with the table, about the
// instant now.
func (e *Engine) minded(m *gnss.Message) {
	l := &e.leaps
	sys := tai.Time(0)
	if e.real.ok {
		t := e.real.at(m.Mono)
		sys = t + tai.Time(e.set.Table.OffsetUTC(int64(t/tai.Second)))*tai.Second
	}
	was := l.waits()
	l.message(m, sys, e.cfg.RealKept != nil && e.cfg.RealKept())
	if l.waits() != was {
		l.news.Awaited = !was
		if !was {
			e.refuse(LeapUnconfirmed, nil, "for_at_most", almanac)
		}
	}
	if m.LeapOffset == 0 || m.LeapSource == firmware {
		return
	}
	l.news.Receiver = m.LeapOffset
	t := e.day(m)
	if t == 0 || e.set.Table.Offset(t-5*tai.Second) != e.set.Table.Offset(t+5*tai.Second) {
		return
	}
	l.news.Differ = m.LeapOffset != e.set.Table.Offset(t)
	switch {
	case !l.news.Differ:
		l.saidDif = 0
	case l.saidDif == 0 || m.Mono-l.saidDif > int64(leapAge):
		l.saidDif = m.Mono
		e.refuse(LeapDisagrees, nil, "receiver_says_s", m.LeapOffset, "table_says_s", e.set.Table.Offset(t), "table", e.set.Table.Source, "source", m.Source)
	}
}

// day returns roughly what time it is, by the best of what says it; 0 if
// nothing does.
func (e *Engine) day(m *gnss.Message) tai.Time {
	switch {
	case m != nil && m.HasDate && m.Valid:
		return m.Time
	case e.label.Time != 0:
		return e.label.Time + tai.Time(e.cfg.Mono()-e.label.Mono)
	}
	return 0
}

// expiry says once a day that the table of leap seconds has ended. It goes on
// being used.
func (e *Engine) expiry(now int64) {
	l := &e.leaps
	tb := e.set.Table
	l.news.Source, l.news.Expires, l.news.Table, l.news.Expired = tb.Source, tb.Expires, 0, false
	t := e.day(nil)
	if t == 0 {
		return
	}
	l.news.Table, l.news.Expired = tb.Offset(t), tb.Expired(t)
	switch {
	case !l.news.Expired || l.source != tb.Source:
		l.saidExp, l.source = 0, tb.Source
	}
	if l.news.Expired && (l.saidExp == 0 || now-l.saidExp > int64(leapAge)) {
		l.saidExp = now
		e.refuse(LeapExpired, nil, "table", tb.Source, "expired", tb.Expires.Format(time.DateOnly), "remedy", "fetch a newer leap-seconds.list; until then the receiver's announcements count")
	}
}

// settledLeap ends the watch when there is nothing left to hold back.
func (e *Engine) settledLeap() {
	if s := e.ctl.Status().State; s == status.Locked || s == status.Holdover {
		e.leaps.sure, e.leaps.news.Awaited = true, false
	}
}
