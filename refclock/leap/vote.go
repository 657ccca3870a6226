package leap

import (
	"slices"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
)

// receiverName names the receiver among the sources of leap seconds.
const receiverName = "receiver"

// earlierName names what an earlier run of the program knew.
const earlierName = "earlier run"

// claim is what one source says about one instant.
type claim struct {
	source string
	value  int  // TAI - UTC in s, or the change of it
	votes  bool // the source has a vote on this instant
}

// vote returns the value with the most votes, and the first source that claims
// it. The claims come in order of trust: of values with as many votes the first
// wins, and tied is set. Not ok: no source has a vote.
func vote(claims []claim) (value int, source string, tied, ok bool) {
	most := 0
	for i, c := range claims {
		same := func(d claim) bool { return d.votes && d.value == c.value }
		if !c.votes || slices.ContainsFunc(claims[:i], same) {
			continue
		}
		n := 0
		for _, d := range claims {
			if same(d) {
				n++
			}
		}
		switch {
		case n > most:
			most, value, source, tied, ok = n, c.value, c.source, false, true
		case n == most:
			tied = true
		}
	}
	return value, source, tied, ok
}

// sources holds what every source of leap seconds says.
//
// In order of trust: the receiver's broadcast (or, where the receiver does not
// announce its count, what its labels did at the end of a month),
// leap-seconds.list, right/UTC, the built-in table. A table has a vote until it
// expires. A receiver has a vote for what it received from satellites, never for
// what its maker built in. Most votes decide. In a tie the more trusted source is
// followed, and nothing is served.
//
//   - An expired file has no vote, so a fresh broadcast stands alone against it.
//     A leap second is decided half a year ahead and a table expires before the
//     next one can come: a table in date cannot be late, only damaged.
//   - A broadcast against two tables in date is outvoted. Receivers have inserted
//     seconds on wrong days, and counted weeks modulo 256.
//   - A broadcast against one table in date is a tie. About a leap second ahead the
//     order of trust holds, and the labels will show. About the present count the
//     receiver's memory may be old, for up to 12.5 min, or the file damaged. A guess
//     would be wrong by a second, so nothing is served before the receiver agrees
//     or another table decides.
//   - Where no source has a vote, the table that expired last is used, with a later
//     leap second that an earlier run knew of. Only a
//     deleted second lowers the count, and none has ever been deleted: a broadcast
//     below that table has no vote unless the receiver reports the deletion.
//
// Whatever is decided, a disagreement is reported for as long as it lasts.
type sources struct {
	tables    []*tai.Table // in order of trust, at least one
	broadcast broadcast
	executed  executed
	earlier   []tai.Leap // leap seconds that an earlier run of the program knew of
}

// broadcast is what the receiver announces of what it received from satellites.
type broadcast struct {
	offset     int      // TAI - UTC, s; 0: not announced
	offsetMono int64    // when, CLOCK_MONOTONIC_RAW
	next       tai.Leap // leap second ahead, its Offset is the change; UTC 0: the receiver says that there is none
	nextMono   int64    // when; 0: the receiver says nothing about leap seconds ahead
	deleted    bool     // the receiver says that the last change was a deleted second
}

// counted takes the leap count that the receiver announces, and reports whether it
// is news.
func (b *broadcast) counted(m *gnss.Message) (news bool) {
	if !m.LeapSource.FromSatellites() {
		return false
	}
	news = b.offset != m.LeapOffset
	b.offset, b.offsetMono = m.LeapOffset, m.Mono
	return news
}

// announced takes what the receiver says of a leap second ahead, and reports
// whether it is news. It is accepted only at the end of a month in UTC.
func (b *broadcast) announced(m *gnss.Message) (news bool, next tai.Leap) {
	if !m.HasLeapEvent || !m.LeapSource.FromSatellites() || !m.Valid && m.HasDate {
		return false, next
	}
	if m.LeapSign != 0 && m.LeapIn > 0 && m.LeapAt != 0 {
		next.UTC, _ = m.LeapAt.Unix(m.LeapOffset + m.LeapSign)
		next.Offset = m.LeapSign
		if !monthStart(next.UTC) {
			return false, next
		}
	}
	news = next != b.next && (b.nextMono != 0 || next.UTC != 0)
	b.next, b.nextMono = next, m.Mono
	b.deleted = m.LeapSign < 0 && m.LeapIn <= 0
	return news, next
}

// executed is a leap second that the receiver's labels inserted or left out
// against the table in force.
type executed struct {
	leap tai.Leap // Offset is TAI - UTC since then
	sign int      // the change at that time, 0: none
	mono int64    // when; 0: there is none
}

// inDate reports whether a table's makers guarantee it at a POSIX time.
func inDate(tb *tai.Table, sec int64) bool {
	return !tb.Expires.IsZero() && sec < tb.Expires.Unix()
}

// latest returns the table that expires last.
func (s *sources) latest() *tai.Table {
	return slices.MaxFunc(s.tables, func(x, y *tai.Table) int { return x.Expires.Compare(y.Expires) })
}

// fresh reports whether something that the receiver announced still counts.
func fresh(mono, now int64) bool { return now-mono < int64(announcementLife) }

// receiver returns TAI - UTC by the receiver, 0 if it is not known or too old.
func (s *sources) receiver(now int64) int {
	b := &s.broadcast
	switch {
	case s.executed.mono != 0 && s.executed.mono >= b.offsetMono:
		return s.executed.leap.Offset
	case b.offset != 0 && fresh(b.offsetMono, now):
		return b.offset
	}
	return 0
}

// claims returns what the sources say of TAI - UTC at t, in order of trust.
func (s *sources) claims(t tai.Time, now int64) []claim {
	var cs []claim
	if n := s.receiver(now); n != 0 {
		cs = append(cs, claim{receiverName, n, !s.unexplained(n, t)})
	}
	for _, tb := range s.tables {
		sec, _ := t.Unix(tb.Offset(t))
		cs = append(cs, claim{tb.Source, tb.Offset(t), inDate(tb, sec)})
	}
	return cs
}

// unexplained reports whether the receiver's count n lies below what the table that
// expired last has for t, and no source reports a deleted second. A table in date
// is outvoted or not by itself.
func (s *sources) unexplained(n int, t tai.Time) bool {
	latest := s.latest()
	sec, _ := t.Unix(n)
	return n < latest.Offset(t) && !inDate(latest, sec) && !s.broadcast.deleted && s.executed.mono == 0
}

// offset decides TAI - UTC at t, and names the source that is followed.
func (s *sources) offset(t tai.Time, now int64) (offset int, source string, tied bool) {
	offset, source, tied, ok := vote(s.claims(t, now))
	if !ok {
		offset, source = s.unvoted(t)
		return offset, source, false
	}
	return offset, source, tied
}

// unvoted returns TAI - UTC at t where no source has a vote, and what it is from.
func (s *sources) unvoted(t tai.Time) (offset int, source string) {
	tb := s.latest()
	offset, source = tb.Offset(t), tb.Source
	for _, l := range s.earlier {
		if l.UTC > tb.Leaps[len(tb.Leaps)-1].UTC && l.At() <= t {
			offset, source = l.Offset, earlierName
		}
	}
	return offset, source
}

// change decides by how much TAI - UTC changes when the POSIX second utc begins,
// which is the first of a month.
func (s *sources) change(utc, now int64) (sign int, source string, tied bool) {
	var cs []claim
	b := &s.broadcast
	switch {
	case s.executed.mono != 0 && s.executed.leap.UTC == utc:
		cs = append(cs, claim{receiverName, s.executed.sign, true})
	case b.nextMono == 0 || !fresh(b.nextMono, now):
	case b.next.UTC == utc:
		cs = append(cs, claim{receiverName, b.next.Offset, true})
	default:
		cs = append(cs, claim{receiverName, 0, true})
	}
	for _, tb := range s.tables {
		d := tb.OffsetUTC(utc) - tb.OffsetUTC(utc-1)
		cs = append(cs, claim{tb.Source, d, inDate(tb, utc) || d != 0})
	}
	sign, source, tied, _ = vote(cs)
	return sign, source, tied
}

// monthStart reports whether a POSIX second is the first of a month in UTC.
func monthStart(sec int64) bool { return sec%86400 == 0 && time.Unix(sec, 0).UTC().Day() == 1 }
