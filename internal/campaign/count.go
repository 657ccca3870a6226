package campaign

import (
	"math/rand/v2"
	"time"

	"noonmark/phc/tai"
)

// Leap is an inserted second in the true world.
type Leap struct {
	At    int  // s, when it begins; before the start: negative; 0: there is none
	Known bool // the program's table has it
}

// Count is a change of a receiver's leap count: its labels move by whole seconds.
type Count struct {
	At    int // s: from then on labels are made with it
	Said  int // s: from then on it is announced
	Wrong int // s, by which labels are ahead with it
}

const (
	// late is how late a receiver may apply or announce its count, s.
	late = 60
	// spoken is by when a receiver has announced its count, s: TIMELS comes every 10 s.
	spoken = 12
)

// DrawCount returns a site whose receiver changes its leap count in sight: it applies
// or announces the count late, corrects itself, or comes to a leap second that the
// program's table may lack.
func DrawCount(seed uint64) *Site {
	r := rand.New(rand.NewPCG(seed, 0x636f756e74))
	s := &Site{Seed: seed, Start: time.Date(2026, 11, 5+r.IntN(200), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)}
	x := &s.Receiver
	x.draw(r)
	x.Stale, x.Learns, x.Forever, x.Weeks = 0, 0, false, 0
	if r.IntN(3) > 0 && !x.has("TIMELS") && x.PerS == 1 {
		x.Order = append(x.Order, "TIMELS")
	}
	s.System.draw(r)
	x.Sure = r.IntN(2) == 0
	switch r.IntN(3) {
	case 0: // no leap second: the count is a second too low or too high at first
		x.changes(r, pick(r, 1, 1, -1))
	case 1:
		s.Leap = Leap{At: 30 + r.IntN(1200), Known: r.IntN(2) == 0}
		if at, n := s.Leap.At+1, r.IntN(late+1); n > 0 && r.IntN(4) > 0 {
			x.Counts = []Count{{at, at, 1}, {at + n, announced(r, at+n), 0}}
		}
	case 2: // one before the start
		s.Leap = Leap{At: -3600 * (1 + r.IntN(4000)), Known: r.IntN(3) == 0}
		x.changes(r, pick(r, 1, 1, 0))
	}
	if s.Leap.At != 0 {
		// A table that has the second is in date, and one that lacks it has expired:
		// with it a wrong count that is announced as received makes a majority.
		end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		if !s.Leap.Known {
			end = end.AddDate(1, 0, 0)
			x.Sure = false
		}
		s.Start = end.Add(-time.Duration(s.Leap.At) * time.Second)
	}
	if r.IntN(4) == 0 && x.has("TIMELS", "TIMEGPS") { // else the wait for evidence begins anew
		restart := 60 + r.IntN(900)
		if l := s.Leap.At; restart >= l && restart < l+late+2*spoken { // nothing keeps a leap second in dispute
			restart = l + late + 2*spoken
		}
		wrong, from := 0, 0
		for _, c := range x.Counts {
			// Who starts while labels and announcement differ has seen no change.
			if first, last := min(c.At, c.Said)-spoken, max(c.At, c.Said); restart >= first && restart <= last ||
				wrong != 0 && restart >= from && restart <= last && !s.Leap.Known {
				restart = last + spoken
			}
			wrong, from = c.Wrong, c.At
		}
		s.Restarts = []int{restart}
	}
	return s
}

// changes draws one or two changes of the count, by which labels are wrong at first, and
// right in the end.
func (x *Receiver) changes(r *rand.Rand, wrong int) {
	if wrong != 0 {
		x.Counts = append(x.Counts, Count{Wrong: wrong})
	}
	at, said := x.FixAt+20, 0
	evident, locked := x.has("TIMELS", "TIMEGPS"), false
	for n := 1 + r.IntN(2); n > 0 || wrong != 0; n-- {
		switch {
		case wrong != 0 && locked && !evident: // before it outweighs the lock
			at, wrong = at+1+r.IntN(late), 0
		case wrong != 0:
			at, wrong = at+r.IntN(400), 0
		case evident:
			at, wrong = at+2*late+r.IntN(400), pick(r, 1, -1)
		default: // What is wrong from before the lock on, and nothing else shows, is served.
			at, wrong, locked = max(at+2*late, x.FixAt+almanac+90)+r.IntN(400), pick(r, 1, -1), true
		}
		said = max(said, announced(r, at))
		x.Counts = append(x.Counts, Count{At: at, Said: said, Wrong: wrong})
	}
}

// announced is when a count is announced that is applied at a second.
func announced(r *rand.Rand, at int) int {
	switch r.IntN(3) {
	case 0:
		return at
	case 1:
		return at + r.IntN(late+1)
	}
	return max(spoken, at-r.IntN(late+1)) // the old count is announced before
}

// counts sets what the receiver's counts make of second k.
func (s *Site) counts(k int, st *state) {
	x := &s.Receiver
	if st.stale {
		st.wrong, st.said = x.Stale, x.Stale
	}
	for _, c := range x.Counts {
		if k >= c.At {
			st.wrong = c.Wrong
		}
		if k >= c.Said {
			st.said = c.Wrong
		}
	}
	st.stale = st.stale || st.said != 0 && !x.Sure
	if l := s.Leap.At; l > 0 && k == l && st.wrong == 0 {
		var next state
		s.counts(k+1, &next)
		st.leap = next.wrong == 0
	}
}

// settled is when the receiver's count is right for good and announced so, s.
func (x *Receiver) settled() (at int) {
	for _, c := range x.Counts {
		at = max(at, c.At, c.Said)
	}
	return at
}

// table returns the true table of leap seconds of a site that starts at a UTC.
func (l Leap) table(start time.Time) *tai.Table {
	tb := tai.Builtin()
	if l.At == 0 {
		return tb
	}
	utc := start.Unix() + int64(l.At)
	return tb.With(tai.Leap{UTC: utc, Offset: tb.OffsetUTC(utc) + 1})
}

// unseen reports whether nothing shows at second k that the count is another one: the
// program's table lacks a leap second, and the receiver has not applied it, or names
// GPS time and no count.
func (s *Site) unseen(k int) bool {
	switch l := &s.Leap; {
	case l.At == 0 || l.Known || k <= l.At:
		return false
	case s.Receiver.has("TIMEGPS") && k <= s.Receiver.settled()+spoken:
		return true
	case l.At < 0:
		return false
	}
	applied := s.Leap.At + 1
	for _, c := range s.Receiver.Counts {
		if c.At > applied && c.Wrong == 0 {
			applied = c.At
			if s.Receiver.has("TIMEUTC") { // it is void until the count is announced
				applied = max(applied, c.Said)
			}
			break
		}
	}
	return k <= applied+2
}
