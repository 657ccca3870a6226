package leap

import (
	"testing"
	"time"

	"noonmark/phc/tai"
)

// The table in force is right at any time around a leap second, whichever of the
// sources know of it.
func TestTableInForce(t *testing.T) {
	const end = 1798761600 // 2027-01-01
	dated := func(source string, year int, more ...tai.Leap) *tai.Table {
		tb := tai.Builtin()
		tb.Source, tb.Expires, tb.Leaps = source, time.Date(year, 6, 28, 0, 0, 0, 0, time.UTC), append(tb.Leaps, more...)
		return tb
	}
	ins, del := tai.Leap{UTC: end, Offset: 38}, tai.Leap{UTC: end, Offset: 36}
	at := ins.At()
	const hour = 3600 * tai.Second
	event := func(sign int) func(*sources) {
		return func(s *sources) {
			s.broadcast = broadcast{next: tai.Leap{UTC: end, Offset: sign}, nextMono: 1, offset: 37, offsetMono: 1}
		}
	}
	none := func(s *sources) { s.broadcast = broadcast{nextMono: 1, offset: 37, offsetMono: 1} }
	for _, c := range []struct {
		name   string
		tables []*tai.Table
		edit   func(*sources)
		now    tai.Time
		keep   int
		want   [3]int // TAI - UTC a day before, a second before and at the end of 2026
		next   int    // sign of what is ahead
	}{
		{"no source knows", []*tai.Table{dated("list", 2028)}, nil, at - hour, 0, [3]int{37, 37, 37}, 0},
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
		{"its announcement is a day old", []*tai.Table{dated("list", 2026)}, func(s *sources) { event(1)(s); s.broadcast.nextMono -= 25 * 3600e9 }, at - hour, 0, [3]int{37, 37, 37}, 0},
		{"the present count is kept", []*tai.Table{dated("list", 2028, ins)}, nil, at + hour, 37, [3]int{37, 37, 37}, 0},
		{"the receiver's labels inserted it", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.executed = executed{ins, 1, 1} }, at + 1, 0, [3]int{37, 37, 38}, 0},
		{"the receiver's labels left it out", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.executed = executed{del, -1, 1} }, at + 1, 0, [3]int{37, 36, 36}, 0},
		{"an earlier run knew of it, tables expired", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.earlier = []tai.Leap{ins} }, at + 1, 0, [3]int{37, 37, 38}, 0},
		{"an earlier run knew that it comes, and it came", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.earlier = []tai.Leap{{UTC: end - 184*86400, Offset: 37}, del} }, at + 1, 0, [3]int{37, 36, 36}, 0},
		{"an earlier run knew of it, a table in date does not", []*tai.Table{dated("list", 2028)}, func(s *sources) { s.earlier = []tai.Leap{ins} }, at + 1, 0, [3]int{37, 37, 37}, 0},
		{"an earlier run knew of it, the receiver denies it", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.earlier = []tai.Leap{ins}; none(s) }, at + 1, 0, [3]int{37, 37, 37}, 0},
		{"the receiver's count is lower, and no deleted second explains it", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.broadcast = broadcast{offset: 36, offsetMono: 1} }, at + 1000*hour, 0, [3]int{37, 37, 37}, 0},
		{"the receiver's count is lower, by a deleted second", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.broadcast = broadcast{offset: 36, offsetMono: 1, deleted: true} }, at + 1000*hour, 0, [3]int{36, 36, 36}, 0},
		{"the receiver's count, of which the day is not known", []*tai.Table{dated("list", 2026)}, func(s *sources) { s.broadcast = broadcast{offset: 38, offsetMono: 1} }, at + 1000*hour, 0, [3]int{37, 37, 38}, 0},
	} {
		s := sources{tables: c.tables}
		if c.edit != nil {
			c.edit(&s)
		}
		tb := s.table(c.now, c.keep, 2)
		if got := [3]int{tb.Offset(at - 24*hour), tb.Offset(at - tai.Second), tb.Offset(at)}; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if _, sign, _ := tb.Next(c.now); sign != c.next {
			t.Errorf("%s: %d ahead, want %d", c.name, sign, c.next)
		}
	}
}
