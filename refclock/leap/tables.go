package leap

import (
	"slices"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
)

// table returns the table to be used around t: the past by the best table that
// has the present offset, the leap seconds ahead as they are decided. keep is the
// present TAI - UTC in s if it must not change, else 0.
func (s *sources) table(t tai.Time, keep int, now int64) *tai.Table {
	off := keep
	if off == 0 {
		off, _, _ = s.offset(t, now)
	}
	base := s.base(t, off)
	n := &tai.Table{Source: base.Source, Expires: base.Expires}
	for _, l := range base.Leaps {
		if l.At() <= t {
			n.Leaps = append(n.Leaps, l)
		}
	}
	s.present(n, t, off)
	for _, tb := range s.tables {
		if tb.Offset(t) == off && tb.Expires.After(n.Expires) {
			n.Expires = tb.Expires
		}
	}
	s.ahead(n, t, off, now)
	if slices.Equal(n.Leaps, base.Leaps) && n.Expires.Equal(base.Expires) {
		return base
	}
	return n
}

// base returns the table whose past is used where TAI - UTC is off at t: the
// most trusted that has that offset and is in date, or has it where the one that
// expires last has not.
func (s *sources) base(t tai.Time, off int) *tai.Table {
	latest := s.latest()
	for _, tb := range s.tables {
		if sec, _ := t.Unix(off); tb.Offset(t) == off && (inDate(tb, sec) || latest.Offset(t) != off) {
			return tb
		}
	}
	return latest
}

// present makes the last entry of a table of the past say that TAI - UTC is off
// at t.
func (s *sources) present(n *tai.Table, t tai.Time, off int) {
	last := n.Leaps[len(n.Leaps)-1]
	if last.Offset == off {
		return
	}
	for _, l := range slices.Concat(s.earlier, []tai.Leap{s.executed.leap}) {
		if l.Offset == off && l.UTC > last.UTC && l.At() <= t {
			n.Source, n.Leaps = receiverName, append(n.Leaps, l)
			return
		}
	}
	if k := len(n.Leaps); k > 1 && n.Leaps[k-2].Offset == off {
		n.Leaps = n.Leaps[:k-1]
		return
	}
	sec, _ := t.Unix(off)
	at := tai.Leap{UTC: halfYear(sec), Offset: off}
	if at.UTC <= last.UTC {
		at.UTC = sec
	}
	n.Source, n.Leaps = receiverName, append(n.Leaps, at)
}

// ahead adds to a table the leap seconds after t, as they are decided.
func (s *sources) ahead(n *tai.Table, t tai.Time, off int, now int64) {
	var candidates []int64
	for _, tb := range s.tables {
		for _, l := range tb.Leaps {
			candidates = append(candidates, l.UTC)
		}
	}
	if b := &s.broadcast; b.nextMono != 0 && b.next.UTC != 0 {
		candidates = append(candidates, b.next.UTC)
	}
	slices.Sort(candidates)
	sec, _ := t.Unix(off)
	for _, utc := range slices.Compact(candidates) {
		last := n.Leaps[len(n.Leaps)-1]
		if utc <= last.UTC || utc < sec-1 {
			continue
		}
		sign, _, _ := s.change(utc, now)
		if l := (tai.Leap{UTC: utc, Offset: last.Offset + sign}); sign != 0 && l.At() > t {
			n.Leaps = append(n.Leaps, l)
		}
	}
}

// halfYear returns the first second of the half year that sec lies in. A leap
// second of which only the new offset is known most likely came there.
func halfYear(sec int64) int64 {
	u := time.Unix(sec, 0).UTC()
	return time.Date(u.Year(), 1+u.Month()/7*6, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// same reports whether two tables say the same and come from the same source.
func same(a, b *tai.Table) bool {
	return a == b || a.Source == b.Source && a.Expires.Equal(b.Expires) && slices.Equal(a.Leaps, b.Leaps)
}

// Status is what is known of the sources of leap seconds.
type Status struct {
	Receiver int           // TAI - UTC as the receiver announces it, s; 0: it does not
	Applied  int           // TAI - UTC by which the receiver has made its labels for long, s; 0: not known
	Offset   int           // TAI - UTC by the table in force, s; 0: the date is not known yet
	Source   string        // where the table in force comes from
	Expires  time.Time     // when the table in force ends
	Followed string        // the source that is followed for the present offset; empty: none has a vote
	Tables   []TableStatus // the configured tables, in order of trust

	Next       time.Time // the next leap second; zero: none is known
	NextSign   int       // +1 inserted, -1 deleted
	NextSource string    // the source that is followed for it

	Disagree    bool // sources that have a vote contradict each other, now or about a leap second ahead
	Expired     bool // every table has expired
	Unconfirmed bool // the lock is held back until something confirms the receiver's leap count
	Undecided   bool // a tie, or a leap second that only labels show; nothing is served
	Refused     bool // the receiver's labels are off by a leap second that the tables outvoted

	Confirmed string // what confirms the receiver's leap count; empty: nothing does
	Remedy    string // what would shorten the wait while Unconfirmed
}

// TableStatus is the state of one configured table.
type TableStatus struct {
	Name    string
	Offset  int       // TAI - UTC now, s; 0: the date is not known yet
	Expires time.Time // zero: the table does not say
	Expired bool
}

// Warning is one warning about leap seconds.
type Warning struct {
	Code   reason.Code
	Raised bool
}

// Warnings returns all warnings, raised or not.
func (s *Status) Warnings() []Warning {
	return []Warning{
		{reason.LeapDisagrees, s.Disagree}, {reason.LeapExpired, s.Expired}, {reason.LeapUnconfirmed, s.Unconfirmed},
		{reason.LeapContradicted, s.Undecided}, {reason.LeapRefused, s.Refused},
	}
}

// status describes the sources at t, where tb is in force. Tied means nothing
// while the clock has a second: its present offset is not in question.
func (s *sources) status(tb *tai.Table, t tai.Time, labelled bool, now int64) Status {
	n := Status{Receiver: s.broadcast.offset, Offset: tb.Offset(t), Source: tb.Source, Expires: tb.Expires, Expired: true}
	off, followed, tied := s.offset(t, now)
	n.Undecided = tied && !labelled
	for _, c := range s.claims(t, now) {
		if c.votes {
			n.Followed = followed
		}
		n.Disagree = n.Disagree || c.votes && c.value != off || c.source == receiverName && c.value != n.Offset
	}
	for _, tb := range s.tables {
		x := TableStatus{Name: tb.Source, Offset: tb.Offset(t), Expires: tb.Expires, Expired: tb.Expired(t)}
		n.Tables = append(n.Tables, x)
		n.Expired = n.Expired && x.Expired
	}
	if x, sign, ok := tb.Next(t); ok {
		n.Next, n.NextSign = time.Unix(x.UTC, 0).UTC(), sign
		_, n.NextSource, tied = s.change(x.UTC, now)
		n.Disagree = n.Disagree || tied
	}
	if b := &s.broadcast; b.nextMono != 0 && b.next.UTC != 0 && fresh(b.nextMono, now) {
		sign, _, tied := s.change(b.next.UTC, now)
		n.Disagree = n.Disagree || tied || sign != b.next.Offset
	}
	return n
}
