package roots

import (
	"testing"
	"time"
)

func TestWhoHasTheTurn(t *testing.T) {
	t.Parallel()
	const term = time.Minute
	fit := TurnView{Term: term, Fit: true, Whole: true}
	with := func(now time.Duration, change func(*TurnView)) TurnView {
		v := fit
		v.Now = now
		if change != nil {
			change(&v)
		}
		return v
	}
	mine := func(v *TurnView) { v.Mine = true }
	unfit := func(v *TurnView) { v.Fit = false }
	held := func(v *TurnView) { v.Held = true }
	lacks := func(v *TurnView) { v.Whole = false }
	type step struct {
		v    TurnView
		want TurnAct
		able bool // with Go and Begin: it could plan
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a clock that is not trusted, or a drain", []step{{with(0, unfit), Pass, false}, {with(2*term, unfit), Pass, false}}},
		{"another has it", []step{{with(0, held), Pass, false}, {with(time.Hour, held), Pass, false}}},
		{"its clock is not trusted any more", []step{{with(0, nil), Begin, true}, {with(1, func(v *TurnView) { v.Mine, v.Fit = true, false }), End, false}, {with(2, unfit), Pass, false}, {with(3, nil), Begin, true}}},
		{"it lacks a root, and nobody else wants it", []step{{with(0, lacks), Pass, false}, {with(term-1, lacks), Pass, false}, {with(term, lacks), Begin, false}}},
		{"it lacks a root, and another had it meanwhile", []step{{with(0, lacks), Pass, false}, {with(term/2, held), Pass, false}, {with(term, lacks), Pass, false}, {with(2*term, lacks), Begin, false}}},
		{"it cannot plan: one term, then one for others", []step{
			{with(0, nil), Begin, false}, {with(term-1, mine), Go, false}, {with(term, mine), End, false},
			{with(term+1, nil), Pass, false}, {with(2*term-1, nil), Pass, false}, {with(2*term, nil), Begin, false},
		}},
		{"it can plan again in time", []step{{with(0, nil), Begin, false}, {with(term/2, mine), Go, true}, {with(term, mine), Go, false}, {with(2*term-1, mine), Go, false}, {with(2*term, mine), End, false}}},
		{"it has lost it, and the time before does not count", []step{{with(0, nil), Begin, false}, {with(term/2, held), Pass, false}, {with(term, nil), Begin, false}, {with(2*term-1, mine), Go, false}}},
		{"it plans on", []step{{with(0, nil), Begin, true}, {with(time.Hour, mine), Go, true}, {with(2*time.Hour, mine), Go, true}}},
	} {
		var turn Turn
		for i, s := range c.steps {
			got := turn.Next(s.v)
			if got != s.want {
				t.Errorf("%s: step %d: %d, want %d", c.name, i, got, s.want)
			}
			if got == Begin || got == Go {
				turn.Planned(s.v.Now, s.able)
			}
		}
	}
}

func TestAPlanWithoutRootsNeedsNone(t *testing.T) {
	t.Parallel()
	p := Plan{Params: Defaults(), Roots: []Root{{ID: ID{1}, Since: 1}, {ID: ID{2}, Since: 2}, {ID: ID{3}}}}
	for _, c := range []struct {
		holds []ID
		want  bool
	}{{nil, false}, {[]ID{{1}, {3}}, false}, {[]ID{{1}, {2}}, true}} {
		if got := p.HoldsAll(c.holds); got != c.want {
			t.Errorf("%v: %t", c.holds, got)
		}
	}
	if !(Plan{}).HoldsAll(nil) {
		t.Error("a plan without roots")
	}
}
