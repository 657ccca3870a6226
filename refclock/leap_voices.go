package refclock

import (
	"slices"
	"time"

	"noonmark/phc/tai"
)

// Who is to be believed about leap seconds.
//
// Sources in order of trust: the receiver's broadcast (or, where it does not
// announce its count, what its labels did at the end of a month),
// leap-seconds.list, right/UTC, the table built in. A source votes on an instant
// if it vouches for it: a table up to its expiry, a receiver for what it has
// heard from satellites, never for what its maker put in. Most votes decide; of
// as many on either side the more trusted is followed, and nothing served.
//
//   - A stale file has no vote, so a fresh broadcast stands alone against it.
//     A leap second is decided half a year ahead, and a table expires before the
//     next could come, so one that is in date cannot be late, only damaged.
//   - A broadcast against two tables that are in date is outvoted: receivers have
//     inserted seconds on wrong days, and counted weeks modulo 256.
//   - A broadcast against one such table is even. About a leap second ahead the
//     order of trust holds, and the labels will show. About the present count it
//     may be the receiver's memory that is old, for up to 12.5 min, or the file that
//     is damaged, and a guess would be wrong by a second: nothing is served before
//     the receiver agrees or another table settles it.
//   - Where nobody vouches, the table that ended last is the best there is.
//
// Whatever was decided, that they disagree is reported for as long as they do.

// leapVoice is what one source says about one instant.
type leapVoice struct {
	name    string
	says    int // TAI - UTC in s, or by how much it changes
	vouched bool
}

// council returns what the voices, in their order of trust, decide, and whose
// it is; even if as many say something else. Not ok: nobody vouches for
// anything.
func council(vs []leapVoice) (says int, by string, even, ok bool) {
	best := 0
	for i, v := range vs {
		n := 0
		for _, w := range vs {
			if w.vouched && w.says == v.says {
				n++
			}
		}
		switch {
		case !v.vouched || slices.ContainsFunc(vs[:i], func(w leapVoice) bool { return w.vouched && w.says == v.says }):
		case n > best:
			best, says, by, even, ok = n, v.says, v.name, false, true
		case n == best:
			even = true
		}
	}
	return says, by, even, ok
}

// theReceiver names the receiver among the sources.
const theReceiver = "receiver"

// leapBook is what all sources have said. It is pure: no clock, no log.
type leapBook struct {
	tables []*tai.Table // in order of trust, at least one

	count     int      // TAI - UTC as the receiver heard it from satellites, s; 0 = it does not say
	countMono int64    // mono of that
	event     tai.Leap // leap second that the receiver announces; UTC = 0: it says that there is none
	eventMono int64    // mono of that, 0 = it announces none
	seen      tai.Leap // leap second that its labels executed, or did not (then Offset is that of before)
	seenSign  int
	seenMono  int64
}

// vouches reports whether the makers of a table answer for a POSIX time.
func vouches(tb *tai.Table, sec int64) bool {
	return !tb.Expires.IsZero() && sec < tb.Expires.Unix()
}

// best is the table that ended last.
func (b *leapBook) best() *tai.Table {
	return slices.MaxFunc(b.tables, func(x, y *tai.Table) int { return x.Expires.Compare(y.Expires) })
}

// receiver returns the receiver's count, 0 if it is not known or old.
func (b *leapBook) receiver(mono int64) int {
	switch {
	case b.seen.Offset != 0 && b.seenMono >= b.countMono:
		return b.seen.Offset
	case b.count != 0 && mono-b.countMono < int64(leapAge):
		return b.count
	}
	return 0
}

// voices are what is said of TAI - UTC at t.
func (b *leapBook) voices(t tai.Time, mono int64) []leapVoice {
	var vs []leapVoice
	if n := b.receiver(mono); n != 0 {
		vs = append(vs, leapVoice{theReceiver, n, true})
	}
	for _, tb := range b.tables {
		sec, _ := t.Unix(tb.Offset(t))
		vs = append(vs, leapVoice{tb.Source, tb.Offset(t), vouches(tb, sec)})
	}
	return vs
}

// offset returns TAI - UTC at t.
func (b *leapBook) offset(t tai.Time, mono int64) (off int, by string, even bool) {
	off, by, even, ok := council(b.voices(t, mono))
	if !ok {
		tb := b.best()
		return tb.Offset(t), tb.Source, false
	}
	return off, by, even
}

// change returns by how much TAI - UTC changes when the POSIX second utc begins,
// the first of a month.
func (b *leapBook) change(utc, mono int64) (sign int, by string, even bool) {
	var vs []leapVoice
	switch {
	case b.seen.UTC == utc && b.seenMono != 0:
		vs = append(vs, leapVoice{theReceiver, b.seenSign, true})
	case b.eventMono == 0 || mono-b.eventMono > int64(leapAge):
	case b.event.UTC == utc:
		vs = append(vs, leapVoice{theReceiver, b.event.Offset, true})
	default:
		vs = append(vs, leapVoice{theReceiver, 0, true})
	}
	for _, tb := range b.tables {
		d := tb.OffsetUTC(utc) - tb.OffsetUTC(utc-1)
		vs = append(vs, leapVoice{tb.Source, d, vouches(tb, utc) || d != 0})
	}
	sign, by, even, _ = council(vs)
	return sign, by, even
}

// table returns what is to be counted with around t: the past by the best table
// that knows the present count, the leap seconds ahead as they are decided. keep
// is the count in force if that is not to change, else 0.
func (b *leapBook) table(t tai.Time, keep int, mono int64) *tai.Table {
	off := keep
	if off == 0 {
		off, _, _ = b.offset(t, mono)
	}
	base := b.best()
	for _, tb := range b.tables {
		if sec, _ := t.Unix(off); tb.Offset(t) == off && (vouches(tb, sec) || base.Offset(t) != off) {
			base = tb
			break
		}
	}
	n := &tai.Table{Source: base.Source, Expires: base.Expires}
	for _, l := range base.Leaps {
		if l.At() <= t {
			n.Leaps = append(n.Leaps, l)
		}
	}
	if k := len(n.Leaps); k > 1 && n.Leaps[k-1].Offset != off && n.Leaps[k-2].Offset == off {
		n.Leaps = n.Leaps[:k-1]
	}
	sec, _ := t.Unix(off)
	if last := n.Leaps[len(n.Leaps)-1]; last.Offset != off {
		n.Source = theReceiver
		at := tai.Leap{UTC: halfYear(sec), Offset: off}
		if b.seen.Offset == off && b.seen.UTC > last.UTC {
			at.UTC = b.seen.UTC
		}
		if at.UTC <= last.UTC {
			at.UTC = sec
		}
		n.Leaps = append(n.Leaps, at)
	}
	var ahead []int64
	for _, tb := range b.tables {
		if tb.Offset(t) == off && tb.Expires.After(n.Expires) {
			n.Expires = tb.Expires
		}
		for _, l := range tb.Leaps {
			ahead = append(ahead, l.UTC)
		}
	}
	if b.eventMono != 0 && b.event.UTC != 0 {
		ahead = append(ahead, b.event.UTC)
	}
	slices.Sort(ahead)
	for _, utc := range slices.Compact(ahead) {
		last := n.Leaps[len(n.Leaps)-1]
		if utc <= last.UTC || utc < sec-1 {
			continue
		}
		sign, _, _ := b.change(utc, mono)
		if l := (tai.Leap{UTC: utc, Offset: last.Offset + sign}); sign != 0 && l.At() > t {
			n.Leaps = append(n.Leaps, l)
		}
	}
	if slices.Equal(n.Leaps, base.Leaps) && n.Expires.Equal(base.Expires) {
		return base
	}
	return n
}

// halfYear returns the first second of the half year that sec lies in: a leap
// second of which only the count is known came most likely there.
func halfYear(sec int64) int64 {
	u := time.Unix(sec, 0).UTC()
	return time.Date(u.Year(), 1+u.Month()/7*6, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// monthEnd reports whether a POSIX second is the first of a month.
func monthEnd(sec int64) bool { return sec%86400 == 0 && time.Unix(sec, 0).UTC().Day() == 1 }
