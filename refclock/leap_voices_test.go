package refclock

import (
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

func TestCouncil(t *testing.T) {
	v := func(name string, says int, vouched bool) leapVoice { return leapVoice{name, says, vouched} }
	for _, c := range []struct {
		name string
		vs   []leapVoice
		says int
		by   string
		even bool
		ok   bool
	}{
		{"nobody", nil, 0, "", false, false},
		{"nobody vouches", []leapVoice{v("list", 37, false), v("right", 38, false)}, 0, "", false, false},
		{"one", []leapVoice{v("list", 37, true)}, 37, "list", false, true},
		{"a stale file against a broadcast", []leapVoice{v("receiver", 38, true), v("list", 37, false), v("right", 37, false)}, 38, "receiver", false, true},
		{"a broadcast against two tables", []leapVoice{v("receiver", 38, true), v("list", 37, true), v("right", 37, true)}, 37, "list", false, true},
		{"a broadcast against one", []leapVoice{v("receiver", 38, true), v("list", 37, true), v("right", 37, false)}, 38, "receiver", true, true},
		{"the second against the first", []leapVoice{v("list", 37, true), v("right", 38, true)}, 37, "list", true, true},
		{"two against the first", []leapVoice{v("list", 37, true), v("right", 38, true), v("builtin", 38, true)}, 38, "right", false, true},
		{"two and two", []leapVoice{v("receiver", 38, true), v("list", 37, true), v("right", 38, true), v("builtin", 37, true)}, 38, "receiver", true, true},
		{"each something else", []leapVoice{v("receiver", 36, true), v("list", 37, true), v("right", 38, true)}, 36, "receiver", true, true},
		{"a pair outvotes two singles", []leapVoice{v("receiver", 36, true), v("list", 37, true), v("right", 38, true), v("builtin", 38, true)}, 38, "right", false, true},
	} {
		if says, by, even, ok := council(c.vs); says != c.says || by != c.by || even != c.even || ok != c.ok {
			t.Errorf("%s: %d by %s, even %v, %v", c.name, says, by, even, ok)
		}
	}
}

// TestLeapBook: the table that is counted with, at any time around a leap
// second, whoever knows of it.
func TestLeapBook(t *testing.T) {
	const end = 1798761600 // 2027-01-01
	dated := func(source string, year int, more ...tai.Leap) *tai.Table {
		tb := tai.Builtin()
		tb.Source, tb.Expires, tb.Leaps = source, time.Date(year, 6, 28, 0, 0, 0, 0, time.UTC), append(tb.Leaps, more...)
		return tb
	}
	ins := tai.Leap{UTC: end, Offset: 38}
	at := ins.At()
	const hour = 3600 * tai.Second
	event := func(sign int) func(*leapBook) {
		return func(b *leapBook) {
			b.event, b.eventMono, b.count, b.countMono = tai.Leap{UTC: end, Offset: sign}, 1, 37, 1
		}
	}
	none := func(b *leapBook) { b.eventMono, b.count, b.countMono = 1, 37, 1 }
	for _, c := range []struct {
		name   string
		tables []*tai.Table
		edit   func(*leapBook)
		now    tai.Time
		keep   int
		want   [3]int // TAI - UTC a day before, a second before and at the end of 2026
		next   int    // sign of what is ahead
	}{
		{"nobody knows", []*tai.Table{dated("list", 2028)}, nil, at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the list knows", []*tai.Table{dated("list", 2028, ins)}, nil, at - hour, 0, [3]int{37, 37, 38}, 1},
		{"in the second itself", []*tai.Table{dated("list", 2028, ins)}, nil, at - tai.Second/2, 37, [3]int{37, 37, 38}, 1},
		{"after it", []*tai.Table{dated("list", 2028, ins)}, nil, at, 38, [3]int{37, 37, 38}, 0},
		{"right alone knows, the list expired", []*tai.Table{dated("list", 2026), dated("right", 2028, ins)}, nil, at - hour, 0, [3]int{37, 37, 38}, 1},
		{"right alone knows, the list is in date", []*tai.Table{dated("list", 2028), dated("right", 2028, ins)}, nil, at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the receiver announces it, tables expired", []*tai.Table{dated("list", 2026)}, event(1), at - hour, 0, [3]int{37, 37, 38}, 1},
		{"the receiver announces a deletion, tables expired", []*tai.Table{dated("list", 2026)}, event(-1), at - hour, 0, [3]int{37, 36, 36}, -1},
		{"the receiver announces it against one table", []*tai.Table{dated("list", 2028)}, event(1), at - hour, 0, [3]int{37, 37, 38}, 1},
		{"the receiver announces it against two", []*tai.Table{dated("list", 2028), dated("right", 2028)}, event(1), at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the receiver denies it, one table knows", []*tai.Table{dated("list", 2028, ins)}, none, at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the receiver denies it, two know", []*tai.Table{dated("list", 2028, ins), dated("right", 2028, ins)}, none, at - hour, 0, [3]int{37, 37, 38}, 1},
		{"its announcement is old", []*tai.Table{dated("list", 2026)}, func(b *leapBook) { event(1)(b); b.eventMono -= 25 * 3600e9 }, at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the present count is kept", []*tai.Table{dated("list", 2028, ins)}, nil, at + hour, 37, [3]int{37, 37, 37}, 0},
		{"the receiver's labels did it", []*tai.Table{dated("list", 2026)}, func(b *leapBook) { b.seen, b.seenSign, b.seenMono = ins, 1, 1 }, at + 1, 0, [3]int{37, 37, 38}, 0},
		{"the receiver's count, the day guessed", []*tai.Table{dated("list", 2026)}, func(b *leapBook) { b.count, b.countMono = 38, 1 }, at + 1000*hour, 0, [3]int{37, 37, 38}, 0},
	} {
		b := leapBook{tables: c.tables}
		if c.edit != nil {
			c.edit(&b)
		}
		tb := b.table(c.now, c.keep, 2)
		if got := [3]int{tb.Offset(at - 24*hour), tb.Offset(at - tai.Second), tb.Offset(at)}; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if _, sign, _ := tb.Next(c.now); sign != c.next {
			t.Errorf("%s: %d ahead, want %d", c.name, sign, c.next)
		}
	}
}

// TestLeapWatch: what ends the wait for a receiver that speaks plain NMEA.
func TestLeapWatch(t *testing.T) {
	const now = tai.Time(1.8e18)
	label := gnss.Message{Source: "RMC", Talker: "GP", Valid: true, HasDate: true, HasTimeOfDay: true, Time: now, Mono: 1e12}
	utc, void, count, built := label, label, label, label
	utc.Source, utc.Talker = "NAV-PVT", ""
	void.Valid = false
	count.LeapOffset, count.LeapSource = 37, "GPS"
	built.LeapOffset, built.LeapSource = 18+19, firmware
	late := label
	late.Mono += int64(almanac) + 1
	for _, c := range []struct {
		name       string
		ms         []gnss.Message
		sys, clock tai.Time
		kept       bool
		want       [2]bool // waits, not strict and strict
	}{
		{"nothing heard", nil, 0, 0, false, [2]bool{false, false}},
		{"warm", []gnss.Message{label}, 0, 0, false, [2]bool{false, true}},
		{"cold", []gnss.Message{void, label}, 0, 0, false, [2]bool{true, true}},
		{"the count that its maker put in", []gnss.Message{built}, 0, 0, false, [2]bool{false, true}},
		{"the system clock is a minute off", []gnss.Message{label}, now + 60*tai.Second, 0, true, [2]bool{false, true}},
		{"the system clock is two seconds off", []gnss.Message{label}, now + 2*tai.Second, 0, false, [2]bool{false, true}},
		{"a kept system clock is two seconds off", []gnss.Message{label}, now + 2*tai.Second, 0, true, [2]bool{true, true}},
		{"the card's clock is a second off", []gnss.Message{label}, 0, now - tai.Second, false, [2]bool{false, true}},
		{"the card's clock is a second ahead", []gnss.Message{label}, 0, now + 11*tai.Second/10, false, [2]bool{false, true}},
		{"the label is a second ahead, and late", []gnss.Message{label}, now - 15*tai.Second/100, 0, false, [2]bool{false, true}},
		{"the system clock agrees", []gnss.Message{void, label}, now + tai.Second/5, 0, false, [2]bool{}},
		{"the card's clock agrees", []gnss.Message{void, label}, 0, now + tai.Second/5, false, [2]bool{}},
		{"the count from satellites", []gnss.Message{void, count}, 0, 0, false, [2]bool{}},
		{"UTC that is resolved", []gnss.Message{void, utc}, 0, 0, false, [2]bool{}},
		{"a quarter of an hour with a fix", []gnss.Message{void, label, late}, 0, 0, false, [2]bool{}},
	} {
		var l leapWatch
		for _, m := range c.ms {
			l.message(&m, c.sys, c.kept, c.clock)
		}
		if got := [2]bool{l.waits(false), l.waits(true)}; got != c.want {
			t.Errorf("%s: waits %v, want %v", c.name, got, c.want)
		}
	}
	var e Engine
	if e.vindicated(reason.WitnessDisagrees.String(), ""); e.leaps.sure {
		t.Error("a witness that no longer disagrees has confirmed nothing")
	}
	if e.vindicated(reason.WitnessAwaited.String(), ""); !e.leaps.sure {
		t.Error("a witness confirmed the second")
	}
}
