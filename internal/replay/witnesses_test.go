package replay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
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
	"noonmark/refclock/witness"
)

// taking is the engine of a simulation, whose loop listens for no confirmations.
type taking struct{ *refclock.Engine }

func (e taking) Confirm(d time.Duration) { e.Take(refclock.Input{Confirmed: &d}) }

// recordWitnessed records a quarter of an hour with two witnesses: "good.example" is
// required and is a second off from minute 8 to minute 10; "bad.example" is 70 ms off from
// minute 3 on, and answers nothing for some minutes.
func recordWitnessed(t *testing.T) (dir string, published []status.Snapshot) {
	t.Helper()
	sc, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	store := recording.NewStore(recording.Options{Dir: dir, Limit: 1 << 30, Immediate: true})
	rec := recording.NewRecorder(store, "test 1.0")
	sc.Config.Recorder = rec
	sc.Engine.Publish = func(s *status.Snapshot) { published = append(published, *s) }
	sc.Engine.Integrity.Outside.Code = reason.WitnessAwaited
	list := []integrity.WitnessConfig{
		{Name: "good.example", MaxOffset: 10 * time.Millisecond, Required: true, Every: 16 * time.Second},
		{Name: "bad.example", MaxOffset: 50 * time.Millisecond, Every: 20 * time.Second},
	}
	sc.Config.Witnesses = list
	l, err := sc.Loop(5)
	if err != nil {
		t.Fatal(err)
	}
	within := func(from, to time.Duration) bool { return l.Since() >= from*time.Minute && l.Since() < to*time.Minute }
	var servers []witness.Server
	for i, c := range list {
		servers = append(servers, witness.Server{WitnessConfig: c, Ask: func(context.Context) (integrity.Answer, error) {
			a := integrity.Answer{Mono: l.Mono(), UTC: int64(l.App.Clock.True(l.Mono())) - 37e9 + int64(i)*12345, Error: 3 * time.Millisecond}
			switch {
			case i == 0 && within(8, 10):
				a.UTC += 1e9
			case i == 1 && within(5, 7):
				return a, errors.New("dial bad.example: no route")
			case i == 1 && within(3, 60):
				a.UTC += 70e6
			}
			return a, nil
		}})
	}
	slept := time.Hour
	task := witness.New(witness.Config{Engine: taking{l.Engine}, Mono: l.Mono, Slept: func() time.Duration { return slept }, Tap: rec, Log: slog.New(slog.DiscardHandler)}, servers)
	for l.Since() < 15*time.Minute {
		l.Run(l.Since() + time.Second)
		if l.Since() == 12*time.Minute {
			slept += time.Minute // as the task sees it; the engine of a simulation does not sleep
		}
		task.Tick(t.Context())
	}
	rec.Flush()
	store.Close()
	return dir, published
}

// stretches are the states of the snapshots in order, with their reasons.
func stretches(all []status.Snapshot) (list []string) {
	for _, s := range all {
		if x := s.State.String() + " " + s.Reason; len(list) == 0 || list[len(list)-1] != x {
			list = append(list, x)
		}
	}
	return list
}

// Readings are judged anew: with the same configuration the engine decides the same, to
// the bit, and with another one what it would have decided.
func TestRecordedWitnessesAreJudgedAnew(t *testing.T) {
	t.Parallel()
	dir, want := recordWitnessed(t)
	const off = "holdover doubted: witness_disagrees "
	if n := len(slices.DeleteFunc(stretches(want), func(s string) bool { return !strings.HasPrefix(s, off) })); n != 1 {
		t.Fatalf("the witness ended the lock %d times: %q", n, stretches(want))
	}
	p, got := playAll(t, dir, Options{})
	if _, differ := p.Commands(); differ != 0 || len(got) != len(want) {
		t.Fatalf("%d commands differ, %d snapshots, want %d\n%q\n%q", differ, len(got), len(want), stretches(got), stretches(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("snapshot %d\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
	for _, c := range []struct {
		name      string
		configure func(*site.Config)
		want, not string
		unheard   string
	}{
		{"none is required", func(c *site.Config) {
			c.Witnesses[0].Required = false
			c.Engine.Integrity.Outside = integrity.Alarm{}
		}, "locked disciplined", "witness_", ""},
		{"the other is required", func(c *site.Config) { c.Witnesses[0].Required, c.Witnesses[1].Required = false, true }, off + "bad.example", "good.example", ""},
		{"a wider limit", func(c *site.Config) {
			c.Witnesses[0].Required, c.Witnesses[1].Required, c.Witnesses[1].MaxOffset = false, true, 200*time.Millisecond
		}, "locked disciplined", off, ""},
		{"one that was not asked", func(c *site.Config) {
			c.Witnesses = []integrity.WitnessConfig{{Name: "new.example", Required: true}}
		}, "unlocked doubted: witness_awaited", "locked disciplined", "new.example"},
	} {
		p, got := playAll(t, dir, Options{Configure: c.configure})
		all := stretches(got)
		if !slices.Contains(all, c.want) || slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, c.not) }) || strings.Join(p.Unheard(), " ") != c.unheard {
			t.Errorf("%s: %q, unheard %q", c.name, all, p.Unheard())
		}
	}
}

// The end of a recording begins with the verdicts of its time: a witness that is asked
// once a day says nothing in ten minutes.
func TestWitnessesOfThePartBeforeARecordingBegins(t *testing.T) {
	t.Parallel()
	dir, _ := recordWitnessed(t)
	_, path := extract(t, dir, 8*time.Second, true)
	p, got := playAll(t, path, Options{})
	if all := stretches(got); p.Gaps != 0 || strings.Contains(all[len(all)-1], "witness_awaited") {
		t.Errorf("%d gaps, %q", p.Gaps, all)
	}
}

func TestAnonymisedWitnessesStayDistinguishable(t *testing.T) {
	t.Parallel()
	dir, want := recordWitnessed(t)
	b, path := extract(t, dir, 0, false)
	if bytes.Contains(b, []byte("example")) {
		t.Error("a name is there uncompressed")
	}
	r, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	names, states := map[string]int{}, map[string]int{}
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		switch x := rec.(type) {
		case *recording.Header:
			if bytes.Contains(x.Site, []byte("example")) {
				t.Errorf("the configuration: %s", x.Site)
			}
		case *recording.State:
			for _, w := range x.Witnesses {
				states[w.Name]++
			}
		case *witness.Reading:
			if names[x.Name]++; x.Err != nil && strings.Contains(x.Err.Error(), "example") {
				t.Errorf("an error: %v", x.Err)
			}
		}
	}
	delete(names, "") // of what concerns all witnesses
	for n := range names {
		if !strings.HasPrefix(n, "name-") || states[n] == 0 {
			t.Errorf("names %v, in states %v", names, states)
		}
	}
	if len(names) != 2 || len(states) != 2 {
		t.Errorf("names %v, in states %v", names, states)
	}
	p, got := playAll(t, path, Options{})
	if _, differ := p.Commands(); differ != 0 || len(got) != len(want) {
		t.Errorf("%d commands differ, %d snapshots, want %d", differ, len(got), len(want))
	}
}

// testdata/version1.nmrec was made before readings were recorded, by a simulation whose
// witness held back the lock for 30 s and disagreed from second 150 to 200.
func TestRecordingOfTheFirstVersionPlays(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "version1.nmrec")
	for name, configure := range map[string]func(*site.Config){"as recorded": nil, "with witnesses": func(c *site.Config) {
		c.Witnesses = []integrity.WitnessConfig{{Name: "a.example", Required: true}}
	}} {
		out, err := (&Recorded{Path: path, Configure: configure}).Play()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range out.Changes {
			got = append(got, c.State+" "+c.Reason)
		}
		want := []string{"unlocked doubted: witness_awaited", "acquiring labelling", "acquiring verifying", "locked disciplined", "holdover doubted: witness_disagrees a.example", "holdover returning", "locked disciplined"}
		if out.Differ != 0 || out.Gaps != 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %d commands differ, %d gaps, %q", name, out.Differ, out.Gaps, got)
		}
	}
}
