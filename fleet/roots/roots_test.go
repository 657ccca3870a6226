package roots

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * 3600

var start = time.Unix(1_800_000_000, 0)

func at(sec int64) time.Time { return start.Add(time.Duration(sec) * time.Second) }

// id is the root that tests call by a letter.
func id(letter byte) ID { return ID{letter} }

// plan makes a plan with the default parameters. Each root is a letter and its since
// in days, "-" for a pending one, with "!" if it is condemned.
func plan(t testing.TB, roots ...string) Plan {
	t.Helper()
	p, err := New(Defaults(), start)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range roots {
		r := Root{ID: id(s[0]), Published: start.Unix()}
		s, r.Condemned = strings.CutSuffix(s[1:], "!")
		if s != "-" {
			var days int64
			if _, err := fmt.Sscan(s, &days); err != nil {
				t.Fatal(err)
			}
			r.Since = start.Unix() + days*day
		}
		p.Roots = append(p.Roots, r)
	}
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// show is the inverse of the list of plan; sinces in hours.
func show(p Plan) string {
	var s []string
	for _, r := range p.Roots {
		x := string(r.ID[0])
		if r.Pending() {
			x += "-"
		} else {
			x += fmt.Sprint((r.Since - start.Unix()) / 3600)
		}
		if r.Condemned {
			x += "!"
		}
		s = append(s, x)
	}
	return strings.Join(s, " ")
}

// node makes a live node with the right time that holds the roots of the letters.
func node(name, holds string, now time.Time) Node {
	n := Node{Name: name, Live: true, Trusted: true, Clock: now.Unix()}
	for i := range len(holds) {
		n.Holds = append(n.Holds, id(holds[i]))
	}
	return n
}

func TestImpossibleParametersAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*Params)
		want string
	}{
		{"nothing", func(p *Params) { *p = Params{} }, "rotate of 0s"},
		{"negative", func(p *Params) { p.Renew = -time.Hour }, "renew of -1h"},
		{"fraction of a second", func(p *Params) { p.Ack = 1500 * time.Millisecond }, "ack of 1.5s"},
		{"rotation below ntsserve's", func(p *Params) { p.Rotate = 30 * time.Second }, "rotate of 30s is below"},
		{"keeps nothing", func(p *Params) { p.Keep = 0 }, "keep of 0"},
		{"keeps too many", func(p *Params) { p.Keep = 65 }, "keep of 65"},
		{"lead below ntsserve's look at its file", func(p *Params) { p.Lead, p.Tolerance = 20*time.Second, time.Second }, "lead of 20s is below"},
		{"tolerance near the lead", func(p *Params) { p.Tolerance = 20 * time.Minute }, "four times the tolerance"},
		{"horizon below renew", func(p *Params) { p.Horizon = 24 * time.Hour }, "lead <= renew <= horizon"},
		{"more roots than a key file has", func(p *Params) { p.Renew = 2 * 24 * time.Hour }, "23 roots"},
	} {
		p := Defaults()
		c.set(&p)
		if err := p.Check(); !errors.Is(err, ErrParams) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := Defaults().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestDamagedPlansAreRefused(t *testing.T) {
	t.Parallel()
	good, err := plan(t, "a0", "b8", "c-").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"another format", Format, "noonmark-fleet-9", "the format is"},
		{"no version", `"version":1`, `"version":0`, "no version"},
		{"unknown key", `"version"`, `"verson"`, "unknown field"},
		{"a root twice", id('b').String(), id('a').String(), "twice"},
		{"a damaged fingerprint", id('b').String(), "zz", "fingerprint of 2"},
		{"not hexadecimal", id('b').String(), strings.Repeat("z", 32), "invalid byte"},
		{"descending", fmt.Sprint(start.Unix() + 8*day), fmt.Sprint(start.Unix() - 8*day), "ascending"},
		{"before 1970", fmt.Sprint(start.Unix() + 8*day), "-5", "before 1970"},
		{"text behind", "]}", "]} {}", "data after"},
		{"cut", "]}", "", "unexpected EOF"},
		{"too long", "]}", "]}" + strings.Repeat(" ", maxPlan), "longer than"},
		{"impossible parameters", `"keep":8`, `"keep":99`, "keep of 99"},
	} {
		b := strings.Replace(string(good), c.old, c.new, 1)
		if b == string(good) {
			t.Errorf("%s: nothing is damaged", c.name)
		}
		if _, err := Parse([]byte(b)); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if p, err := Parse(good); err != nil || show(p) != "a0 b192 c-" {
		t.Errorf("the good plan: %s, %v", show(p), err)
	}
	var many []string
	for c := byte('a'); c < 'a'+MaxFile+1; c++ {
		many = append(many, fmt.Sprintf("%c%d", c, 8*(c-'a')))
	}
	p := plan(t, many[:MaxFile]...)
	p.Roots = append(p.Roots, Root{ID: id('z'), Since: p.Until(), Published: 1})
	if _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("more roots than the key file has: %v", err)
	}
}

func TestOnlyANodeWithAConfirmedClockMayPlan(t *testing.T) {
	t.Parallel()
	p := plan(t, "a0")
	now := at(100)
	nodes := func(change func(n []Node)) []Node {
		n := []Node{node("a", "a", now), node("b", "a", now), node("c", "a", now)}
		change(n)
		return n
	}
	for _, c := range []struct {
		name  string
		now   time.Time
		nodes []Node
		want  error
	}{
		{"not registered", now, nodes(func(n []Node) { n[0].Name = "x" }), ErrNotMember},
		{"no lease", now, nodes(func(n []Node) { n[0].Live = false }), ErrNotMember},
		{"clock not trusted", now, nodes(func(n []Node) { n[0].Trusted = false }), ErrUntrusted},
		{"a year ahead", at(365 * day), nodes(func([]Node) {}), ErrDisagrees},
		{"beyond the tolerance", at(100 + 301), nodes(func([]Node) {}), ErrDisagrees},
		{"the others are cut off", now, nodes(func(n []Node) { n[1].Live, n[2].Live = false, false }), ErrDisagrees},
		{"nobody else trusts its clock", now, nodes(func(n []Node) { n[1].Trusted, n[2].Trusted = false, false }), ErrDisagrees},
		{"one of two", at(400), nodes(func(n []Node) { n[1].Clock = 0 })[:2], ErrDisagrees},
		{"before the last change", at(-301), []Node{node("a", "a", now)}, ErrBackwards},
		{"a drained node disagrees as well", at(day), nodes(func(n []Node) { n[1].Drained, n[2].Drained = true, true }), ErrDisagrees},

		{"two of three", now, nodes(func(n []Node) { n[1].Clock = 0 }), nil},
		{"within the tolerance", at(100 + 300), nodes(func([]Node) {}), nil},
		{"the dead are drained", now, nodes(func(n []Node) {
			n[1].Live, n[2].Live, n[1].Drained, n[2].Drained = false, false, true, true
		}), nil},
		{"alone", now, []Node{node("a", "a", now)}, nil},
	} {
		d, err := Step(p, View{Self: "a", Now: c.now, Nodes: c.nodes})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && (d.Changed || d.Draw > 0 || d.Drain != nil) {
			t.Errorf("%s: refused, and yet %+v", c.name, d)
		}
	}
}

func TestRefusalsHaveAWord(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Refusals() {
		if r.Word() == "" || r.Error() == "" || seen[r.Word()] {
			t.Errorf("refusal %d: word %q, message %q", r, r.Word(), r.Error())
		}
		seen[r.Word()] = true
	}
}

func TestStep(t *testing.T) {
	t.Parallel()
	const hour = 3600
	for _, c := range []struct {
		name  string
		roots []string
		now   int64    // s after the start
		nodes []string // letters of the roots that each holds; "d" in front: drained, "x": not live
		want  string   // sinces in hours
		drain string
		draw  int
	}{
		{"nobody has drawn", nil, 0, []string{"", ""}, "", "", 4},
		{"one node lacks it", []string{"a0", "b8", "c16", "d24", "e-"}, 60, []string{"abcde", "abcd"}, "a0 b192 c384 d576 e-", "", 0},
		{"a laggard is drained, and what waited for it begins", []string{"a0", "b8", "c16", "d24", "e-"}, 2 * hour, []string{"abcde", "abcd"}, "a0 b192 c384 d576 e768", "1", 0},
		{"nobody is drained if nobody holds it, and the root is given up", []string{"a0", "b8", "c16", "d24", "e-"}, 2 * hour, []string{"abcd", "abcd"}, "a0 b192 c384 d576", "", 0},
		{"nobody is drained if only a drained node holds it", []string{"a0", "b8", "c16", "d24", "e-"}, 2 * hour, []string{"abcd", "d:abcde"}, "a0 b192 c384 d576 e-", "", 0},
		{"no root begins if only drained nodes hold it", []string{"a0", "b8", "c16", "d24", "e-"}, 60, []string{"d:abcde", "d:abcde"}, "a0 b192 c384 d576 e-", "", 0},
		{"the cookies of the last root may live", []string{"a0", "b8", "c16", "d24", "e32", "f40"}, (8+9)*day + hour, []string{"abcdef"}, "a0 b192 c384 d576 e768 f960", "", 0},

		{"the first of several begins at once", []string{"a-", "b-", "c-", "d-"}, 60, []string{"abcd", "abcd"}, "a0 b192 c384 d576", "", 0},
		{"a root begins where the plan ends", []string{"a0", "b8", "c16", "d24", "e-"}, 60, []string{"abcde", "abcde"}, "a0 b192 c384 d576 e768", "", 0},
		{"a late one begins a lead ahead", []string{"a0", "b-"}, 9 * day, []string{"ab", "ab"}, "a0 b217", "", 3},
		{"those who are drained or away are not waited for", []string{"a0", "b8", "c16", "d24", "e-"}, 60, []string{"abcde", "d:", "d:x"}, "a0 b192 c384 d576 e768", "", 0},
		{"the cookies of the first root have expired", []string{"a0", "b8", "c16", "d24", "e32", "f40"}, (8+9)*day + hour + 1, []string{"abcdef"}, "b192 c384 d576 e768 f960", "", 0},
		{"the horizon comes nearer", []string{"a0", "b8", "c16", "d24"}, 2*day + 1, []string{"abcd"}, "a0 b192 c384 d576", "", 1},

		{"revoked, and nothing can begin yet", []string{"a0!", "b8!"}, day, []string{"ab", "ab"}, "a0! b192!", "", 4},
		{"all revoked, the new one is not everywhere", []string{"a0!", "b8!", "c-"}, 60, []string{"abc", "ab"}, "a0! b192! c-", "", 3},
		{"all revoked, the new one begins at once", []string{"a0!", "b8!", "c-"}, day, []string{"abc", "abc"}, "c24", "", 3},
		{"the sealing one revoked, the next begins at once", []string{"a0!", "b8"}, day, []string{"ab", "ab"}, "b24", "", 3},
		{"a coming one revoked", []string{"a0", "b8!", "c16", "d24"}, day, []string{"abcd"}, "a0 c384 d576", "", 0},
		{"a pending one revoked", []string{"a0", "b8", "c16", "d24", "e-!"}, day, []string{"abcd"}, "a0 b192 c384 d576", "", 0},
	} {
		p := plan(t, c.roots...)
		before := show(p)
		v := View{Self: "0", Now: at(c.now)}
		for i, s := range c.nodes {
			flags, holds, ok := strings.Cut(s, ":")
			if !ok {
				flags, holds = "", s
			}
			n := node(fmt.Sprint(i), strings.TrimSuffix(holds, "x"), v.Now)
			n.Drained, n.Live = flags == "d", !strings.HasSuffix(holds, "x")
			v.Nodes = append(v.Nodes, n)
		}
		d, err := Step(p, v)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := show(d.Plan); got != c.want || strings.Join(d.Drain, " ") != c.drain || d.Draw != c.draw {
			t.Errorf("%s: %q, drain %q, draw %d; want %q, %q, %d", c.name, got, d.Drain, d.Draw, c.want, c.drain, c.draw)
		}
		if changed := before != show(d.Plan); changed != d.Changed || changed != (d.Plan.Version > p.Version) {
			t.Errorf("%s: changed %t, version %d -> %d, for %q -> %q", c.name, d.Changed, p.Version, d.Plan.Version, before, show(d.Plan))
		}
		if show(p) != before {
			t.Errorf("%s: Step changed the plan that it was given", c.name)
		}
	}
}

func TestANodeServesOnlyWhileItKnowsAllRootsThatMaySeal(t *testing.T) {
	t.Parallel()
	p := plan(t, "a0", "b8", "c-") // until day 16
	end := p.Until() - start.Unix()
	for _, c := range []struct {
		name  string
		now   int64
		holds string
		set   func(*Local)
		want  Readiness
	}{
		{"clock not trusted", 60, "ab", func(l *Local) { l.Trusted = false }, ClockUntrusted},
		{"drained", 60, "ab", func(l *Local) { l.Drained = true }, IsDrained},
		{"before the first root", -60, "ab", func(*Local) {}, NoRoot},
		{"no secret", 60, "", func(*Local) {}, MissingRoot},
		{"the next one is missing, half a lead ahead", 8*day - 1800, "a", func(*Local) {}, MissingRoot},
		{"an earlier one is missing", 9 * day, "b", func(*Local) {}, MissingRoot},
		{"the plan ends", end - 1800, "ab", func(*Local) {}, PlanEnded},
		{"confirmed too long ago", end, "ab", func(l *Local) { l.Confirmed = 31 * time.Minute }, PlanEnded},

		{"all", 60, "ab", func(*Local) {}, Serves},
		{"the next one is missing", 8*day - 1801, "a", func(*Local) {}, Serves},
		{"shortly before the end", end - 1801, "ab", func(*Local) {}, Serves},
		{"confirmed", end + 99*day, "ab", func(l *Local) { l.Confirmed = 30 * time.Minute }, Serves},
	} {
		l := Local{Now: at(c.now), Trusted: true, Holds: node("", c.holds, start).Holds, Confirmed: -1}
		c.set(&l)
		if got := p.Ready(l); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got.Word(), c.want.Word())
		}
	}
	if got := p.Lasts(node("", "a", start).Holds) - start.Unix(); got != 8*day-1800 {
		t.Errorf("a node without the second root lasts %d s", got)
	}
}

func TestCondemningAnUnknownRootIsRefused(t *testing.T) {
	t.Parallel()
	p := plan(t, "a0")
	if n, err := p.Condemn(id('a'), id('x')); !errors.Is(err, ErrUnknownRoot) || slices.ContainsFunc(n.Roots, func(r Root) bool { return r.Condemned }) {
		t.Errorf("%s, %v", show(n), err)
	}
}

// TestARevocationNeedsNoClock: the machine of the operator may have a wrong one. A change that is
// dated in the future would keep every planner with a right clock from replacing the roots.
func TestARevocationNeedsNoClock(t *testing.T) {
	t.Parallel()
	p := plan(t, "a0", "b8")
	n, err := p.Condemn()
	if err != nil || n.Changed != p.Changed || n.Version != p.Version+1 {
		t.Fatalf("%s, changed %d, before %d, %v", show(n), n.Changed, p.Changed, err)
	}
	d, err := Step(n, View{Self: "x", Now: start, Nodes: []Node{node("x", "ab", start)}})
	if err != nil || d.Draw == 0 {
		t.Errorf("a planner with the clock of the plan: %+v, %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	b, err := plan(f, "a0", "b8!", "c-").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		c, err := p.Encode()
		if err != nil {
			t.Fatalf("accepted and not encoded: %v", err)
		}
		if again, err := Parse(c); err != nil || show(again) != show(p) {
			t.Fatalf("%s -> %s, %v", show(p), show(again), err)
		}
	})
}
