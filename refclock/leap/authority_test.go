package leap

import (
	"slices"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

// yearEnd is 2027-01-01 00:00:00 UTC, POSIX.
const yearEnd = 1798761600

// tableOf is the built-in table under another name, with another expiry and more
// leap seconds.
func tableOf(source string, year int, more ...tai.Leap) *tai.Table {
	tb := tai.Builtin()
	tb.Source, tb.Expires, tb.Leaps = source, time.Date(year, 6, 28, 0, 0, 0, 0, time.UTC), append(tb.Leaps, more...)
	return tb
}

// site plays a receiver into an Authority, one message a second.
type site struct {
	auth     *Authority
	tracked  bool
	announce int // TAI - UTC that the receiver announces, 0: it does not
	codes    []reason.Code
	texts    []string
	changes  int // of the table in force
}

// second plays the message of the second now (TAI), whose UTC the receiver makes
// with the table by. It returns what the Authority takes for the instant. As in a
// decoder, UTC becomes TAI by the table in force, and an inserted second that this
// table does not have is marked.
func (s *site) second(now tai.Time, by *tai.Table, edit func(*gnss.Message)) tai.Time {
	sec, _ := now.Unix(by.Offset(now))
	m := gnss.Message{Source: "RMC", Talker: "GP", Mono: int64(now) + 2e8, Valid: true, HasDate: true}
	m.Time = tai.FromUnix(sec, 0, s.auth.Table().OffsetUTC(sec))
	if by.Offset(now+tai.Second) == by.Offset(now)+1 { // second 60
		last := sec - 1
		m.Time = tai.FromUnix(last, 0, s.auth.Table().OffsetUTC(last)) + tai.Second
		m.NewLeap = s.auth.Table().Offset(m.Time+tai.Second) == s.auth.Table().Offset(m.Time)
	}
	m.Civil = civil(now.UTC(by.Offset(now)))
	m.LeapOffset = s.announce
	if s.announce != 0 {
		m.LeapSource = gnss.LeapGPS
	}
	if edit != nil {
		edit(&m)
	}
	in := reading.Clocks{Mono: m.Mono, Tracked: s.tracked, Unlocked: !s.tracked}
	if s.tracked {
		in.Clock = now + 2e8
	}
	r := s.auth.Message(&m, in, true)
	for _, e := range r.Events {
		s.codes = append(s.codes, e.Code)
		s.texts = append(s.texts, e.Text)
	}
	if r.Table != nil {
		s.changes++
	}
	return r.Label
}

// civil returns the calendar fields of a label.
func civil(t time.Time) gnss.Civil {
	return gnss.Civil{HasTimeOfDay: true, Year: t.Year(), Month: int(t.Month()), Day: t.Day(), Hour: t.Hour(), Minute: t.Minute(), Second: t.Second(), Nanos: t.Nanosecond()}
}

// A tracked clock's receiver inserts or leaves out a second that the table in
// force has not, or misses one that it has. What is served afterwards is what the
// sources decide, and the labels keep naming the true second.
func TestLeapSecondShownByLabels(t *testing.T) {
	ins, del := tai.Leap{UTC: yearEnd, Offset: 38}, tai.Leap{UTC: yearEnd, Offset: 36}
	none, insTable, delTable := tableOf("truth", 2030), tableOf("truth", 2030, ins), tableOf("truth", 2030, del)
	for _, c := range []struct {
		name      string
		receiver  *tai.Table
		tables    []*tai.Table
		offset    int // TAI - UTC in force a minute later
		undecided bool
		refused   bool
		code      reason.Code // counted
	}{
		{"inserted, tables expired", insTable, []*tai.Table{tableOf("list", 2026)}, 38, false, false, reason.LeapContradicted},
		{"deleted, tables expired", delTable, []*tai.Table{tableOf("list", 2026)}, 36, false, false, reason.LeapContradicted},
		{"inserted, one table in date has none", insTable, []*tai.Table{tableOf("list", 2028)}, 37, true, false, reason.LeapContradicted},
		{"inserted, two tables in date have none", insTable, []*tai.Table{tableOf("list", 2028), tableOf("right", 2028)}, 37, false, true, reason.LeapRefused},
		{"deleted, two tables in date have none", delTable, []*tai.Table{tableOf("list", 2028), tableOf("right", 2028)}, 37, false, true, reason.LeapRefused},
		{"missed, two tables in date have it", none, []*tai.Table{tableOf("list", 2028, ins), tableOf("right", 2028, ins)}, 38, false, true, reason.LeapRefused},
		{"missed, one table in date has it", none, []*tai.Table{tableOf("list", 2028, ins)}, 38, true, false, reason.LeapContradicted},
		{"inserted, as every table has it", insTable, []*tai.Table{tableOf("list", 2028, ins), tableOf("right", 2028, ins)}, 38, false, false, reason.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{auth: New(c.tables, ProofNever, Earlier{}), tracked: true}
			end := tai.FromUnix(yearEnd, 0, 37)
			for now := end - 60*tai.Second; now < end+60*tai.Second; now += tai.Second {
				if got := s.second(now, c.receiver, nil); got != now {
					t.Fatalf("%v after the end of the year: label is off by %v", now.Sub(end), got.Sub(now))
				}
			}
			st := s.auth.Status()
			if got := s.auth.Table().Offset(end + 60*tai.Second); got != c.offset || s.auth.Undecided() != c.undecided || st.Undecided != c.undecided || st.Refused != c.refused {
				t.Errorf("TAI - UTC %d, undecided %v, refused %v; want %d, %v, %v (%v %q)", got, s.auth.Undecided(), st.Refused, c.offset, c.undecided, c.refused, s.codes, s.texts)
			}
			if c.code != reason.None && !slices.Contains(s.codes, c.code) || c.code == reason.None && len(s.codes) != 0 {
				t.Errorf("events %v %q, want %v", s.codes, s.texts, c.code)
			}
		})
	}
}

// Labels that are off for another reason than a leap second are left alone: the
// discipline disputes them.
func TestLabelsOffByOtherCauses(t *testing.T) {
	old := tableOf("list", 2026)
	end := tai.FromUnix(yearEnd, 0, 37)
	shift := func(d tai.Time) func(*gnss.Message) { return func(m *gnss.Message) { m.Time += d } }
	for _, c := range []struct {
		name  string
		start tai.Time
		edit  func(*gnss.Message)
		want  tai.Time // label - true second
	}{
		{"a second ahead in the middle of a month", end + 14*86400*tai.Second, shift(tai.Second), tai.Second},
		{"two seconds behind at the end of a month", end, shift(-2 * tai.Second), -2 * tai.Second},
		{"an hour ahead at the end of a month", end, shift(3600 * tai.Second), 3600 * tai.Second},
		{"not valid, a second behind at the end of a month", end, func(m *gnss.Message) { m.Time -= tai.Second; m.Valid = false }, -tai.Second},
		{"too late for its second to be certain", end, func(m *gnss.Message) { m.Time -= tai.Second / 2 }, -tai.Second / 2},
		{"GPS time, which has no leap seconds", end, func(m *gnss.Message) { m.Source, m.Uniform = "NAV-TIMEGPS", true; m.Time -= tai.Second }, -tai.Second},
	} {
		s := &site{auth: New([]*tai.Table{old}, ProofNever, Earlier{}), tracked: true}
		for now := c.start - 10*tai.Second; now < c.start; now += tai.Second {
			s.second(now, old, nil)
		}
		for now := c.start; now < c.start+10*tai.Second; now += tai.Second {
			if got := s.second(now, old, c.edit) - now; got != c.want {
				t.Errorf("%s: label is off by %v, want %v", c.name, time.Duration(got), time.Duration(c.want))
				break
			}
		}
		if s.auth.Table().Offset(c.start+10*tai.Second) != 37 || s.changes != 0 || s.auth.Status().Refused {
			t.Errorf("%s: the table in force changed", c.name)
		}
	}
}

// One damaged label at the end of a month opens a candidate, and labels in order
// close it without a trace.
func TestOneDamagedLabel(t *testing.T) {
	old := tableOf("list", 2026)
	s := &site{auth: New([]*tai.Table{old}, ProofNever, Earlier{}), tracked: true}
	end := tai.FromUnix(yearEnd, 0, 37)
	for now := end - 10*tai.Second; now < end; now += tai.Second {
		s.second(now, old, nil)
	}
	if s.second(end, old, func(m *gnss.Message) { m.Time += tai.Second }); !s.auth.Undecided() {
		t.Error("a label that is a second ahead at the end of a year is not examined")
	}
	if s.second(end+tai.Second, old, nil); s.auth.Undecided() || s.auth.Table().Offset(end+tai.Second) != 37 {
		t.Error("labels are in order and the candidate is still open")
	}
}

// A receiver's announced count explains its labels: they are right about TAI
// however stale the count is, before the lock and after it. What UTC is, the
// sources decide.
func TestAnnouncedCount(t *testing.T) {
	stale := tableOf("receiver's", 2026)
	stale.Leaps = stale.Leaps[:len(stale.Leaps)-1] // 36 s
	start := tai.FromUnix(yearEnd+14*86400, 0, 37)
	for _, c := range []struct {
		name      string
		tracked   bool
		tables    []*tai.Table
		offset    int
		undecided bool
	}{
		{"before the lock, one table in date", false, []*tai.Table{tableOf("list", 2028)}, 36, true},
		{"before the lock, two tables in date", false, []*tai.Table{tableOf("list", 2028), tableOf("right", 2028)}, 37, false},
		{"before the lock, tables expired: only a deleted second would lower the count", false, []*tai.Table{tableOf("list", 2026)}, 37, false},
		{"tracked, one table in date", true, []*tai.Table{tableOf("list", 2028)}, 37, true},
		{"tracked, two tables in date", true, []*tai.Table{tableOf("list", 2028), tableOf("right", 2028)}, 37, false},
		{"tracked, tables expired: likewise", true, []*tai.Table{tableOf("list", 2026)}, 37, false},
	} {
		s := &site{auth: New(c.tables, ProofNever, Earlier{}), tracked: c.tracked, announce: 36}
		for now := start; now < start+10*tai.Second; now += tai.Second {
			if got := s.second(now, stale, nil); got != now {
				t.Errorf("%s: label is off by %v", c.name, got.Sub(now))
				break
			}
		}
		if got, st := s.auth.Table().Offset(start+10*tai.Second), s.auth.Status(); got != c.offset || st.Undecided != c.undecided || st.Receiver != 36 {
			t.Errorf("%s: TAI - UTC %d, want %d; %+v", c.name, got, c.offset, st)
		}
	}
}

// A receiver that learns its count shows that by labels that jump. What it announced
// before explains them no longer, even if it announces the new count only later.
func TestLabelsThatJumpDropTheAnnouncedCount(t *testing.T) {
	right := tableOf("list", 2028)
	fewer := func(n int) *tai.Table {
		stale := tableOf("receiver's", 2026)
		stale.Leaps = stale.Leaps[:len(stale.Leaps)-n]
		return stale
	}
	ahead := tableOf("receiver's", 2030, tai.Leap{UTC: yearEnd, Offset: 38})
	start := tai.FromUnix(yearEnd+14*86400, 0, 37)
	const learns, jump = 10, 5 // s, of the second announcement and of the labels
	for _, c := range []struct {
		name  string
		stale *tai.Table
		jump  int // s, of the labels; 0: they do not
		more  int // messages a second besides the first
	}{
		{"back by two seconds", fewer(2), jump, 0},
		{"back by two seconds, three messages a second", fewer(2), jump, 2},
		{"ahead by a second", ahead, jump, 0},
		{"ahead by a second, three messages a second", ahead, jump, 2},
		{"they go on", fewer(1), 0, 2},
	} {
		s := &site{auth: New([]*tai.Table{right, right}, ProofNever, Earlier{})}
		for k := range tai.Time(2 * learns) {
			now, by := start+k*tai.Second, c.stale
			if c.jump != 0 && int(k) >= c.jump {
				by = right
			}
			if s.announce = 0; k == 0 || k == learns {
				s.announce = int(by.Offset(now))
			}
			for i := range c.more + 1 {
				if got := s.second(now, by, func(m *gnss.Message) { m.Mono += int64(i) * 3e8 }); got != now {
					t.Errorf("%s: label %d of second %d is off by %v", c.name, i, k, got.Sub(now))
				}
				s.announce = 0
			}
		}
	}
}

// Lasting warnings are repeated once a day, and start anew when the cause was
// gone.
func TestWarningsOnceADay(t *testing.T) {
	a := New([]*tai.Table{tableOf("list", 2026)}, ProofNever, Earlier{})
	start := tai.FromUnix(yearEnd+14*86400, 0, 37)
	n := 0
	for h := range 73 {
		now := start + tai.Time(h)*3600*tai.Second
		for _, e := range a.Tick(reading.Clocks{Mono: int64(now), Clock: now, Tracked: true}).Events {
			if e.Code != reason.LeapExpired {
				t.Errorf("%v %q", e.Code, e.Text)
			}
			n++
		}
	}
	if n != 3 {
		t.Errorf("expiry was reported %d times in three days", n)
	}
}

// Labels in GPS time show nothing of UTC. The count that the receiver announces beside
// them is weighed against the tables while the clock is tracked, too.
func TestCountBesideGPSTimeIsWeighed(t *testing.T) {
	t.Parallel()
	start := tai.FromUnix(yearEnd+14*86400, 0, 37)
	inDate, expired := tableOf("list", 2030), tableOf("list", 2026)
	right := *inDate
	right.Source = "right"
	for _, c := range []struct {
		name      string
		tables    []*tai.Table
		announced int
		inUTC     bool // labels in UTC come as well, by the table
		offset    int
		undecided bool
	}{
		{"one table in date contradicts it", []*tai.Table{inDate}, 38, false, 37, true},
		{"two tables in date contradict it", []*tai.Table{inDate, &right}, 38, false, 37, false},
		{"labels in UTC contradict it", []*tai.Table{inDate}, 38, true, 37, false},
		{"the table has expired", []*tai.Table{expired}, 38, false, 38, false},
		{"it is the table's", []*tai.Table{inDate}, 37, false, 37, false},
	} {
		s := &site{auth: New(c.tables, ProofNever, Earlier{}), tracked: true}
		play := func(from, count int) {
			for k := from; k < from+20; k++ {
				now := start + tai.Time(k)*tai.Second
				if s.announce = 0; c.inUTC {
					s.second(now, c.tables[0], nil)
				}
				if s.announce = 0; k > 3 {
					s.announce = count
				}
				s.second(now, c.tables[0], func(m *gnss.Message) { m.Source, m.Uniform, m.Time, m.UTC = "NAV-TIMEGPS", true, now, gnss.UTCResolved })
			}
		}
		play(0, c.announced)
		if got := s.auth.Table().Offset(start + 20*tai.Second); got != c.offset || s.auth.Undecided() != c.undecided {
			t.Errorf("%s: TAI - UTC %d, undecided %v; want %d, %v", c.name, got, s.auth.Undecided(), c.offset, c.undecided)
		}
		if play(20, 37); s.auth.Undecided() {
			t.Errorf("%s: undecided when the sources agree again", c.name)
		}
	}
}
