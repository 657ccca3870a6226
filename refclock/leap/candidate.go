package leap

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

// candidate is a leap second that the labels of a tracked clock's receiver show
// and the table in force has not, or the reverse: an unexpected second 60, or
// labels that are off by a second from the end of a month on, be it after a
// silence. While it is examined nothing is served. The clock is never moved by
// it: a tracked clock knows TAI better than labels do, and only UTC is in
// question.
type candidate struct {
	open    bool
	shift   int      // labels are this many seconds behind by the table, +1: one was inserted
	utc     int64    // when the new offset came into force, POSIX
	late    bool     // it came later than receivers apply leap seconds that are in order
	last    tai.Time // the latest second that supports it
	support int      // how many seconds do
	refused int      // the shift that the tables outvoted, 0: none; labels in order end it
}

const (
	// applyWithin is how late after its announcement a count may be applied to labels.
	applyWithin = 65 * time.Second
	// candidateSeconds is how many seconds must support a leap second: one label may
	// be damaged and pass its checksum.
	candidateSeconds = 2
	// lateSeconds is the same from afterMonthEnd on: messages that come late look like it.
	lateSeconds = 10
	// beforeMonthEnd and afterMonthEnd are the time around the end of a month, s, in
	// which labels may come off by a second: a deletion is one early.
	beforeMonthEnd = 2
	afterMonthEnd  = 5
	// afterHalfYear is the same of receivers that apply it late, in June and December,
	// to which leap seconds have kept.
	afterHalfYear = 65
	// latencyFit is how far a message may be from the learned latency for its second
	// to be certain.
	latencyFit = 250 * time.Millisecond
	// burst is how long the messages of one second take at most, as a rule.
	burst = 900 * time.Millisecond
	// usualLatency is assumed where none is learned yet.
	usualLatency = 300 * time.Millisecond
)

// labels remembers what the receiver's labels are corrected by.
type labels struct {
	earlier   int       // that by which it made them for long in an earlier run, s; 0: not known
	own       int       // TAI - UTC by which the receiver makes its UTC, be it stale, s; 0: it does not say
	ownMono   int64     // since when
	saidMono  int64     // when it announced a count last
	next      int       // what it announces while its labels have not moved to it, s; 0: they have
	nextMono  int64     // since when
	left      int       // what labels moved away from last, s; 0: nothing that was announced
	movedBy   int       // by how many seconds they moved last
	movedMono int64     // when
	sent      time.Time // the latest valid label in UTC, as it was sent
	sentMono  int64     // when its epoch began; 0: there is none

	raw      tai.Time // the second in which the label of a tracked clock's receiver lay last, as it was decoded
	rawMono  int64    // the first message that named it
	second60 bool     // raw is an unexpected second 60
	add      tai.Time // what had to be added to raw
	inOrder  tai.Time // the last label that agreed with the clock by the table in force
}

// says takes the count that the receiver announces, and reports whether its labels are
// made with it. They may move to a new one only later, and until then are made with the
// old one; or they have moved away from one that is still announced.
func (l *labels) says(offset int, mono int64) (applied bool) {
	recent := l.left != 0 && mono-l.movedMono < int64(applyWithin)
	switch {
	case recent && l.own == 0 && offset == l.left:
		return false
	case l.own == 0 && offset == l.earlier:
		l.own, l.ownMono, l.next = offset, mono-int64(applyWithin), 0
	case l.own == 0, l.next == offset && mono-l.nextMono > int64(applyWithin):
		l.own, l.ownMono, l.next = offset, mono, 0
	case offset == l.own:
		l.next = 0
	case offset != l.next:
		l.next, l.nextMono = offset, mono
	}
	l.saidMono, l.earlier = mono, 0
	return l.next == 0
}

// applied returns the count with which labels have been made for longer than a receiver
// takes to apply a new one; 0: that is not known.
func (l *labels) applied(now int64) int {
	if l.next == 0 && now-l.ownMono > int64(applyWithin) {
		return l.own
	}
	return 0
}

// follow takes a valid label in UTC, decoded by a table, and looks whether labels move as
// they are sent: they are made with another count then. What the count makes of them moves
// with its announcement as well. A tracked clock shows whether it is
// one that was announced lately.
func (l *labels) follow(m *gnss.Message, in *reading.Clocks, decoded *tai.Table) {
	sent := time.Date(m.Year, time.Month(m.Month), m.Day, m.Hour, m.Minute, m.Second, m.Nanos, time.UTC)
	if sent.Equal(l.sent) {
		return
	}
	by := int(math.Round((sent.Sub(l.sent) - time.Duration(in.Mono-l.sentMono)).Seconds()))
	first, before := l.sentMono == 0, l.sentMono
	l.sent, l.sentMono = sent, in.Mono
	made := 0
	if k, ok := behind(m, in); in.Tracked && ok {
		made = decoded.Offset(m.Time) + k
	}
	moved := !first && by != 0
	switch {
	case l.next != 0 && (made == l.next || moved && by == l.own-l.next): // to what is announced
		l.own, l.ownMono, l.next, l.left = l.next, in.Mono, 0, 0
	case !moved:
		return
	case l.own == 0 && l.left != 0 && by == -l.movedBy: // and back
		l.own, l.ownMono, l.left = l.left, in.Mono, 0
	case l.own != 0 && l.ownMono < before && (made != l.own || in.Mono-l.ownMono > int64(applyWithin)): // away from it
		l.left, l.own, l.next = l.own, 0, 0
	}
	l.movedBy, l.movedMono = by, in.Mono
}

// onlyUniform reports whether a label of a tracked clock that agrees with it is in GPS
// time or TAI, and no labels in UTC come, which would show the receiver's count.
func (l *labels) onlyUniform(m *gnss.Message, in *reading.Clocks, tb *tai.Table) bool {
	if !m.Uniform || !in.Tracked || l.sentMono != 0 && in.Mono-l.sentMono < int64(labelLife) || nearLeap(tb, m.Time) {
		return false
	}
	k, ok := behind(m, in)
	return ok && k == 0
}

// label returns the instant that a dated message labels. The decoder turned UTC
// into TAI by the table decoded. Where the receiver announces that it made its UTC
// with another count, that is undone: its TAI is right however stale its count is.
// Labels of a tracked clock are corrected only if that makes them agree.
func (a *Authority) label(m *gnss.Message, in *reading.Clocks, decoded *tai.Table) tai.Time {
	l := &a.labels
	if m.Uniform {
		return m.Time
	}
	d := 0
	if l.own != 0 && fresh(l.saidMono, m.Mono) && !nearLeap(a.table, m.Time) {
		if n := l.own - decoded.Offset(m.Time); max(n, -n) <= int(countSpan/time.Second) {
			d = n
		}
	}
	if !m.Valid || !in.Tracked {
		return m.Time + tai.Time(d)*tai.Second
	}
	k, ok := behind(m, in)
	// A new table may make a second look like the one before it.
	if m.Time.Floor() == l.raw && m.NewLeap == l.second60 && (!ok || m.Mono-l.rawMono < int64(burst)) {
		return m.Time + l.add // another message of the same second
	}
	l.raw, l.rawMono, l.second60, l.add = m.Time.Floor(), m.Mono, m.NewLeap, 0
	switch {
	case !ok:
	case k == 0 && m.NewLeap:
		a.suspect(m, in, 1, m.Time)
	case k == 0:
		a.agreed()
		l.inOrder = m.Time
	case k == d:
		a.explained(in, k)
		l.add = tai.Time(k) * tai.Second
	default:
		if at := m.Time + tai.Time(k)*tai.Second; a.suspect(m, in, k, at) {
			l.add = at - m.Time
		}
	}
	return m.Time + l.add
}

// behind returns by how many seconds the label of the first message of a second
// is behind the clock; not ok if the message's arrival leaves that open.
func behind(m *gnss.Message, in *reading.Clocks) (k int, ok bool) {
	latency := in.Latency
	if latency == 0 {
		latency = usualLatency
	}
	d := in.Clock.Sub(m.Time) - latency
	k = int(math.Round(d.Seconds()))
	return k, max(k, -k) <= int(countSpan/time.Second) && (d-time.Duration(k)*time.Second).Abs() <= latencyFit
}

// agreed takes a label that agrees with the clock by the table in force.
func (a *Authority) agreed() {
	if a.candidate.open {
		a.sources.executed = executed{}
		a.result.note(reason.Event{Text: "labels agree with the clock again", Fields: []any{"shift_s", a.candidate.shift}})
	}
	a.candidate = candidate{}
}

// explained deals with labels that are k seconds behind, as the receiver's own
// count explains, or would be if they were in UTC: it is right about TAI, and the
// sources decide about UTC.
func (a *Authority) explained(in *reading.Clocks, k int) {
	off, _, tied := a.sources.offset(in.Clock, in.Mono)
	if tied {
		if !a.candidate.open {
			a.result.note(reason.Event{Code: reason.LeapContradicted, Fields: []any{"receiver_says_s", a.labels.own, "counted_with_s", a.table.Offset(in.Clock)}})
		}
		a.candidate = candidate{open: true, shift: k}
		return
	}
	a.candidate = candidate{}
	if off != a.table.Offset(in.Clock) {
		a.weigh(in, true)
	}
}

// suspect deals with a label that is k seconds behind, of the second at. It
// reports whether that is a matter of leap seconds.
func (a *Authority) suspect(m *gnss.Message, in *reading.Clocks, k int, at tai.Time) bool {
	c := &a.candidate
	switch {
	case c.refused != 0 && k == c.refused:
		return true
	case c.open && k != c.shift:
		return false
	case !c.open:
		utc, late, ok := nearMonthEnd(at, a.labels.inOrder, a.table)
		if !ok || k != 1 && k != -1 {
			return false
		}
		*c = candidate{open: true, shift: k, utc: utc, late: late}
		a.result.note(reason.Event{Code: reason.LeapContradicted, Fields: []any{"labels_behind_s", k, "second_60", m.NewLeap, "source", m.Source}})
	}
	if at.Floor() != c.last {
		c.last = at.Floor()
		c.support++
	}
	if c.support >= candidateSeconds && !c.late || c.support >= lateSeconds {
		// What was added to the label's UTC, and is missing.
		a.conclude(in, a.table.Offset(m.Time)+k)
	}
	return true
}

// nearMonthEnd returns the end of a month that t is near to, or that lies between
// t and the last label that was in order (0: there was none). late: t is near to the
// end of June or December only.
func nearMonthEnd(t, inOrder tai.Time, tb *tai.Table) (utc int64, late, ok bool) {
	sec, _ := t.Unix(tb.Offset(t))
	u := time.Unix(sec+beforeMonthEnd, 0).UTC()
	utc = time.Date(u.Year(), u.Month(), 1, 0, 0, 0, 0, time.UTC).Unix()
	if inOrder != 0 && inOrder < t {
		sec, _ = inOrder.Unix(tb.Offset(inOrder))
	}
	late = sec > utc+afterMonthEnd
	return utc, late, !late || u.Month()%6 == 1 && sec <= utc+afterHalfYear
}

// conclude weighs what the receiver's labels did, by which TAI - UTC is offset,
// against the tables. In a tie the candidate stays open, and the next second
// weighs it again.
func (a *Authority) conclude(in *reading.Clocks, offset int) {
	s, c := &a.sources, &a.candidate
	s.executed = executed{leap: tai.Leap{UTC: c.utc, Offset: offset}, sign: offset - a.table.OffsetUTC(c.utc-beforeMonthEnd-1), mono: in.Mono}
	decided, source, tied := s.offset(in.Clock, in.Mono)
	switch {
	case tied:
	case decided == offset:
		*c = candidate{}
		a.result.note(reason.Event{Text: "leap second taken from the receiver's labels", Warn: true,
			Fields: []any{"at", time.Unix(s.executed.leap.UTC, 0).UTC(), "change_s", s.executed.sign, "tai_offset_s", offset}})
		a.weigh(in, true)
	default:
		s.executed = executed{}
		*c = candidate{refused: c.shift}
		a.result.note(reason.Event{Code: reason.LeapRefused, Fields: []any{"receiver_says_s", offset, "counted_with_s", decided, "by", source}})
		a.weigh(in, false)
	}
}
