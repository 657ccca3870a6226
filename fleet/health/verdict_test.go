package health

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/store"
)

func good() Facts {
	return Facts{State: "locked", Usable: true, Bound: time.Microsecond, Stratum: 1, Synced: true, Asked: 1000, NTS: true, Keys: 8, KeyAge: time.Hour}
}

func TestMissingEvidenceIsAProblem(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for _, c := range []struct {
		name   string
		set    func(*Facts)
		limits Limits
		want   string
	}{
		{"no snapshot", func(f *Facts) { f.Snapshot = gone }, Limits{}, "no-snapshot: gone"},
		{"not locked", func(f *Facts) { f.Usable, f.State = false, "acquiring" }, Limits{}, "not-locked: acquiring"},
		{"no bound", func(f *Facts) { f.Bound = -1 }, Limits{}, "bound: "},
		{"bound", func(f *Facts) { f.Bound = 2 * time.Microsecond }, Limits{Bound: time.Microsecond}, "bound: 2µs, limit 1µs"},
		{"no answer", func(f *Facts) { f.Answer = gone }, Limits{}, "no-answer: gone"},
		{"not synchronised", func(f *Facts) { f.Synced = false }, Limits{}, "unsynchronised"},
		{"dropped, after a change", func(f *Facts) { f.Dropped = 501 }, Limits{Gate: true}, "few-answers: 501 of 1000"},
		{"more dropped than asked", func(f *Facts) { f.Dropped = 5000 }, Limits{Gate: true}, "few-answers: "},
		{"no counters", func(f *Facts) { f.Serving = gone }, Limits{}, "no-keys: gone"},
		{"no keys", func(f *Facts) { f.Keys = 0 }, Limits{}, "no-keys"},
		{"no key file", func(f *Facts) { f.KeyAge = -1 }, Limits{}, "key-file: missing"},
		{"old key file", func(f *Facts) { f.KeyAge = 46 * 24 * time.Hour }, Limits{}, "key-file: written"},
		{"the agent", func(f *Facts) { f.Unready = "missing-root" }, Limits{}, "not-ready: missing-root"},
		{"deviates", func(f *Facts) { f.Deviates = "fast" }, Limits{}, "deviates: fast"},
		{"nothing known", func(f *Facts) { *f = Facts{Bound: -1, Answer: gone} }, Limits{}, "not-locked"},

		{"good", func(*Facts) {}, Limits{Gate: true, Bound: time.Millisecond}, ""},
		{"dropped, without a change", func(f *Facts) { f.Dropped = 1000 }, Limits{}, ""},
		{"few requests", func(f *Facts) { f.Asked, f.Dropped = 99, 99 }, Limits{Gate: true}, ""},
		{"without NTS", func(f *Facts) { f.NTS, f.Keys, f.KeyAge, f.Serving = false, 0, -1, gone }, Limits{}, ""},
	} {
		f := good()
		c.set(&f)
		got := ""
		if p := Judge(f, c.limits); len(p) > 0 {
			got = p[0].String()
		}
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, r := range Reasons() {
		if r.String() == "" || !strings.Contains(r.Message(), ";") {
			t.Errorf("reason %d %q names no remedy: %q", r, r, r.Message())
		}
	}
}

func TestTheLastNodeIsNotWithdrawn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		reasons   []Reason
		drained   bool
		others    int
		announced bool
		want      string // announce, kept
	}{
		{"not locked, others are there", []Reason{NotLocked}, false, 1, true, "false false"},
		{"not locked, the last one", []Reason{NotLocked}, false, 0, true, "true true"},
		{"not locked, withdrawn, and the others have gone", []Reason{NotLocked}, false, 0, false, "true true"},
		{"not locked, etcd is gone", []Reason{NotLocked}, false, -1, true, "true true"},
		{"not locked and withdrawn, etcd is gone", []Reason{NotLocked}, false, -1, false, "false false"},
		{"deviates, the last one", []Reason{NotLocked, Deviates}, false, 0, true, "false false"},
		{"dead, the last one", []Reason{NoAnswer}, false, 0, true, "false false"},
		{"drained, the last one", nil, true, 0, true, "false false"},
		{"healthy", nil, false, 3, false, "true false"},
		{"healthy, etcd is gone", nil, false, -1, false, "true false"},
	} {
		var list []Problem
		for _, r := range c.reasons {
			list = append(list, Problem{Reason: r})
		}
		if v := Decide(list, c.drained, c.others, c.announced); fmt.Sprint(v.Announce, v.Kept) != c.want {
			t.Errorf("%s: %v %v, want %s", c.name, v.Announce, v.Kept, c.want)
		}
	}
}

func fleetOf(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("node%d", i))
	}
	return list
}

func TestWitnessesAreSpreadEvenly(t *testing.T) {
	t.Parallel()
	first := func(self string, all []string) []string {
		list := Order(self, all)
		if len(list) != len(all)-1 || slices.Contains(list, self) {
			t.Fatalf("%s of %d has %d others", self, len(all), len(list))
		}
		return list[:min(len(list), MaxWitnesses)]
	}
	for n := 1; n <= 40; n++ {
		all := fleetOf(n)
		asked := map[string]int{}
		for _, self := range all {
			for _, p := range first(self, all) {
				asked[p]++
			}
		}
		for name, k := range asked {
			if k != min(n-1, MaxWitnesses) {
				t.Errorf("%d nodes: %s is asked by %d", n, name, k)
			}
		}
	}
	// One node more changes the lists of those before it only.
	was, is, changed := fleetOf(40), fleetOf(41), 0
	for _, p := range was {
		if !slices.Equal(first(p, was), first(p, is)) {
			changed++
		}
	}
	if changed != MaxWitnesses {
		t.Errorf("a new node changes %d lists, want %d", changed, MaxWitnesses)
	}
	if Order("stranger", was) != nil {
		t.Error("a node that is not registered has witnesses")
	}
}

// Records in etcd are input.
func TestOnlyAHealthyNodeThatIsReachedIsAWitness(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "x": false, `{"nts_ke":"192.0.2.1:4460"}`: false, `{"healthy":true}`: false,
		`{"healthy":true,"nts_ke":"192.0.2.1:4460"` + strings.Repeat(" ", maxRecord) + "}":        false,
		`{"healthy":true,"nts_ke":"192.0.2.1:4460","nts_name":"a.example","ntp":"192.0.2.1:123"}`: true,
	} {
		p, fit := fitWitness("a", []byte(text))
		if fit != want || fit && p != (Peer{Name: "a", Address: "192.0.2.1:4460", TLS: "a.example", NTP: "192.0.2.1:123"}) {
			t.Errorf("%.60q: %+v, %t", text, p, fit)
		}
	}
}

func TestOnlyAMajorityThatAgreesBlamesANode(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		asked int
		list  []Reading
		want  string
	}{
		{"nobody answers", 3, nil, ""},
		{"one witness of one", 1, []Reading{{"b", 100 * ms, ms}}, ""},
		{"one of two answers", 2, []Reading{{"b", 100 * ms, ms}}, ""},
		{"two of four answer", 4, []Reading{{"b", 100 * ms, ms}, {"c", 100 * ms, ms}}, ""},
		{"they do not agree", 2, []Reading{{"b", 100 * ms, ms}, {"c", -100 * ms, ms}}, ""},
		{"two of five agree", 5, []Reading{{"b", 100 * ms, ms}, {"c", 100 * ms, ms}, {"d", 0, ms}, {"e", 50 * ms, ms}, {"f", -9 * ms, ms}}, ""},
		{"one of two cannot tell", 2, []Reading{{"b", 100 * ms, ms}, {"c", 0, time.Second}}, ""},
		{"one of two cannot tell, and is off", 2, []Reading{{"b", 100 * ms, ms}, {"c", 500 * ms, time.Second}}, ""},
		{"within the bounds", 3, []Reading{{"b", ms, 2 * ms}, {"c", ms, 2 * ms}, {"d", ms, 2 * ms}}, ""},

		{"fast", 2, []Reading{{"b", 100 * ms, ms}, {"c", 101 * ms, ms}}, "2 of 2 witnesses agree that the clock is 100ms fast or more: b, c"},
		{"slow", 3, []Reading{{"b", -100 * ms, ms}, {"c", -100 * ms, ms}, {"d", 100 * ms, ms}}, ""},
		{"slow, three of three", 3, []Reading{{"b", -100 * ms, ms}, {"c", -100 * ms, ms}, {"d", -101 * ms, ms}}, "3 of 3 witnesses agree that the clock is 100ms slow or more: b, c, d"},
		{"an hour", 5, []Reading{{"b", time.Hour, ms}, {"c", time.Hour, ms}, {"d", time.Hour, ms}, {"e", time.Hour, ms}}, "4 of 5 witnesses"},
	} {
		how, deviates := Deviation(c.asked, c.list)
		if deviates && Agreement(c.asked, c.list) {
			t.Errorf("%s: it deviates and agrees", c.name)
		}
		if deviates != (c.want != "") || !strings.HasPrefix(how, c.want) {
			t.Errorf("%s: %t, %q, want %q", c.name, deviates, how, c.want)
		}
	}
}

func TestOnlyAMajorityConfirmsANode(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		asked int
		list  []Reading
		want  bool
	}{
		{"nobody answers", 2, nil, false},
		{"nobody is asked", 0, nil, false},
		{"one witness of one", 1, []Reading{{"b", 0, ms}}, false},
		{"one of two answers", 2, []Reading{{"b", 0, ms}}, false},
		{"one of two confirms", 2, []Reading{{"b", 0, ms}, {"c", 2 * ms, ms}}, false},
		{"two of four", 4, []Reading{{"b", 0, ms}, {"c", 0, ms}}, false},
		{"beyond both bounds", 2, []Reading{{"b", ms + 1, ms}, {"c", -ms - 1, ms}}, false},

		{"two of two", 2, []Reading{{"b", ms, ms}, {"c", -ms, ms}}, true},
		{"three of five", 5, []Reading{{"b", 0, ms}, {"c", 0, ms}, {"d", 0, ms}, {"e", time.Hour, ms}, {"f", 0, ms}}, true},
	} {
		if got := Agreement(c.asked, c.list); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

// Less than half of the nodes may drain themselves, and with two nodes none.
func TestOnlyAMinorityMayDrainItself(t *testing.T) {
	t.Parallel()
	const live, away, deviant, drained = 'l', 'a', 'd', 'o'
	for nodes, want := range map[string]bool{
		"": false, "l": false, "ll": false, "laa": false, "llo": false, "lldd": false, "lld": false, "lllld": true, "llld": false, "dddd": false,
		"lll": true, "llll": true, "llllld": true, "llllldd": true, "lllldd": false, "lllo": true, "llla": true,
	} {
		var list []store.Node
		for _, c := range nodes {
			n := store.Node{Live: c != away}
			switch c {
			case live:
			case deviant:
				n.Drain, n.Deviates = "deviates", true
			case drained:
				n.Drain = "operator"
			}
			list = append(list, n)
		}
		if got := mayDeviate(list); got != want {
			t.Errorf("%q: %t, want %t", nodes, got, want)
		}
	}
}

// TestAnHonestMajorityBlamesTheRightNode: over random fleets, a node whose time is right
// is never blamed while fewer than half of all are wrong, and one that is wrong by more
// than all bounds is blamed when enough answer.
func TestAnHonestMajorityBlamesTheRightNode(t *testing.T) {
	t.Parallel()
	const seed = 5
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	blamed := 0
	for range 20000 {
		n := 3 + rng.IntN(4) // nodes, this one included
		bad := rng.IntN((n + 1) / 2)
		selfOff := time.Duration(0)
		if bad > 0 && rng.IntN(2) == 0 {
			bad--
			selfOff = time.Duration(rng.IntN(2)*2-1) * time.Duration(1e6+rng.IntN(1e9))
		}
		common := time.Duration(rng.IntN(2e9) - 1e9) // those that are wrong may agree
		var list []Reading
		answers := 0
		for i := range n - 1 {
			off, bound := time.Duration(0), time.Duration(1+rng.IntN(1e5))
			if i < bad {
				off = common
			} else if rng.IntN(8) == 0 {
				continue // no answer
			} else if rng.IntN(8) == 0 {
				bound = 2 * time.Second // it cannot tell
			} else {
				answers++
			}
			list = append(list, Reading{fmt.Sprint(i), selfOff - off + time.Duration(rng.Int64N(2*int64(bound)+1)) - bound, bound})
		}
		how, deviates := Deviation(n-1, list)
		switch {
		case selfOff == 0 && deviates:
			t.Fatalf("%d nodes, %d wrong by %v: this one is blamed: %s\n%v", n, bad, common, how, list)
		case selfOff != 0 && 2*answers > n && !deviates:
			t.Fatalf("%d nodes, %d others wrong by %v, this one by %v: not noticed\n%v", n, bad, common, selfOff, list)
		}
		if deviates {
			blamed++
		}
	}
	if blamed < 1000 {
		t.Errorf("only %d deviations were played", blamed)
	}
}
