package refclock

import (
	"slices"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// LeapNews is what is known of the sources of leap seconds.
type LeapNews struct {
	Receiver int          // TAI - UTC as the receiver announces it, s; 0 = it does not
	Table    int          // TAI - UTC by the table in force, s; 0 = not known what day it is
	Source   string       // where the table in force is from
	By       string       // the source that was followed for the present count; empty: nobody vouches for it
	Expires  time.Time    // when the table in force ends
	Expired  bool         // nobody vouches for it any more
	Differ   bool         // sources that vouch contradict each other, now or about a leap second ahead
	Even     bool         // as many say one thing as another, so nothing is served
	Refused  bool         // the receiver's labels are off by a leap second that the tables outvoted
	Awaited  bool         // the lock is held back until the receiver can know its leap count
	Tables   []LeapSource // all of them, in order of trust
	Next     time.Time    // the next leap second, zero: none is known
	NextSign int          // +1 inserted, -1 deleted
	NextBy   string       // who says so
}

// LeapSource is one table of leap seconds.
type LeapSource struct {
	Name    string
	Offset  int       // TAI - UTC now, s; 0 = not known what day it is
	Expires time.Time // zero: it does not say
	Expired bool
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
	// leapAge is how often what lasts is said again, and how long what a receiver
	// announced holds.
	leapAge = 24 * time.Hour
	// leapNear is the time around a leap second in which a receiver's count is
	// not compared: it may change it with another message of the same second.
	leapNear = 5 * tai.Second
	// leapEvery is how often the sources are weighed anew without news: tables
	// expire by the day.
	leapEvery = time.Minute
)

// leapWatch holds the first lock back while a cold receiver may not know the
// leap seconds: it gives a fix, and a second that is off by a few. Plain NMEA
// has no word for that, so other evidence is asked for: an announced count, a
// UBX message that says its UTC is resolved, the system clock, the clock itself
// if it ran on from before, a witness; or time.
type leapWatch struct {
	news    LeapNews
	book    leapBook
	trial   leapTrial
	weighed int64 // mono of the last time the sources were weighed
	own     int   // TAI - UTC by which the receiver makes its UTC, be it stale, s; 0 = it does not say
	ownMono int64
	raw     tai.Time // the second that a tracked clock's receiver named last, as it was read
	rawNew  bool     // it was an unexpected second 60
	rawAdd  tai.Time // what had to be added to it
	ordered tai.Time // the last label that agreed with the clock by the table in force

	sure    bool  // the count is confirmed, or was never in doubt
	cold    bool  // the receiver was without a fix when it was first heard
	against bool  // a system clock that others keep shows another second
	fix     int64 // mono of the first valid label
	saidDif int64
	saidExp int64
}

// message takes every message. sys is CLOCK_REALTIME as TAI at its arrival,
// zero if it says nothing; kept says that somebody disciplines it. clock is the
// clock to be disciplined, zero if there is none.
func (l *leapWatch) message(m *gnss.Message, sys tai.Time, kept bool, clock tai.Time) {
	labels := m.Valid && m.HasDate && !m.DateCarried
	if labels && l.fix == 0 {
		l.fix = m.Mono
	}
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
	if !labels {
		return
	}
	if m.Talker == "" || m.Mono-l.fix > int64(almanac) { // UBX: valid means resolved
		l.sure = true
		return
	}
	// Of what is found, up to a second is the message's latency; more would be a
	// clock, or a label, that is off by one.
	agrees := func(d time.Duration) bool { return d > -100*time.Millisecond && d < time.Second }
	if clock != 0 && agrees(clock.Sub(m.Time)) {
		l.sure = true
	}
	if sys == 0 {
		return
	}
	switch d := sys.Sub(m.Time); {
	case agrees(d):
		l.sure = true
	case kept && d > -leapSpan && d < leapSpan+time.Second && (d < -200*time.Millisecond || d >= 2*time.Second): // between, proof tells
		l.against = true
	}
}

// waits reports whether the lock is to be held back; strict: also for a receiver
// that had a fix when it was first heard, and may have been switched on just
// before.
func (l *leapWatch) waits(strict bool) bool {
	return !l.sure && l.fix != 0 && (l.cold || l.against || strict)
}

// minded hears what a message says of leap seconds.
func (e *Engine) minded(m *gnss.Message) {
	l := &e.leaps
	sys, clock := tai.Time(0), tai.Time(0)
	if t, ok := e.systemTAI(m.Mono); ok {
		sys = t
	}
	if e.loop.Clock.Known() {
		clock = e.loop.Clock.At(m.Mono)
	}
	was := l.waits(e.cfg.ProveLeap)
	l.message(m, sys, e.cfg.RealKept != nil && e.cfg.RealKept(), clock)
	if l.waits(e.cfg.ProveLeap) != was {
		l.news.Awaited = !was
		if !was {
			e.refuse(reason.LeapUnconfirmed, nil, "for_at_most", almanac)
		}
	}
	news := e.announced(m)
	if m.LeapOffset != 0 {
		l.own, l.ownMono = m.LeapOffset, m.Mono
		if m.LeapSource != firmware {
			news = news || l.book.count != m.LeapOffset
			l.book.count, l.book.countMono, l.news.Receiver = m.LeapOffset, m.Mono, m.LeapOffset
		}
	}
	if news || l.weighed == 0 {
		e.weigh(m.Mono, false)
	}
}

// announced takes what the receiver says of a leap second ahead, and reports
// whether that is news. It is believed to lie at the end of a month in UTC, or
// not at all.
func (e *Engine) announced(m *gnss.Message) bool {
	b := &e.leaps.book
	if !m.HasLeapEvent || m.LeapSource == firmware || !m.Valid && m.HasDate {
		return false
	}
	var ev tai.Leap // Offset is the change
	if m.LeapSign != 0 && m.LeapIn > 0 && m.LeapAt != 0 {
		ev.UTC, _ = m.LeapAt.Unix(m.LeapOffset + m.LeapSign)
		ev.Offset = m.LeapSign
		if !monthEnd(ev.UTC) {
			return false
		}
	}
	news := ev != b.event && (b.eventMono != 0 || ev.UTC != 0)
	if news && ev.UTC != 0 {
		e.log.Info("leap second announced by the receiver", "at", time.Unix(ev.UTC, 0).UTC(), "sign", ev.Offset, "source", m.LeapSource)
	}
	b.event, b.eventMono = ev, m.Mono
	return news
}

// nearLeap reports whether t is so near a leap second that counts may differ.
func (e *Engine) nearLeap(t tai.Time) bool {
	return t == 0 || e.set.Table.Offset(t-leapNear) != e.set.Table.Offset(t+leapNear)
}

// day returns roughly what time it is, by the best of what says it; 0 if
// nothing does.
func (e *Engine) day() tai.Time {
	if e.label.Time == 0 {
		return 0
	}
	return e.label.Time + tai.Time(e.cfg.Mono()-e.label.Mono)
}

// tracked reports whether the clock's second is known, and served.
func (e *Engine) tracked() bool {
	if e.loop.Control == nil || !e.loop.Clock.Known() {
		return false
	}
	s := e.loop.Control.Status().State
	return s == status.Locked || s == status.Holdover
}

// weigh decides what table is in force. While the clock is tracked the present
// count stays as it is, unless it is free to change: by an operator's new
// table, or by what the receiver's labels did.
func (e *Engine) weigh(now int64, free bool) {
	l := &e.leaps
	t := e.day()
	if e.tracked() {
		t = e.loop.Clock.At(now)
	}
	if t == 0 || !free && e.nearLeap(t) {
		return // the receiver may be halfway
	}
	keep := 0
	if e.tracked() && !free {
		keep = e.set.Table.Offset(t)
	}
	l.weighed = now
	was := e.set.Table.Offset(t)
	e.inForce(l.book.table(t, keep, now))
	if off := e.set.Table.Offset(t); off != was {
		e.log.Warn("TAI-UTC is another", "was_s", was, "is_s", off, "table", e.set.Table.Source)
	}

	n := &l.news
	n.Source, n.Expires, n.Table = e.set.Table.Source, e.set.Table.Expires, e.set.Table.Offset(t)
	off, by, even := l.book.offset(t, now)
	n.By, n.Tables = by, nil
	n.Differ, n.Even = false, even && !e.tracked()
	vouched := false
	for _, v := range l.book.voices(t, now) {
		vouched = vouched || v.vouched
		n.Differ = n.Differ || v.vouched && v.says != off
		if v.name == theReceiver {
			n.Differ = n.Differ || v.says != n.Table
		}
	}
	if !vouched {
		n.By = ""
	}
	n.Expired = true
	n.Differ = n.Differ || l.trial.refused != 0
	for _, tb := range l.book.tables {
		x := LeapSource{Name: tb.Source, Offset: tb.Offset(t), Expires: tb.Expires, Expired: tb.Expired(t)}
		n.Tables = append(n.Tables, x)
		n.Expired = n.Expired && x.Expired
	}
	n.Next, n.NextSign, n.NextBy = time.Time{}, 0, ""
	if x, sign, ok := e.set.Table.Next(t); ok {
		n.Next, n.NextSign = time.Unix(x.UTC, 0).UTC(), sign
		var even bool
		_, n.NextBy, even = l.book.change(x.UTC, now)
		n.Differ = n.Differ || even
	}
	if l.book.eventMono != 0 && l.book.event.UTC != 0 && now-l.book.eventMono < int64(leapAge) {
		if sign, _, even := l.book.change(l.book.event.UTC, now); even || sign != l.book.event.Offset {
			n.Differ = true
		}
	}
	e.report(now)
}

// inForce counts with a table from now on, and tells those who read dates.
func (e *Engine) inForce(tb *tai.Table) {
	if tb == e.set.Table || tb.Source == e.set.Table.Source && tb.Expires.Equal(e.set.Table.Expires) && slices.Equal(tb.Leaps, e.set.Table.Leaps) {
		return
	}
	e.set.Table = tb
	if e.cfg.Leaps != nil {
		e.cfg.Leaps(tb)
	}
}

// report says once a day that the sources disagree, and that none is in date.
// What there is goes on being used.
func (e *Engine) report(now int64) {
	l := &e.leaps
	n := &l.news
	again := func(is bool, said *int64) bool {
		switch {
		case !is:
			*said = 0
		case *said == 0 || now-*said > int64(leapAge):
			*said = now
			return true
		}
		return false
	}
	if again(n.Differ, &l.saidDif) {
		args := []any{"counted_with_s", n.Table, "by", n.By}
		if n.Receiver != 0 {
			args = append(args, "receiver_says_s", n.Receiver)
		}
		for _, x := range n.Tables {
			args = append(args, "source", x.Name, "says_s", x.Offset, "expired", x.Expired)
		}
		if n.NextSign != 0 {
			args = append(args, "next", n.Next.Format(time.DateOnly), "sign", n.NextSign, "next_by", n.NextBy)
		}
		e.refuse(reason.LeapDisagrees, nil, args...)
	}
	if again(n.Expired, &l.saidExp) {
		e.refuse(reason.LeapExpired, nil, "table", n.Source, "expired", n.Expires.Format(time.DateOnly), "remedy", "fetch a newer leap-seconds.list; until then the receiver's announcements count")
	}
}

// expiry looks at the sources again from time to time.
func (e *Engine) expiry(now int64) {
	if l := &e.leaps; l.weighed == 0 || now-l.weighed >= int64(leapEvery) {
		e.weigh(now, false)
	}
}

// settledLeap ends the watch when there is nothing left to hold back.
func (e *Engine) settledLeap() {
	if s := e.loop.Control.Status().State; s == status.Locked || s == status.Holdover {
		e.leaps.sure, e.leaps.news.Awaited = true, false
	}
}

// tables takes the configured tables. Until it is known what day it is, the
// first is counted with, with which the decoders begin, too.
func (e *Engine) tables(s *Settings) {
	if s.Table == nil {
		s.Table = tai.Builtin()
	}
	e.leaps.book.tables = append([]*tai.Table{s.Table}, s.Tables...)
	if e.set.Table != nil {
		s.Table = e.set.Table // weigh decides
	}
}

// told is what is known, with what has become of it since it was weighed.
func (l *leapWatch) told() LeapNews {
	n := l.news
	n.Even = n.Even || l.trial.on
	n.Refused = l.trial.refused != 0
	return n
}
