package refclock_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// leapTable is the built-in table with another name and expiry, and its leap
// seconds edited.
func leapTable(source, expires string, edit func([]tai.Leap) []tai.Leap) *tai.Table {
	tb := tai.Builtin()
	end, err := time.Parse(time.DateOnly, expires)
	if err != nil {
		panic(err)
	}
	tb.Source, tb.Expires = source, end
	if edit != nil {
		tb.Leaps = edit(tb.Leaps)
	}
	return tb
}

func inserted(l []tai.Leap) []tai.Leap { return append(l, tai.Leap{UTC: 1798761600, Offset: 38}) } // 2026-12-31
func deleted(l []tai.Leap) []tai.Leap  { return append(l, tai.Leap{UTC: 1798761600, Offset: 36}) }
func missing2016(l []tai.Leap) []tai.Leap {
	return l[:len(l)-1]
}

const (
	stale = "2026-06-28" // before all that happens here
	good  = "2028-06-28"
)

// leapLook is what must be published so long after the start.
type leapLook struct {
	at     time.Duration
	state  status.State
	reason string
}

// eve is how long before the end of 2026 a run begins.
const eve = 3 * time.Minute

// leapRow is a case of sources of leap seconds. The run begins shortly before the
// end of 2026, or a month later.
type leapRow struct {
	name     string
	truth    *tai.Table   // of true UTC
	receiver *tai.Table   // by which the receiver makes its UTC
	says     bool         // it announces count and leap second (UBX); else it only labels (NMEA)
	tables   []*tai.Table // in order of trust
	later    bool         // a month later
	edit     func(*sim.Scenario)
	looks    []leapLook
	gap      time.Duration // longest time not served after the first time it was; -1: to the end
	blind    time.Duration // so long after the leap second nothing can show it yet
	counted  reason.Code   // must be counted
	not      reason.Code   // must not be counted
}

func leapRows() []leapRow {
	no := reason.Code(reason.Count)
	none, ins, del := leapTable("list", good, nil), leapTable("list", good, inserted), leapTable("list", good, deleted)
	right := func(tb *tai.Table) *tai.Table { c := *tb; c.Source = "right"; return &c }
	old, oldRight, short := leapTable("list", stale, nil), leapTable("right", stale, nil), leapTable("short", good, missing2016)
	lock := func(at time.Duration) leapLook { return leapLook{at, status.Locked, "disciplined"} }
	stop := func(at time.Duration) leapLook { return leapLook{at, status.Faulty, "leap_contradicted"} }
	silence := func(s *sim.Scenario) {
		s.Config.Receiver.Faults = []sim.Fault{fault(sim.Silence, eve-minute, 2*minute, 0)}
	}
	off := func(s *sim.Scenario) { s.Config.Clock.System = -400 * time.Second }
	return []leapRow{
		// Only the receiver knows of it: its labels show it, and for a second nothing is served.
		{"second 60, tables expired", ins, ins, false, []*tai.Table{old, oldRight}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 0, reason.LeapContradicted, reason.LeapRefused},
		{"second 59 left out, tables expired", del, del, false, []*tai.Table{old, oldRight}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 200 * time.Millisecond, reason.LeapContradicted, reason.LeapRefused},
		{"second 60, one table says none", ins, ins, false, []*tai.Table{none, oldRight}, false, nil, []leapLook{lock(eve - minute), stop(2 * eve)}, -1, 0, reason.LeapContradicted, reason.LeapRefused},
		{"second 60 by the receiver alone, two tables say none", none, ins, false, []*tai.Table{none, right(none)}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 0, reason.LeapRefused, no},
		{"second 59 left out by the receiver alone, two tables say none", none, del, false, []*tai.Table{none, right(none)}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 0, reason.LeapRefused, no},
		// All sources know of it, or enough of them.
		{"all agree", ins, ins, true, []*tai.Table{ins, right(ins)}, false, nil, []leapLook{lock(eve), lock(2 * eve)}, 0, 0, no, reason.LeapDisagrees},
		{"all agree on a deletion", del, del, true, []*tai.Table{del, right(del)}, false, nil, []leapLook{lock(eve), lock(2 * eve)}, 0, 0, no, reason.LeapDisagrees},
		{"announced by the receiver, tables expired", ins, ins, true, []*tai.Table{old, oldRight}, false, nil, []leapLook{lock(2 * eve)}, 0, 0, reason.LeapExpired, reason.LeapContradicted},
		{"deletion announced by the receiver, tables expired", del, del, true, []*tai.Table{old, oldRight}, false, nil, []leapLook{lock(2 * eve)}, 0, 0, reason.LeapExpired, reason.LeapContradicted},
		{"announced by the receiver against one table", ins, ins, true, []*tai.Table{none, oldRight}, false, nil, []leapLook{lock(2 * eve)}, 0, 0, reason.LeapDisagrees, reason.LeapContradicted},
		{"announced and executed falsely, two tables say none", none, ins, true, []*tai.Table{none, right(none)}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 0, reason.LeapRefused, no},
		{"from right/UTC alone, list expired", ins, ins, false, []*tai.Table{old, right(ins)}, false, nil, []leapLook{lock(2 * eve)}, 0, 0, no, reason.LeapExpired},
		{"the receiver does not know, two tables do", ins, tai.Builtin(), false, []*tai.Table{ins, right(ins)}, false, nil, []leapLook{lock(eve - minute), lock(2 * eve)}, 1200 * time.Millisecond, 0, reason.LeapRefused, no},
		{"the receiver does not know, one table does", ins, tai.Builtin(), false, []*tai.Table{ins}, false, nil, []leapLook{lock(eve - minute), stop(2 * eve)}, -1, 0, reason.LeapContradicted, no},
		// A start, a month after.
		{"expired files, a fresh broadcast", ins, ins, true, []*tai.Table{old, oldRight}, true, nil, []leapLook{lock(eve)}, 0, 0, reason.LeapExpired, reason.LeapDisagrees},
		{"expired list, right/UTC in date", ins, ins, false, []*tai.Table{old, right(ins)}, true, nil, []leapLook{lock(eve)}, 0, 0, no, reason.LeapExpired},
		{"warm receiver with a stale count, two tables in date", none, short, true, []*tai.Table{none, right(none)}, true, nil, []leapLook{lock(eve)}, 0, 0, reason.LeapDisagrees, no},
		{"warm receiver with a stale count, one table in date", none, short, true, []*tai.Table{none, oldRight}, true, nil, []leapLook{{eve, status.Unlocked, "doubted: leap_contradicted"}}, -1, 0, reason.LeapDisagrees, no},
		{"warm receiver with a stale count that it does not announce, held back", none, tai.Builtin(), false, []*tai.Table{old}, true, func(s *sim.Scenario) {
			off(s)
			faults(fault(sim.SecondOff, 0, 12*minute, 1))(s)
		}, []leapLook{{eve, status.Unlocked, "doubted: leap_unconfirmed"}, lock(20 * minute)}, 0, 0, reason.LeapUnconfirmed, no},
		{"a warm receiver that the system clock confirms", none, none, false, []*tai.Table{none}, true, nil, []leapLook{lock(minute)}, 0, 0, no, reason.LeapUnconfirmed},
		// The receiver was silent when it happened.
		{"a leap second, announced before the receiver fell silent", ins, ins, true, []*tai.Table{old}, false, silence, []leapLook{lock(eve - 2*minute), lock(eve + 3*minute)}, 0, 0, no, reason.LeapContradicted},
		{"a leap second while the receiver was silent, tables expired", ins, ins, false, []*tai.Table{old}, false, silence, []leapLook{lock(eve - 2*minute), lock(eve + 3*minute)}, 1200 * time.Millisecond, 61 * time.Second, reason.LeapContradicted, no},
		{"a second lost while the receiver was silent, in the middle of a month", none, none, false, []*tai.Table{old}, true, func(s *sim.Scenario) {
			silence(s)
			faults(fault(sim.SecondOff, eve, 0, -1))(s)
			// The lock is three minutes old and so provisional: which second is right is
			// open, and nothing is served until the labels have disagreed for longer.
		}, []leapLook{lock(eve - 2*minute), {eve + 90*time.Second, status.Faulty, "second_disputed"}}, -1, 0, no, reason.LeapContradicted},
	}
}

// Whatever the sources know, UTC is right while clients are served, and state and
// reason are as named where they are not.
func TestLeapSources(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	for _, c := range leapRows() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := builtin(2026, 12, 31, 23, 57, 0)
			if c.later {
				start = builtin(2027, 2, 1, 9, 0, 0) + tai.Time(c.truth.Offset(builtin(2027, 2, 1, 9, 0, 0))-37)*tai.Second
			}
			r := newRig(t, "timehat-f9t", func(s *sim.Scenario) {
				s.Config.Clock.Truth, s.Config.Clock.TAIOffset = start, c.truth.Offset(start)
				s.Config.Receiver.Table, s.Config.Receiver.LeapWarn = c.receiver, c.says
				s.Engine.Settings.Table, s.Engine.Settings.Tables = c.tables[0], c.tables[1:]
				if c.edit != nil {
					c.edit(s)
				}
			})
			bound, leapAt := r.Before, start+tai.Time(eve)
			var out, since time.Duration
			served, wrong := false, false
			r.Before = func(mono int64) {
				now := r.App.Clock.True(mono)
				if !r.Snap.Usable(mono) {
					if served {
						out += r.Since() - since
					}
					since = r.Since()
					return
				}
				served, since = true, r.Since()
				clock := r.Snap.ClockAt(mono)
				if blind := now >= leapAt-tai.Second && now < leapAt+tai.Time(c.blind); !wrong && !blind &&
					(r.Snap.OffsetAt(clock) != c.truth.Offset(clock) || clock.Sub(now).Abs() > 400*time.Millisecond) {
					wrong = true
					t.Errorf("at %v: served TAI-UTC %d, want %d; off by %v (%v, %s)", r.Since(), r.Snap.OffsetAt(clock), c.truth.Offset(clock), clock.Sub(now), r.Snap.State, r.Snap.Reason)
				}
				if bound != nil {
					bound(mono)
				}
			}
			for _, k := range c.looks {
				r.Run(k.at)
				if r.Snap.State != k.state || r.Snap.Reason != k.reason {
					t.Errorf("at %v: %v (%s), want %v (%s)", k.at, r.Snap.State, r.Snap.Reason, k.state, k.reason)
				}
			}
			t.Logf("not served for %v", out)
			if out > c.gap && c.gap >= 0 || c.gap > 0 && out == 0 {
				t.Errorf("not served for %v, want at most %v", out, c.gap)
			}
			if int(c.counted) < reason.Count && r.engine(c.counted) == 0 {
				t.Errorf("%v was not counted", c.counted)
			}
			if int(c.not) < reason.Count && r.engine(c.not) != 0 {
				t.Errorf("%v was counted %d times", c.not, r.engine(c.not))
			}
			if t.Failed() {
				t.Logf("%s", &r.log)
			}
		})
	}
}

// A receiver with another count than the table, and expired tables, raise named
// warnings once a day. The receiver's count explains its labels, and is followed
// where no table is in date.
func TestLeapWarnings(t *testing.T) {
	old := leapTable("old-list", stale, nil)
	b := customBench(t, 0, func(c *refclock.Config) { c.Settings.Table = old })
	// A receiver that counts so many leap seconds is so far off by another table.
	says := func(from, to, count int, source gnss.LeapSource) {
		for k := from; k < to; k++ {
			b.eng.Message(&gnss.Message{Source: "NAV-TIMELS", Mono: b.now, Leap: gnss.Leap{LeapOffset: count, LeapSource: source}})
			u := (truth0 + tai.Time(k)*tai.Second).UTC(count)
			sent := gnss.Civil{Year: u.Year(), Month: int(u.Month()), Day: u.Day(), Hour: u.Hour(), Minute: u.Minute(), Second: u.Second()}
			b.say(k, gnss.Message{Source: "RMC", Talker: "GP", Valid: true, Civil: sent, Time: tai.Time(b.eng.Report().Leap.Offset-count) * tai.Second})
		}
	}
	b.say(1, gnss.Message{Source: "RMC", Talker: "GP", Valid: true})
	says(2, 60, 35, gnss.LeapFirmware) // built in, not received, but the receiver makes its UTC by it
	if n := b.eng.Report().Leap; n.Disagree || n.Receiver != 0 || !n.Expired || n.Offset != 37 || n.Followed != "" {
		t.Errorf("%+v", n)
	}
	if s := b.last(); s.TAIOffset != 37 || !s.Usable(b.now) {
		t.Errorf("%v (%s), TAI-UTC %d: an old table is no reason not to serve", s.State, s.Reason, s.TAIOffset)
	}
	epoch := b.last().Epoch
	says(60, 90, 38, gnss.LeapGPS)
	st := b.eng.Report()
	if n := st.Leap; n.Receiver != 38 || n.Offset != 38 || n.Followed != "receiver" || n.Disagree || st.Counts[reason.LeapExpired] != 1 {
		t.Errorf("%+v, expiry counted %d", n, st.Counts[reason.LeapExpired])
	}
	if s := b.last(); !s.Usable(b.now) || s.TAIOffset != 38 || s.Epoch != epoch {
		t.Errorf("%v (%s), TAI-UTC %d, epoch %d", s.State, s.Reason, s.TAIOffset, s.Epoch)
	}
	if w := report.NewDetails(st, 1, b.now).Leap; strings.Join(w.Warnings, " ") != "leap_expired" || w.By != "receiver" || len(w.Sources) != 1 || !w.Sources[0].Expired {
		t.Errorf("%+v", w)
	}
	// Two tables that are in date: the receiver is outvoted, the clock is not moved.
	in := refclock.Settings{Table: leapTable("list", good, nil), Tables: []*tai.Table{leapTable("right", good, nil)}}
	b.eng.Apply(in)
	says(90, 120, 38, gnss.LeapGPS)
	st = b.eng.Report()
	if n := st.Leap; !n.Disagree || n.Offset != 37 || n.Expired || st.Counts[reason.LeapDisagrees] != 2 {
		t.Errorf("%+v, counted %d", n, st.Counts[reason.LeapDisagrees])
	}
	if s := b.last(); !s.Usable(b.now) || s.TAIOffset != 37 || s.Epoch != epoch {
		t.Errorf("%v (%s), TAI-UTC %d, epoch %d", s.State, s.Reason, s.TAIOffset, s.Epoch)
	}
	if e := b.clock.Error(b.now); e < -1e6 || e > 1e6 {
		t.Errorf("the clock is off by %.0f ns", e)
	}
	for _, w := range []string{"sources of leap seconds disagree", "leap table has expired", "expired=2026-06-28", "was_s=37 is_s=38", "was_s=38 is_s=37"} {
		if !strings.Contains(b.log.String(), w) {
			t.Errorf("the log does not say %q:\n%s", w, &b.log)
		}
	}
	says(120, 130, 37, gnss.LeapGPS)
	if n := b.eng.Report().Leap; n.Disagree {
		t.Errorf("they agree again: %+v", n)
	}
	b.eng.Apply(refclock.Settings{Table: old})
	b.now += 25 * 3600e9 // a day passes
	b.say(130+25*3600, gnss.Message{Source: "RMC", Talker: "GP", Valid: true})
	if n := b.eng.Report().Counts[reason.LeapExpired]; n != 3 { // three times anew
		t.Errorf("expiry was said %d times", n)
	}
	if !slices.Contains(report.NewDetails(b.eng.Report(), 1, b.now).Leap.Warnings, "leap_expired") {
		t.Error("no warning of the expiry")
	}
}
