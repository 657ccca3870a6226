package clock

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"testing"
	"time"

	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

const truth = tai.Time(1795426237) * tai.Second

// rig is a simulated card under a Steered clock in virtual time.
type rig struct {
	t       *testing.T
	now     int64
	card    *phctest.Clock
	openErr error
	deny    error
	s       *Steered
}

// guarded is a card that can refuse corrections.
type guarded struct {
	*phctest.Clock
	r *rig
}

func (g guarded) AdjFreq(ppb float64) error {
	if g.r.deny != nil {
		return g.r.deny
	}
	return g.Clock.AdjFreq(ppb)
}

func newRig(t *testing.T, cfg phctest.Config) *rig {
	r := &rig{t: t, now: 1e12}
	mono := func() int64 { return r.now }
	cfg.Truth, cfg.Mono0, cfg.Width = truth, r.now, 200
	r.card = phctest.New(mono, cfg)
	r.s = NewSteered(Config{Mono: mono, Suspended: r.card.Slept, Open: func() (Device, error) { return guarded{r.card, r}, r.openErr }})
	return r
}

// pass lets time pass with five readings a second.
func (r *rig) pass(d time.Duration) (all []Event) {
	for range int(d / (200 * time.Millisecond)) {
		r.now += 200e6
		r.s.CheckSuspend()
		r.s.Maintain(r.now)
		if r.s.Available() {
			r.s.Read()
		}
		all = append(all, r.s.Events()...)
	}
	return all
}

// want fails unless the events are of these kinds.
func (r *rig) want(what string, got []Event, kinds ...Kind) {
	r.t.Helper()
	var have []Kind
	for _, e := range got {
		have = append(have, e.Kind)
	}
	if !slices.Equal(have, kinds) {
		r.t.Fatalf("%s: events %v, want kinds %v", what, got, kinds)
	}
}

func TestFailedOpeningIsNamedAndRetried(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want reason.Code
	}{
		{errors.New("no such card"), reason.ClockMissing},
		{fmt.Errorf("open: %w", fs.ErrPermission), reason.ClockDenied},
		{fmt.Errorf("open: %w", ErrTimeout), reason.ClockTimeout},
		{fmt.Errorf("open: %w", ErrContested), reason.ClockContested},
	} {
		r := newRig(t, phctest.Config{})
		r.openErr = c.err
		got := r.pass(4 * time.Second) // attempts after 0.2, 0.8 and 1.8 s, and one at 3.8 s
		if len(got) != 4 || got[0].Kind != OpenFailed || got[0].Code != c.want || !errors.Is(got[0].Err, c.err) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	r := newRig(t, phctest.Config{})
	r.openErr = ErrNotYet
	if got := r.pass(time.Minute); len(got) != 1 || got[0].Kind != Waiting || got[0].Code != reason.ClockWatched {
		t.Errorf("not yet: %v", got)
	}
	r.openErr = nil
	if got := r.pass(16 * time.Second); len(got) != 1 || !got[0].First || got[0].Kind != Opened {
		t.Errorf("at last: %v", got)
	}
}

func TestAClockThatWasMovedBySomethingElseIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{3 * time.Second, -time.Millisecond, 50 * time.Microsecond} {
		r := newRig(t, phctest.Config{Seed: 1, Noise: phctest.Noise{OffsetPPB: 1200, WhitePPB: 2}})
		r.want("open", r.pass(20*time.Second), Opened)
		was := r.s.View(r.now).Generation
		r.card.Disturb(by)
		got := r.pass(time.Second)
		r.want("moved", got, Moved)
		if d := (got[0].By - by).Abs(); d > 2*time.Microsecond || got[0].Code != reason.ClockForeign || r.s.View(r.now).Generation != was+1 {
			t.Errorf("moved by %v: %+v, generation %d", by, got[0], r.s.View(r.now).Generation)
		}
		r.pass(2 * time.Second)
		if e := float64(r.s.At(r.now) - r.card.At(r.now)); math.Abs(e) > float64(r.s.View(r.now).Err) {
			t.Errorf("model is %.0f ns off, its bound is %v", e, r.s.View(r.now).Err)
		}
	}
}

func TestASuspendCountsAsAMove(t *testing.T) {
	t.Parallel()
	for _, runs := range []bool{true, false} {
		r := newRig(t, phctest.Config{})
		r.want("open", r.pass(5*time.Second), Opened)
		r.card.Suspend(7*time.Second, runs)
		got := r.pass(time.Second)
		r.want("suspended", got, Moved)
		if got[0].Code != reason.ClockSlept || got[0].By != 7*time.Second {
			t.Errorf("card runs on %v: %+v", runs, got[0])
		}
	}
}

func TestAClockThatComesBackAsItWasIsNotMoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, phctest.Config{})
	r.want("open", r.pass(20*time.Second), Opened)
	r.card.SetGone(true)
	if got := r.pass(time.Second); len(got) == 0 || got[len(got)-1].Kind != OpenFailed || !slices.ContainsFunc(got, func(e Event) bool { return e.Kind == Lost && e.Code == reason.ClockGone }) {
		t.Fatalf("unplugged: %v", got)
	}
	r.card.SetGone(false)
	r.want("back", r.pass(16*time.Second), Opened)
	r.card.SetGone(true)
	r.pass(time.Second)
	r.card.Reset(-time.Hour)
	r.card.SetGone(false)
	r.want("reset meanwhile", r.pass(16*time.Second), Opened, Moved)
}

func TestRefusedCorrectionsAreRetriedOnAClockOpenedAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, phctest.Config{})
	r.pass(time.Second)
	r.deny = fs.ErrPermission
	r.s.Request(100)
	r.want("refused", r.s.Events(), Denied)
	if r.s.Adjustable() || !r.s.Available() {
		t.Error("a clock that refuses corrections is there, and cannot be adjusted")
	}
	r.s.Request(100)
	r.want("too early", r.s.Events())
	r.deny = nil
	r.pass(time.Second)
	r.s.Request(100)
	r.want("allowed", r.s.Events(), Opened, Allowed)
	if f, err := r.card.FreqPPB(); f != 100 || err != nil {
		t.Errorf("correction %v, %v", f, err)
	}
}

// A card with steps of 1 ppb that is asked for 0.3 ppb runs at 0.3 ppb in the mean,
// and the bound covers the difference at every moment.
func TestRoundingIsDithered(t *testing.T) {
	t.Parallel()
	r := newRig(t, phctest.Config{StepPPB: 1})
	r.pass(time.Second)
	from, start := float64(r.card.At(r.now)-r.card.True(r.now)), r.now
	for range 1000 {
		r.s.Request(0.3)
		r.pass(time.Second)
		want := 0.3 * float64(r.now-start) * 1e-9
		if off := math.Abs(float64(r.card.At(r.now)-r.card.True(r.now)) - from - want); off > r.s.View(r.now).DitherNS+2 {
			t.Fatalf("after %v the clock is %.2f ns from where the requests put it, the bound says %.2f", time.Duration(r.now-start), off, r.s.View(r.now).DitherNS)
		}
	}
}

func TestEdgesAcrossAStepAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, phctest.Config{})
	r.pass(5 * time.Second)
	stamp := int64(r.card.At(r.now - 100e6))
	if _, c := r.s.Locate(pps.Edge{Scale: pps.Clock, Stamp: stamp, Mono: r.now}); c != reason.None {
		t.Fatalf("before the step: %v", c)
	}
	r.s.Step(10 * time.Second)
	r.want("step", r.s.Events(), Stepped)
	for _, c := range []struct {
		name string
		edge pps.Edge
		want reason.Code
	}{
		{"stamped before the step", pps.Edge{Scale: pps.Clock, Stamp: stamp, Mono: r.now}, reason.EdgeStraddles},
		{"from the last year", pps.Edge{Scale: pps.Clock, Stamp: stamp - 365*86400e9, Mono: r.now}, reason.EdgeStale},
		{"from the next year", pps.Edge{Scale: pps.Clock, Stamp: stamp + 365*86400e9, Mono: r.now}, reason.EdgeFuture},
		{"by the system clock, before the step", pps.Edge{Scale: pps.System, Stamp: r.card.RealAt(r.now - 50e6), Mono: r.now}, reason.EdgeStraddles},
	} {
		if _, got := r.s.Locate(c.edge); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	r.pass(time.Second)
	at, c := r.s.Locate(pps.Edge{Scale: pps.System, Stamp: r.card.RealAt(r.now - 80e6), Mono: r.now})
	if d := (at.Clock - r.card.At(r.now-80e6)); c != reason.None || d > 300 || d < -300 {
		t.Errorf("after the step: %v, %d ns off", c, d)
	}
}
