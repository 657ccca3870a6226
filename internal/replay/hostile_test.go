package replay

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/recording"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
)

// records reads all records of a recording.
func records(t *testing.T, path string) (all []recording.Record) {
	t.Helper()
	r, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

// Clock, port and pulses were opened in a stretch that is missing: the disc was slow at
// the start of the machine. What comes afterwards still plays.
func TestDevicesThatWereOpenedInAMissingStretch(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("cm4-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 10 * time.Minute
	dir, want := record(t, s, 2)
	all := records(t, dir)
	h := all[0].(*recording.Header)
	states := 0
	for i, r := range all {
		if _, ok := r.(*recording.State); ok {
			states++
		}
		if states == 2 {
			all = all[i:]
			break
		}
	}
	var last status.Snapshot
	p, err := NewPlayer(h, Options{Publish: func(s *status.Snapshot) { last = *s }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append([]recording.Record{
		&recording.State{Mono: h.Mono},
		&recording.Step{Mono: h.Mono + 1, Calls: []recording.Call{{Kind: recording.CallOpen, After: h.Mono + 2, Err: os.ErrNotExist}}},
		&recording.Stamp{}, // of a card that was not enabled
		&recording.Gap{},
	}, all...) {
		p.Play(r)
	}
	if end := want[len(want)-1]; last.State != end.State || last.Mono != end.Mono {
		t.Errorf("at the end %v (%s), want %v", last.State, last.Reason, end.State)
	}
}

// The text of a recording of others does not reach a terminal as it is.
func TestHostileTextIsPrintedHarmless(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := recording.NewStore(recording.Options{Dir: dir, Limit: 1 << 30, Immediate: true})
	rec := recording.NewRecorder(store, "test \x1b[2J")
	s, err := sim.Find("timehat-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Recorder = rec
	s.Config.Witnesses = []integrity.WitnessConfig{{Name: "\x1b[1m", Required: true}}
	l, err := s.Loop(1)
	if err != nil {
		t.Fatal(err)
	}
	l.Run(10 * time.Second)
	rec.Flush()
	store.Close()
	var out strings.Builder
	if err := (&Request{File: dir}).Play(&out, io.Discard); err != nil || !strings.Contains(out.String(), "run 1 of 1 by test ") || strings.ContainsRune(out.String(), 0x1b) {
		t.Errorf("%v: %q", err, &out)
	}
}

// mutate changes an input of the engine as nobody's hardware would.
func mutate(rnd *rand.Rand, r recording.Record) recording.Record {
	odd := func() int64 {
		return []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 62, rnd.Int64(), -rnd.Int64N(1e18), rnd.Int64N(1e12)}[rnd.IntN(9)]
	}
	ppb := func() float64 {
		return []float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e-300, float64(odd())}[rnd.IntN(7)]
	}
	switch x := r.(type) {
	case *recording.State:
		x.Grant, x.Slept, x.CelsiusMono = nil, time.Duration(odd()), odd()
		if x.Clock != nil {
			x.Clock.FreqPPB, x.Clock.MaxFreqPPB = ppb(), ppb()
		}
	case *recording.Octets:
		for i := range x.Data {
			if rnd.IntN(8) == 0 {
				x.Data[i] = byte(rnd.Uint32())
			}
		}
	case *recording.Stamp:
		x.Event.Clock, x.Event.Channel = tai.Time(odd()), int(odd())
	case *recording.Edge:
		x.Edge.Stamp, x.Edge.Other, x.Edge.Scale = odd(), time.Duration(odd()), pps.Scale(rnd.IntN(2))
	case *witness.Reading:
		x.Kind, x.Of, x.Answer = witness.Kind(rnd.IntN(4)), odd(), integrity.Answer{Mono: odd(), UTC: odd(), Error: time.Duration(odd())}
	case *recording.Step:
		y := time.Duration(odd())
		switch rnd.IntN(8) {
		case 0:
			x.Of, x.Slept = odd(), y
		case 1:
			x.Input = refclock.Input{Confirmed: &y}
		case 2:
			x.Input = refclock.Input{Settings: &refclock.Settings{Bias: y, Cable: y, Tables: []*tai.Table{tai.Builtin()}}}
		case 3:
			x.Input = refclock.Input{Compared: &pps.ComparedEdge{Index: int(y), Edge: pps.Edge{Stamp: odd()}}}
		case 4:
			x.Input = refclock.Input{Port: &[]reason.Condition{{Code: reason.Code(rnd.Uint32())}}}
		case 5:
			x.Input = refclock.Input{Alarm: &integrity.Alarm{Code: reason.Code(rnd.Uint32())}}
		}
		for i := range x.Calls {
			c := &x.Calls[i]
			switch rnd.IntN(6) {
			case 0:
				c.Kind = recording.CallKind(rnd.IntN(5))
			case 1:
				c.Cross = phc.Cross{Clock: tai.Time(odd()), Real: odd(), Mono: c.Cross.Mono + rnd.Int64N(2e9) - 1e9, Width: time.Duration(odd())}
			case 2:
				c.PPB, c.By, c.Clock.MaxFreqPPB = ppb(), time.Duration(odd()), ppb()
			case 3:
				c.Err = phc.ErrGone
			}
		}
	}
	return r
}

// A recording that somebody attached to a report does not end the replay.
func TestHostileRecordsDoNotEndTheReplay(t *testing.T) {
	t.Parallel()
	dir, _ := recordWitnessed(t)
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		all := records(t, dir)
		p, err := NewPlayer(all[0].(*recording.Header), Options{})
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if x := recover(); x != nil {
					t.Fatalf("seed %d: %v\n%s", seed, x, debug.Stack())
				}
			}()
			for _, r := range all {
				if rnd.IntN(40) == 0 {
					r = mutate(rnd, r)
				}
				p.Play(r)
			}
		}()
	}
}

// alter changes some values of a configuration.
func alter(rnd *rand.Rand, v any) any {
	if rnd.IntN(12) == 0 {
		switch v.(type) {
		case float64:
			return []any{0, -1, 1, int64(math.MaxInt64), int64(math.MinInt64), 1e18, 0.5}[rnd.IntN(7)]
		case string:
			return []any{"", "x", strings.Repeat("y", 1000)}[rnd.IntN(3)]
		case bool:
			return rnd.IntN(2) == 0
		default:
			return nil
		}
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = alter(rnd, v[i])
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			v[k] = alter(rnd, v[k])
		}
	}
	return v
}

// Nor does the configuration in it.
func TestHostileConfigurationDoesNotEndTheReplay(t *testing.T) {
	t.Parallel()
	dir, _ := recordWitnessed(t)
	all := records(t, dir)[:3000]
	h := all[0].(*recording.Header)
	played := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var v any
		if err := json.Unmarshal(h.Site, &v); err != nil {
			t.Fatal(err)
		}
		x := *h
		x.Site, _ = json.Marshal(alter(rnd, v))
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: %v\n%s\n%s", seed, r, x.Site, debug.Stack())
				}
			}()
			p, err := NewPlayer(&x, Options{})
			if err != nil {
				return
			}
			played++
			for _, r := range all {
				p.Play(r)
			}
		}()
		if t.Failed() {
			return
		}
	}
	if played < 30 {
		t.Errorf("%d configurations were played", played)
	}
}
