package witness

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

const second0 = tai.Time(1795426200) * tai.Second

// engine is one whose pulse begins each second of now.
type engine struct {
	now    int64
	alarms []string
	counts map[reason.Code]int
}

func (e *engine) Alarm(a integrity.Alarm) { e.alarms = append(e.alarms, a.String()) }
func (e *engine) Count(c reason.Code)     { e.counts[c]++ }
func (e *engine) Confirm(time.Duration)   {}
func (e *engine) Reference() integrity.Reference {
	l := integrity.Label{Time: second0 + tai.Time(e.now), Mono: e.now}
	return integrity.Reference{Snapshot: &status.Snapshot{}, Label: l, Begun: l, Table: tai.Builtin()}
}

// never is a machine that does not sleep.
func never() time.Duration { return 0 }

// A verdict from before a sleep of the machine is none: the lock waits until the
// witness, which is asked at once, agrees again.
func TestVerdictsEndWithASleep(t *testing.T) {
	e := &engine{counts: map[reason.Code]int{}}
	slept, asked, away := time.Hour, 0, false
	task := New(Config{Engine: e, Mono: func() int64 { return e.now }, Slept: func() time.Duration { return slept }, Log: slog.New(slog.DiscardHandler)}, []Server{{
		WitnessConfig: integrity.WitnessConfig{Name: "a", MaxOffset: time.Millisecond, Required: true, Every: time.Hour},
		Ask: func(context.Context) (integrity.Answer, error) {
			asked++
			if away {
				return integrity.Answer{}, errors.New("no route")
			}
			return integrity.Answer{Mono: e.now, UTC: int64(second0) + e.now - 37e9}, nil
		},
	}})
	tick := func(sleep time.Duration) {
		slept += sleep
		e.now += 1e9
		task.Tick(t.Context())
	}
	for range 60 {
		tick(time.Microsecond) // the noise of two readings of the clocks
	}
	if want := []string{"witness_awaited", ""}; !slices.Equal(e.alarms, want) {
		t.Fatalf("before the sleep: alarms %q, want %q", e.alarms, want)
	}
	before := asked
	away = true
	tick(time.Hour)
	if s := task.Status()[0]; asked != before+1 || s.Verdict != integrity.NoVerdict || e.alarms[len(e.alarms)-1] != "witness_awaited" {
		t.Errorf("after it: asked %d times, %v, alarms %q", asked-before, s.Verdict, e.alarms)
	}
	away = false
	for range 20 {
		tick(0)
	}
	if want := []string{"witness_awaited", "", "witness_awaited", ""}; !slices.Equal(e.alarms, want) {
		t.Errorf("when it has answered: alarms %q, want %q", e.alarms, want)
	}
}

// Alarms are reported when they change, silence is counted each time and logged
// ever less often.
func TestTask(t *testing.T) {
	e := &engine{counts: map[reason.Code]int{}}
	var log strings.Builder
	off, err := time.Duration(0), errors.New("no route")
	task := New(Config{Engine: e, Mono: func() int64 { return e.now }, Slept: never, Log: slog.New(slog.NewTextHandler(&log, nil))}, []Server{{
		WitnessConfig: integrity.WitnessConfig{Name: "a", MaxOffset: time.Millisecond, Required: true},
		Ask: func(context.Context) (integrity.Answer, error) {
			return integrity.Answer{Mono: e.now, UTC: int64(second0) + e.now - 37e9 + int64(off)}, err
		},
	}})
	run := func(seconds int) {
		for range seconds {
			e.now += 1e9
			task.Tick(t.Context())
		}
	}
	run(3600)
	asked := task.Status()[0].Asked
	if e.counts[reason.WitnessAwaited] != 1 || uint64(e.counts[reason.WitnessSilent]) != asked || asked < 60 || strings.Count(log.String(), "does not answer") != 6 {
		t.Errorf("asked %d times, counted %v, log:\n%s", asked, e.counts, &log)
	}
	err = nil
	run(120)
	off = time.Second
	run(120)
	off = 0
	run(120)
	if want := []string{"witness_awaited", "", "witness_disagrees a", ""}; !slices.Equal(e.alarms, want) {
		t.Errorf("alarms %q, want %q", e.alarms, want)
	}
	for _, w := range []string{"witness agrees", "level=WARN msg=\"witness disagrees\" witness=a offset=-1s"} {
		if !strings.Contains(log.String(), w) {
			t.Errorf("the log does not say %q:\n%s", w, &log)
		}
	}
}

// A question that the end of the program cuts short is no silence.
func TestTaskEnds(t *testing.T) {
	e := &engine{now: 1e9, counts: map[reason.Code]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	task := New(Config{Engine: e, Mono: func() int64 { return e.now }, Slept: never, Log: slog.New(slog.DiscardHandler)}, []Server{{
		WitnessConfig: integrity.WitnessConfig{Name: "a"},
		Ask:           func(ctx context.Context) (integrity.Answer, error) { cancel(); return integrity.Answer{}, ctx.Err() },
	}})
	if err := task.Run(ctx); !errors.Is(err, context.Canceled) || task.Status()[0].Silent != 0 || len(e.counts) != 0 {
		t.Errorf("%v, %+v, counted %v", err, task.Status(), e.counts)
	}
}
