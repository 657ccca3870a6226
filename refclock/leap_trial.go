package refclock

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// leapTrial is a leap second that the labels of a tracked clock's receiver show
// and the table in force has not, or the other way round: a second 60 that was
// not expected, or labels that are off by a second from the end of a month on,
// be it that they were missing for a while.
// While it lasts nothing is served. The clock is never moved by it: of TAI a
// tracked clock knows more than labels do, and it is UTC that is in question.
type leapTrial struct {
	on      bool
	shift   int      // labels are this many seconds behind, by the table: +1 one was inserted
	utc     int64    // when the new count came into force, POSIX
	last    tai.Time // the latest second that spoke for it
	spoke   int      // how many seconds did
	even    bool     // the sources are even about it
	refused int      // the shift that the tables outvoted; 0 none. Labels in order end it
}

// trialSeconds is how many seconds must speak for a leap second: one label may
// be damaged and pass its checksum.
const trialSeconds = 2

const (
	// trialBefore and trialAfter are the time around the end of a month, s, in
	// which labels may come off by a second: a deletion is one early.
	trialBefore = 2
	trialAfter  = 5
	// trialFit is how far a message may be from the latency that was learned for
	// its second to be certain.
	trialFit = 250 * time.Millisecond
	// usualLatency is where none is learned yet.
	usualLatency = 300 * time.Millisecond
)

// gpsCounts are the messages that label GPS time: no count of leap seconds is in
// them.
func gpsCounts(source string) bool { return source == "NAV-TIMEGPS" || source == "NAV-SOL" }

// named returns the instant that a dated message labels. The decoder turned UTC
// into TAI by the table in force; where the receiver announces the count by
// which it made that UTC, and it is another, that is undone: its TAI is right
// however stale its count. The labels of a tracked clock are corrected only if
// that makes them agree.
func (e *Engine) named(m *gnss.Message) tai.Time {
	l := &e.leaps
	if gpsCounts(m.Source) {
		return m.Time
	}
	d := 0
	if l.own != 0 && m.Mono-l.ownMono < int64(leapAge) && !e.nearLeap(m.Time) {
		if n := l.own - e.set.Table.Offset(m.Time); max(n, -n) <= int(leapSpan/time.Second) {
			d = n
		}
	}
	if !m.Valid || m.Time%tai.Second != 0 || !e.tracked() {
		return m.Time + tai.Time(d)*tai.Second
	}
	if m.Time == l.raw && m.NewLeap == l.rawNew {
		return m.Time + l.rawAdd // another message of the same second
	}
	l.raw, l.rawNew, l.rawAdd = m.Time, m.NewLeap, 0
	switch k, ok := e.behind(m); {
	case !ok:
	case k == 0 && m.NewLeap:
		e.suspect(m, 1, m.Time)
	case k == 0:
		e.inOrder()
		l.ordered = m.Time
	case k == d:
		e.counted(m, k)
		l.rawAdd = tai.Time(k) * tai.Second
	default:
		if at := m.Time + tai.Time(k)*tai.Second; e.suspect(m, k, at) {
			l.rawAdd = at - m.Time
		}
	}
	return m.Time + l.rawAdd
}

// behind returns by how many seconds the label of the first message of a second
// is behind the clock; not ok if its arrival leaves that open.
func (e *Engine) behind(m *gnss.Message) (k int, ok bool) {
	lat := e.loop.Control.Status().Latency
	if lat == 0 {
		lat = usualLatency
	}
	d := e.loop.Clock.At(m.Mono).Sub(m.Time) - lat
	k = int(math.Round(d.Seconds()))
	return k, max(k, -k) <= int(leapSpan/time.Second) && (d-time.Duration(k)*time.Second).Abs() <= trialFit
}

// inOrder notes a label that agrees with the clock by the table in force.
func (e *Engine) inOrder() {
	l := &e.leaps
	if l.trial.on {
		l.book.seen, l.book.seenMono = tai.Leap{}, 0
		e.log.Info("labels are in order again", "shift_s", l.trial.shift)
	}
	l.trial = leapTrial{}
}

// counted deals with labels that the receiver's own count explains: it is right
// about TAI, and the sources decide about UTC.
func (e *Engine) counted(m *gnss.Message, k int) {
	l := &e.leaps
	t := e.loop.Clock.At(m.Mono)
	off, _, even := l.book.offset(t, m.Mono)
	switch {
	case even:
		if !l.trial.on {
			e.refuse(reason.LeapContradicted, nil, "receiver_says_s", l.own, "counted_with_s", e.set.Table.Offset(t))
		}
		l.trial = leapTrial{on: true, even: true, shift: k}
	default:
		l.trial = leapTrial{}
		if off != e.set.Table.Offset(t) {
			e.weigh(m.Mono, true)
		}
	}
}

// suspect deals with a label that is k seconds behind, of the second at. It
// reports whether that is a matter of leap seconds.
func (e *Engine) suspect(m *gnss.Message, k int, at tai.Time) bool {
	l := &e.leaps
	t := &l.trial
	switch {
	case t.refused != 0 && k == t.refused:
		return true
	case t.on && k != t.shift:
		return false
	case !t.on:
		utc, ok := monthNear(at, l.ordered, e.set.Table)
		if !ok || k != 1 && k != -1 {
			return false
		}
		*t = leapTrial{on: true, shift: k, utc: utc}
		e.refuse(reason.LeapContradicted, nil, "labels_behind_s", k, "second_60", m.NewLeap, "source", m.Source)
	}
	if at != t.last {
		t.last = at
		t.spoke++
	}
	if t.spoke >= trialSeconds {
		// What was added to the label's UTC, and is missing.
		e.verdict(m.Mono, e.set.Table.Offset(m.Time)+k)
	}
	return true
}

// monthNear returns the end of a month that t is near to, or that lies between t
// and the last label that was in order (0: there was none).
func monthNear(t, ordered tai.Time, tb *tai.Table) (utc int64, ok bool) {
	sec, _ := t.Unix(tb.Offset(t))
	u := time.Unix(sec+trialBefore, 0).UTC()
	utc = time.Date(u.Year(), u.Month(), 1, 0, 0, 0, 0, time.UTC).Unix()
	if ordered != 0 && ordered < t {
		sec, _ = ordered.Unix(tb.Offset(ordered))
	}
	return utc, sec <= utc+trialAfter
}

// verdict weighs what the receiver's labels did, by which TAI - UTC is count,
// against the tables.
func (e *Engine) verdict(now int64, count int) {
	l := &e.leaps
	b, t := &l.book, &l.trial
	b.seen, b.seenMono = tai.Leap{UTC: t.utc, Offset: count}, now
	b.seenSign = count - e.set.Table.OffsetUTC(t.utc-trialBefore-1)
	switch off, by, even := b.offset(e.loop.Clock.At(now), now); {
	case even:
		t.even = true // said when it began; the next second is weighed again
	case off == count:
		*t = leapTrial{}
		e.log.Warn("leap second taken from the receiver's labels", "at", time.Unix(b.seen.UTC, 0).UTC(), "change_s", b.seenSign, "tai_offset_s", count)
		e.weigh(now, true)
	default:
		b.seen, b.seenMono = tai.Leap{}, 0
		*t = leapTrial{refused: t.shift}
		e.refuse(reason.LeapRefused, nil, "receiver_says_s", count, "counted_with_s", off, "by", by)
		e.weigh(now, false)
	}
}

// vindicated hears that a doubt from outside has changed: witnesses that no
// longer hold the lock back have confirmed the second.
func (e *Engine) vindicated(was, is string) {
	if was == reason.WitnessAwaited.String() && is == "" {
		e.leaps.sure = true
	}
}
