package replay

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"noonmark/refclock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/recording"
	"noonmark/refclock/sim"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// record runs a scenario and records it; it returns the recording and the snapshots
// that were published.
func record(t *testing.T, sc sim.Scenario, seed uint64) (dir string, published []status.Snapshot) {
	t.Helper()
	dir = t.TempDir()
	store := recording.NewStore(recording.Options{Dir: dir, Limit: 1 << 30, Immediate: true})
	rec := recording.NewRecorder(store, "test 1.0")
	sc.Config.Recorder = rec
	sc.Engine.Publish = func(s *status.Snapshot) { published = append(published, *s) }
	l, err := sc.Loop(seed)
	if err != nil {
		t.Fatal(err)
	}
	l.Run(sc.Duration)
	rec.Flush()
	store.Close()
	if store.Lost() != 0 {
		t.Fatalf("%d frames lost", store.Lost())
	}
	return dir, published
}

// playAll plays the only run of a recording.
func playAll(t *testing.T, path string, opt Options) (*Player, []status.Snapshot) {
	t.Helper()
	r, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p *Player
	var got []status.Snapshot
	opt.Publish = func(s *status.Snapshot) { got = append(got, *s) }
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p, got
		}
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := rec.(*recording.Header); ok && p == nil {
			if p, err = NewPlayer(h, opt); err != nil {
				t.Fatal(err)
			}
		}
		p.Play(rec)
	}
}

// A configuration that is given holds for the whole run: a reload of the recorded one does
// not replace it.
func TestReloadIsPlayedUnlessAConfigurationIsGiven(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 2 * time.Minute
	s.Actions = []sim.Action{{At: time.Minute, Do: func(l *sim.Loop) { l.Engine.Take(refclock.Input{Settings: &refclock.Settings{Bias: time.Microsecond}}) }}}
	dir, _ := record(t, s, 1)
	for name, c := range map[string]struct {
		configure func(*site.Config)
		want      bool
	}{"as recorded": {nil, true}, "with a configuration": {func(*site.Config) {}, false}} {
		var log strings.Builder
		if _, err := (&Recorded{Path: dir, Configure: c.configure, Log: &log}).Play(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "pulse correction changed"); got != c.want {
			t.Errorf("%s: the correction changed: %v\n%s", name, got, &log)
		}
	}
}

func TestReplayOfARecordingDecidesTheSame(t *testing.T) {
	t.Parallel()
	cut := func(name string, d time.Duration) sim.Scenario {
		s, err := sim.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Duration = d
		return s
	}
	faults := func(s sim.Scenario, fs ...sim.Fault) sim.Scenario {
		s.Config.Pulse.Faults, s.Config.Receiver.Faults = append(s.Config.Pulse.Faults, fs...), append(s.Config.Receiver.Faults, fs...)
		return s
	}
	orders := cut("timehat-f9t", 20*time.Minute)
	orders.Engine.SystemDisciplined = func() bool { return true }
	orders.Engine.Integrity.Outside.Code = reason.WitnessAwaited
	orders.Actions = []sim.Action{
		{At: time.Minute, Do: func(l *sim.Loop) { l.Engine.Alarm(integrity.Alarm{}) }},
		{At: 8 * time.Minute, Do: func(l *sim.Loop) { l.Engine.Alarm(integrity.Alarm{Code: reason.WitnessDisagrees, Detail: "a.example"}) }},
		{At: 9 * time.Minute, Do: func(l *sim.Loop) { l.Engine.Alarm(integrity.Alarm{}) }},
		{At: 10 * time.Minute, Do: func(l *sim.Loop) { l.App.Clock.Disturb(3 * time.Millisecond) }},
		{At: 12 * time.Minute, Do: func(l *sim.Loop) { l.App.Clock.FailNext(2, errors.New("bus error")) }},
		{At: 14 * time.Minute, Do: func(l *sim.Loop) { l.App.Clock.Reset(-time.Second) }},
		{At: 16 * time.Minute, Do: func(l *sim.Loop) { l.Engine.Take(refclock.Input{Relock: true}) }},
		{At: 18 * time.Minute, Do: func(l *sim.Loop) {
			l.Engine.Take(refclock.Input{Settings: &refclock.Settings{Cable: 40 * time.Nanosecond}})
		}},
	}
	for name, sc := range map[string]sim.Scenario{
		"external timestamps, faults": faults(cut("cm4-f9t", 40*time.Minute),
			sim.Fault{Kind: sim.Silence, At: 10 * time.Minute, For: time.Minute}, sim.Fault{Kind: sim.NoPulse, At: 15 * time.Minute, For: 5 * time.Minute},
			sim.Fault{Kind: sim.Garbage, At: 25 * time.Minute, For: time.Minute}, sim.Fault{Kind: sim.PulseJump, At: 30 * time.Minute, For: time.Minute, Amount: 5e6}),
		"both edges":                faults(cut("timehat-f9t", 10*time.Minute), sim.Fault{Kind: sim.BothEdges}),
		"kernel pulses":             cut("kernel-pps", 20*time.Minute),
		"clock and receiver vanish": cut("device-vanishing", 45*time.Minute),
		"orders, alarms, steps":     orders,
		"temperature":               cut("temperature", 30*time.Minute),
		"leap second":               cut("leap-second", 45*time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seed = 3
			dir, want := record(t, sc, seed)
			p, got := playAll(t, dir, Options{})
			if all, differ := p.Commands(); differ != 0 || all == 0 || p.Gaps != 0 {
				t.Errorf("seed %d: %d of %d commands differ, %d gaps", seed, differ, all, p.Gaps)
			}
			if len(got) != len(want) {
				t.Errorf("seed %d: %d snapshots, want %d", seed, len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("seed %d: snapshot %d of %d\n got %+v\nwant %+v", seed, i, len(want), got[i], want[i])
				}
			}
		})
	}
}
