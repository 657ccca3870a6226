package pps

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

const ms = int64(time.Millisecond)

// train makes the stamps of a pulse: for each second the active edge at phase
// and the inactive one width later; width 0 leaves the latter out.
func train(from, n int, phase, width int64) (t []int64, active []bool) {
	for i := from; i < from+n; i++ {
		t, active = append(t, int64(i)*second+phase), append(active, true)
		if width > 0 {
			t, active = append(t, int64(i)*second+phase+width), append(active, false)
		}
	}
	return t, active
}

// A card that stamps both edges delivers only the wanted one, at any duty.
func TestOnlyTheWantedEdgeOfTwo(t *testing.T) {
	for _, c := range []struct {
		name    string
		duty    int64 // ms
		conf    int64 // configured width, ms
		fall    bool  // wanted
		grid    int64 // ms, negative none
		first   int   // stamps dropped before the train, to begin with either edge
		certain bool
		want    string // "active", "inactive" or "nothing"
	}{
		{"half duty, no grid", 500, 0, false, -1, 0, false, "nothing"},
		{"half duty, no grid, width known", 500, 500, false, -1, 1, false, "nothing"},
		{"half duty, grid far from both", 500, 0, false, 480, 0, false, "nothing"},
		{"90 % duty, width unknown", 900, 0, false, -1, 0, false, "inactive"}, // the assumption, stated
		{"90 % duty", 900, 900, false, -1, 0, false, "active"},
		{"90 % duty, other first", 900, 900, false, -1, 1, false, "active"},
		{"10 % duty", 100, 0, false, -1, 0, false, "active"},
		{"10 % duty, other first", 100, 0, false, -1, 1, false, "active"},
		{"10 % duty, falling wanted", 100, 0, true, -1, 0, false, "inactive"},
		{"half duty, grid", 500, 0, false, 233, 0, false, "active"},
		{"half duty, grid, other first", 500, 0, false, 233, 1, false, "active"},
		{"half duty, grid, falling", 500, 0, true, 733, 1, false, "inactive"},
		{"49 % duty", 490, 0, false, 233, 0, false, "active"},
		{"grid at the other edge, too coarse for the pulse", 31, 0, false, 264, 0, false, "active"}, // the shorter part, not the grid
		{"short pulse", 1, 0, false, -1, 1, false, "active"},
		{"the driver guarantees one edge and is wrong", 100, 0, false, -1, 0, true, "active"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := edgeFilter{certain: c.certain, invert: c.fall, width: c.conf * ms}
			if c.grid >= 0 {
				f.grid = func() (phase, within time.Duration, ok bool) {
					return time.Duration(c.grid * ms), 50 * time.Millisecond, true
				}
			}
			at, active := train(1000, 20, 233*ms, c.duty*ms)
			at, active = at[c.first:], active[c.first:]
			got := ""
			n := 0
			for i := range at {
				v := f.push(at[i], at[i])
				if !v.ok {
					continue
				}
				if i < 4 && c.certain {
					continue // accepted until the pattern is known
				}
				n++
				k := "inactive"
				if active[i] {
					k = "active"
				}
				if got != "" && got != k {
					t.Fatalf("stamp %d: both kinds are delivered", i)
				}
				got = k
				if !v.identified {
					t.Errorf("stamp %d: delivered without being identified", i)
				}
			}
			if got == "" {
				got = "nothing"
			}
			if got != c.want || got != "nothing" && n < 17 {
				t.Errorf("%d times %s, want %s", n, got, c.want)
			}
		})
	}
}

// What happens to a pulse does not carry the wrong edge through.
func TestFaultsDeliverNoWrongEdge(t *testing.T) {
	type step struct {
		at     int64
		want   string // "ok" or a reason
		ahead  int64  // by so much the clock was stepped since the first
		report bool   // and the step is reported now
	}
	seq := func(steps ...[]step) (all []step) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	run := func(from, n int, phase int64, want ...string) (s []step) {
		for i := range n {
			s = append(s, step{at: int64(from+i)*second + phase, want: want[min(i, len(want)-1)]})
		}
		return s
	}
	const learn, ok, wrong, dup = "learning_edge", "ok", "wrong_edge", "duplicate_stamp"
	pair := func(from, n int, phase, width int64, a, b string) (s []step) {
		for i := range n {
			t := int64(from+i)*second + phase
			s = append(s, step{at: t, want: a}, step{at: t + width, want: b})
		}
		return s
	}
	// stepped are stamps after a step of the clock, which may be reported.
	stepped := func(d int64, report bool, in []step) []step {
		for i := range in {
			in[i].at += d
			in[i].ahead = d
		}
		in[0].report = report
		return in
	}
	const day = 86400 * second
	for _, c := range []struct {
		name    string
		certain bool
		steps   []step
	}{
		{"stepped by part of a second, reported", false, seq(run(1, 3, 0, learn, learn, ok), stepped(11*365*day+321*ms, true, run(4, 3, 0, ok)))},
		{"stepped back by part of a second, reported", false, seq(run(1, 3, 0, learn, learn, ok), stepped(-77*ms, true, run(4, 3, 0, ok)))},
		{"stepped by years, not reported", false, seq(run(1, 3, 0, learn, learn, ok), stepped(11*365*day, false, run(4, 3, 1*ms, ok)))},
		{"stepped back by years, not reported", false, seq(run(1, 3, 0, learn, learn, ok), stepped(-31*365*day, false, run(4, 3, -1*ms, ok)))},
		{"stepped by years and a part, not reported", false, seq(run(1, 3, 0, learn, learn, ok), stepped(11*365*day, false, run(4, 5, 3*ms, wrong, wrong, ok)))},
		{"both, stepped, reported", false, seq(pair(1, 1, 0, 100*ms, learn, learn), pair(2, 1, 0, 100*ms, learn, wrong), pair(3, 1, 0, 100*ms, ok, wrong),
			stepped(5*day+100*ms, true, pair(4, 3, 0, 100*ms, ok, wrong)))},
		{"both, stepped by years, not reported", false, seq(pair(1, 1, 0, 100*ms, learn, learn), pair(2, 1, 0, 100*ms, learn, wrong), pair(3, 1, 0, 100*ms, ok, wrong),
			stepped(11*365*day, false, seq(pair(4, 1, 0, 100*ms, learn, learn), pair(5, 1, 0, 100*ms, learn, wrong), pair(6, 2, 0, 100*ms, ok, wrong))))},
		{"both, a stray edge", false, seq(pair(1, 1, 0, 100*ms, learn, learn), pair(2, 1, 0, 100*ms, learn, wrong), pair(3, 1, 0, 100*ms, ok, wrong),
			[]step{{at: 3*second + 700*ms, want: wrong}}, pair(4, 3, 0, 100*ms, ok, wrong))},
		{"replays of a lost carrier", true, seq(run(1, 3, 0, ok),
			[]step{{at: 3 * second, want: dup}, {at: 3 * second, want: dup}, {at: 2 * second, want: dup}}, run(4, 2, 0, ok))},
		{"a missing pulse", false, seq(run(1, 4, 0, learn, learn, ok), run(7, 2, 0, ok))},
		{"one stray pulse, driver guarantees one edge", true, seq(run(1, 3, 0, ok), []step{{at: 3*second + 700*ms, want: ok}}, run(4, 6, 0, ok))},
		{"one stray pulse", false, seq(run(1, 3, 0, learn, learn, ok), []step{{at: 3*second + 700*ms, want: wrong}}, run(4, 6, 0, ok))},
		{"stray pulses at a fixed place", false, seq(run(1, 3, 0, learn, learn, ok), pair(4, 5, 0, 700*ms, ok, wrong))},
		{"clock stepped forward by a part", false, seq(run(1, 3, 0, learn, learn, ok), run(4, 5, 300*ms, wrong, wrong, ok))},
		{"clock stepped back by an hour", false, seq(run(5000, 3, 0, learn, learn, ok), stepped(-3603*second, false, run(5003, 5, 10*ms, wrong, wrong, ok)))},
		{"clock stepped back, driver guarantees one edge", true, seq(run(5000, 3, 0, ok), run(1400, 3, 10*ms, ok))},
		{"50 ppm off for a minute without pulses", false, seq(run(1, 3, 0, learn, learn, ok), run(64, 3, 3*ms, ok))},
		{"silent for long", false, seq(run(1, 3, 0, learn, learn, ok), run(400, 3, 100*ms, learn, learn, ok))},
		{"both, then stepped", false, seq(pair(1, 1, 0, 100*ms, learn, learn), pair(2, 1, 0, 100*ms, learn, wrong), pair(3, 2, 0, 100*ms, ok, wrong),
			pair(5, 1, 400*ms, 100*ms, wrong, wrong), pair(6, 1, 400*ms, 100*ms, learn, learn), pair(7, 1, 400*ms, 100*ms, learn, wrong), pair(8, 2, 400*ms, 100*ms, ok, wrong))},
		{"both, wanted edge missing", false, seq(pair(1, 1, 0, 100*ms, learn, learn), pair(2, 1, 0, 100*ms, learn, wrong), pair(3, 2, 0, 100*ms, ok, wrong),
			run(5, 3, 100*ms, wrong), pair(8, 2, 0, 100*ms, ok, wrong))},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := edgeFilter{certain: c.certain}
			for i, s := range c.steps {
				if s.report {
					f.stepped(s.ahead)
				}
				v := f.push(s.at, s.at-s.ahead)
				got := ok
				if !v.ok {
					got = v.reason.String()
				}
				if got != s.want {
					t.Errorf("stamp %d at %v: %s, want %s", i, time.Duration(s.at), got, s.want)
				}
			}
		})
	}
}

// Jitter, a frequency error and missing edges at any duty never let the other
// edge through.
func TestOnlyTheWantedEdgeOfTwoWithNoise(t *testing.T) {
	const seed = 11
	r := rand.New(rand.NewPCG(seed, seed))
	t.Logf("seed %d", seed)
	for round := range 200 {
		width := 1*ms + r.Int64N(480*ms)
		phase := r.Int64N(second)
		ppm := r.NormFloat64() * 50
		at, active := train(10, 200, phase, width)
		f := edgeFilter{}
		bad, good := 0, 0
		for i := range at {
			if i > 20 && r.IntN(20) == 0 {
				continue
			}
			x := at[i] + int64(float64(at[i])*ppm*1e-6) + int64(r.NormFloat64()*500)
			if v := f.push(x, at[i]); v.ok && active[i] {
				good++
			} else if v.ok {
				bad++
			}
		}
		if bad > 0 || good < 150 {
			t.Errorf("round %d: width %v, %.1f ppm: %d right, %d wrong edges", round, time.Duration(width), ppm, good, bad)
		}
	}
}

func FuzzEdgeFilter(f *testing.F) {
	f.Add(int64(100*ms), []byte{10, 20, 30, 10, 90, 10, 90})
	f.Fuzz(func(t *testing.T, start int64, b []byte) {
		e := edgeFilter{certain: start&1 == 1}
		x := start
		for _, d := range b {
			x += int64(d) * second / 100
			if v := e.push(x, x); v.ok && v.reason != 0 {
				t.Fatal("delivered with a reason")
			}
			if v := e.push(x, x); v.ok || v.reason != Duplicate {
				t.Fatal("a duplicate is not one")
			}
		}
	})
}

func TestSequenceCountsMissedEdges(t *testing.T) {
	var s sequence
	for i, c := range []struct {
		n      uint32
		fresh  bool
		missed uint64
	}{
		{7, false, 0}, {7, false, 0}, {8, true, 0}, {8, false, 0}, {11, true, 2}, {1, true, 0}, {2, true, 0},
	} {
		if f, m := s.next(c.n); f != c.fresh || m != c.missed {
			t.Errorf("%d: next(%d) = %v, %d", i, c.n, f, m)
		}
	}
	s = sequence{}
	s.next(0xffffffff)
	if f, m := s.next(1); !f || m != 1 {
		t.Errorf("over the wrap: %v, %d", f, m)
	}
}

// card is a clock whose external timestamps the test writes.
type card struct {
	grant  phc.ExtTSGrant
	events [][]phc.ExtTSEvent
	err    error
	asked  phc.ExtTS
	off    bool
}

func (c *card) String() string { return "card" }
func (c *card) EnableExtTS(x phc.ExtTS) (phc.ExtTSGrant, error) {
	c.asked = x
	return c.grant, nil
}
func (c *card) DisableExtTS(int) error { c.off = true; return nil }
func (c *card) ReadExtTS(ctx context.Context, dst []phc.ExtTSEvent) (int, error) {
	if len(c.events) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	n := copy(dst, c.events[0])
	c.events = c.events[1:]
	return n, nil
}

func TestExtTSDeliversLateEdgesAndCountsTheRest(t *testing.T) {
	ev := func(sec int64, late int64) phc.ExtTSEvent {
		return phc.ExtTSEvent{Clock: tai.Time(sec * second), Mono: sec*second + late}
	}
	other := ev(2, 0)
	other.Channel = 1
	offset := ev(2, 0)
	offset.Offset = true
	gone := fmt.Errorf("%w: test", phc.ErrGone)
	c := &card{
		grant: phc.ExtTSGrant{Version: 2, Edges: phc.Rising, Certain: true},
		events: [][]phc.ExtTSEvent{
			{ev(1, 0), other, offset, ev(2, 300*ms)}, // late ones are kept
			{ev(2, 400*ms), ev(5, 0)},                // a replay, two missed
		},
		err: gone,
	}
	s, err := NewExtTS(c, ExtTSOptions{Pin: 1})
	if err != nil {
		t.Fatal(err)
	}
	if c.asked != (phc.ExtTS{Pin: 1, Edges: phc.Rising}) {
		t.Errorf("asked for %+v", c.asked)
	}
	for i, want := range []Edge{
		{Clock, 1 * second, 1 * second, 1, true, 0},
		{Clock, 2 * second, 2*second + 300*ms, 2, true, 0},
		{Clock, 5 * second, 5 * second, 3, true, 0},
	} {
		if e, err := s.Next(context.Background()); err != nil || e != want {
			t.Errorf("edge %d: %+v, %v; want %+v", i, e, err, want)
		}
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrGone) || !errors.Is(err, phc.ErrGone) {
		t.Errorf("a clock that vanished: %v", err)
	}
	want := [numDiscards]uint64{Missed: 2, Duplicate: 1, OtherChannel: 1, NotAStamp: 1}
	for r := range numDiscards {
		if s.Count(r) != want[r] {
			t.Errorf("%v: %d, want %d", r, s.Count(r), want[r])
		}
	}
	if s.Close(); !c.off {
		t.Error("Close leaves the stamps enabled")
	}
}

// Whatever the size of a step that is reported, no pulse is lost.
func TestExtTSReportedStepLosesNoPulse(t *testing.T) {
	const d = 1234*second + 567*ms
	c := &card{grant: phc.ExtTSGrant{Version: 1, Edges: phc.Both}}
	for i := int64(1); i <= 6; i++ {
		ev := phc.ExtTSEvent{Clock: tai.Time(i * second), Mono: i * second}
		if i > 4 {
			ev.Clock += tai.Time(d)
		}
		c.events = append(c.events, []phc.ExtTSEvent{ev})
	}
	s, err := NewExtTS(c, ExtTSOptions{Pin: -1})
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(3); want <= 6; want++ {
		if want == 5 {
			s.Stepped(time.Duration(d))
		}
		if e, err := s.Next(context.Background()); err != nil || e.Mono != want*second || !e.Rising && want > 3 {
			t.Fatalf("edge %+v, %v; want that of %d s", e, err, want)
		}
	}
	if n := s.Count(LearningEdge); n != 2 {
		t.Errorf("%d stamps spent on learning, want the first 2", n)
	}
}

func TestExtTSRefusesBadOptions(t *testing.T) {
	for _, o := range []ExtTSOptions{{Edge: phc.Both}, {Width: -1}, {Width: time.Second}} {
		if _, err := NewExtTS(&card{}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// Half duty without a grid gives an error that names the remedy, and no edge.
func TestExtTSAmbiguousNamesTheRemedy(t *testing.T) {
	c := &card{grant: phc.ExtTSGrant{Version: 2, Edges: phc.Both, Certain: true}}
	at, _ := train(1, 20, 0, 500*ms)
	for _, x := range at {
		c.events = append(c.events, []phc.ExtTSEvent{{Clock: tai.Time(x), Mono: x}})
	}
	s, err := NewExtTS(c, ExtTSOptions{Pin: -1})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.Next(context.Background()); !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), "width") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestExtTSEndsWithTimeoutOrContext(t *testing.T) {
	s, err := NewExtTS(&card{}, ExtTSOptions{Timeout: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrNoPulse) {
		t.Errorf("no pulse: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDiscardNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range numDiscards {
		if s := r.String(); s == "" || seen[s] || strings.ToLower(s) != s || strings.Contains(s, " ") {
			t.Errorf("discard %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
}

func TestOpenKernelNeedsAPPSDevice(t *testing.T) {
	if _, err := OpenKernel("/dev/pps-none", KernelOptions{}); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no device: %v", err)
	}
	if _, err := OpenKernel("/dev/null", KernelOptions{}); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("/dev/null: %v", err)
	}
	var e KernelEdge
	if e.UnmarshalText([]byte("both")) == nil || e.UnmarshalText([]byte("falling")) != nil || e != Clear {
		t.Errorf("edge names: %v", e)
	}
}

// At half duty the stamps show that a card stamps both edges but not which
// is which: nothing is delivered before the grid is known, and then only the wanted
// edge, whatever jitter, frequency error, lost stamps and a late event do.
func TestHalfDutyNeedsTheGrid(t *testing.T) {
	const seed = 23
	r := rand.New(rand.NewPCG(seed, seed))
	t.Logf("seed %d", seed)
	for round := range 200 {
		phase, ppm, known := r.Int64N(second), r.NormFloat64()*50, 20+r.IntN(60)
		near := time.Duration(phase + r.Int64N(160*ms) - 80*ms) // as a tracked clock would have it
		at, active := train(10, 100, phase, 500*ms)
		if round%2 == 1 {
			at, active = at[1:], active[1:] // begin with the other edge
		}
		i, asked := 0, 0
		f := edgeFilter{invert: round%4 > 1, grid: func() (phase, within time.Duration, ok bool) {
			asked++
			return near, 80 * time.Millisecond, i >= known
		}}
		if f.invert {
			near = time.Duration(mod(int64(near) + 500*ms))
		}
		right, wrong, early := 0, 0, 0
		for i = range at {
			if i > known+4 && r.IntN(20) == 0 {
				continue
			}
			late := r.Int64N(300 * ms)
			v := f.push(at[i]+int64(float64(at[i]-at[0])*ppm*1e-6)+int64(r.NormFloat64()*500), at[i]+late)
			switch {
			case !v.ok:
				if i > 4 && i < known && v.reason != Ambiguous {
					t.Errorf("round %d: stamp %d is refused as %v before the grid is known", round, i, v.reason)
				}
			case i < known:
				early++
			case active[i] != f.invert:
				right++
			default:
				wrong++
			}
		}
		if want := (len(at)-known)/2 - 12; early > 0 || wrong > 0 || right < want || asked == 0 {
			t.Errorf("round %d: %d edges before the grid was known, then %d wrong and %d right, want %d or more", round, early, wrong, right, want)
		}
	}
}

// The same through the source: an error while the grid is unknown, then edges.
// Version 1 of the request does not name the edge.
func TestExtTSHalfDuty(t *testing.T) {
	for _, version := range []int{1, 2} {
		c := &card{grant: phc.ExtTSGrant{Version: version, Edges: phc.Both, Certain: version == 2}}
		at, _ := train(1, 20, 700*ms, 500*ms)
		for _, x := range at {
			c.events = append(c.events, []phc.ExtTSEvent{{Clock: tai.Time(x), Mono: x}})
		}
		known := false
		s, err := NewExtTS(c, ExtTSOptions{Pin: -1, Grid: func() (phase, within time.Duration, ok bool) {
			return 690 * time.Millisecond, 50 * time.Millisecond, known
		}})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Next(context.Background()); !errors.Is(err, ErrAmbiguous) {
			t.Fatalf("version %d: %+v, %v", version, e, err)
		}
		known = true
		for range 5 {
			e, err := s.Next(context.Background())
			if err != nil || mod(e.Stamp) != 700*ms || !e.Rising {
				t.Fatalf("version %d: %+v, %v; want the edge at .7", version, e, err)
			}
		}
		if s.Count(Ambiguous) == 0 || s.Count(WrongEdge) < 4 || s.Count(Missed) != 0 {
			t.Errorf("version %d: %d ambiguous, %d wrong, %d missed", version, s.Count(Ambiguous), s.Count(WrongEdge), s.Count(Missed))
		}
	}
}

// Stamps anywhere in the second, one in five, are not taken for the other edge of the
// pulse, however long they go on: most of the pulses are used.
func TestWildStampsAreNoOtherEdge(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, seed))
		f := edgeFilter{width: 100 * ms}
		used, unused, longest := 0, 0, 0
		for k := range int64(3000) {
			at := k*second + 233*ms
			if r.IntN(5) == 0 {
				at += r.Int64N(second) - second/2
			}
			if f.push(at, at).ok {
				used, unused = used+1, 0
				continue
			}
			unused++
			longest = max(longest, unused)
		}
		if used < 2000 || longest > 20 {
			t.Errorf("seed %d: %d of 3000 are used, at most %d in a row are not", seed, used, longest)
		}
	}
}
