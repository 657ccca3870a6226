package observe

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/refclock/discipline"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// fakeEngine is a clock that runs from the start of a test, in virtual time.
type fakeEngine struct {
	start time.Time
	state func(s float64) *report.Report
}

func (f *fakeEngine) mono() int64 { return int64(time.Since(f.start)) }

// report is published five times a second.
func (f *fakeEngine) report() *report.Report {
	return f.state(time.Since(f.start).Truncate(200 * time.Millisecond).Seconds())
}

func (f *fakeEngine) history(t *testing.T, dir string, memory bool) *History {
	t.Helper()
	h, err := NewHistory(HistoryConfig{
		Dir: dir, MaxSize: history.DefaultMaxSize, Memory: memory, Program: "refclockd", Witnesses: []string{"a test"}, Report: f.report, Mono: f.mono, Now: time.Now,
		Read: func() *Reference { return &Reference{Mono: f.mono(), Report: f.report()} }, Tasks: func() []daemon.Status { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // the engine
		for {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(200 * time.Millisecond):
				h.Published(&f.report().Snapshot)
			}
		}
	}()
	return h
}

// A clock that locks after 30 s and loses its pulse from 100 s to 160 s.
func appliance(s float64) *report.Report {
	state, why, pulse := status.Locked, "disciplined", s-math.Mod(s, 1)
	switch {
	case s < 3:
		return &report.Report{} // nothing is published yet
	case s < 30:
		state, why = status.Acquiring, "measuring"
	case s >= 100 && s < 160:
		state, why, pulse = status.Holdover, "no_pulse", 99
	}
	return reportAt(s, state, why, func(r *report.Report) {
		r.Snapshot.PulseMono, r.Snapshot.OffsetNS = int64(pulse*1e9)+1, pulse
		r.Snapshot.FreqPPB, r.Snapshot.NoiseNS = -7, 2
		r.Discipline = discipline.Status{ServoState: state, Figures: discipline.Figures{EstNS: 0.5, DriftPPB: 7}}
	})
}

func TestMeasurementsAndEventsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "history")
		f := fakeEngine{time.Now(), appliance}
		h := f.history(t, dir, false)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		go func() {
			time.Sleep(50 * time.Second)
			h.Reloaded(nil)
			time.Sleep(time.Second)
			h.Reloaded(errors.New("line 7"))
		}()
		if err := h.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		begin := reportAt(0, status.Locked, "", nil).Snapshot.Clock.UTC(37).Unix() // of the fake clock
		res, err := history.Open(dir).Query(history.Query{From: time.Unix(begin, 0), To: time.Unix(begin+200, 0), MaxPoints: 200})
		if err != nil || len(res.Damage) > 0 || res.Step != 1 {
			t.Fatal(res, err)
		}
		value := func(column string, s int) float64 {
			c := res.Of(column)
			if c == nil {
				return math.NaN()
			}
			return c.Mean[s]
		}
		for _, x := range []struct {
			column string
			second int
			want   float64
		}{
			{history.Bound, 1, math.NaN()}, {history.State, 1, math.NaN()}, {history.Correction, 1, math.NaN()}, {history.Offset, 40, 40}, {history.Offset, 101, math.NaN()}, {history.Offset, 170, 170}, {history.Residual, 40, 39.5},
			{history.Bound, 40, 100}, {history.State, 10, 1}, {history.State, 40, 2}, {history.State, 120, 3}, {history.Synced, 10, 0}, {history.Synced, 120, 1},
			{history.Correction, 40, -7}, {history.Frequency, 40, 7}, {history.Noise, 120, math.NaN()}, {history.Temperature, 40, math.NaN()},
			{history.Satellites, 40, math.NaN()}, {history.ColumnName(history.WitnessOf, "a test"), 40, math.NaN()},
		} {
			if got := value(x.column, x.second); got != x.want && !(math.IsNaN(got) && math.IsNaN(x.want)) {
				t.Errorf("%s at %d s is %v, want %v", x.column, x.second, got, x.want)
			}
		}
		missing := 0
		for s := range 199 {
			if math.IsNaN(value(history.State, s)) {
				missing++
			}
		}
		if missing != 3 {
			t.Errorf("%d of 199 seconds are missing, want the first 3", missing)
		}
		found, _, err := events.Read(dir, events.Query{})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []events.Kind
		for _, e := range found {
			kinds = append(kinds, e.Kind)
		}
		want := []events.Kind{events.Start, events.State, events.State, events.Reload, events.Reload, events.State, events.State, events.Holdover, events.Stop}
		if !slices.Equal(kinds, want) {
			t.Errorf("events %v, want %v", kinds, want)
		}
		if n := h.counts(); n[0].N != uint64(len(found))+4 || n[1].N != 0 {
			t.Errorf("%v records", n)
		}

		// The next run knows that this one ended properly.
		ctx, cancel2 := context.WithTimeout(t.Context(), time.Second)
		defer cancel2()
		f.history(t, dir, true).Run(ctx)
		if found, _, _ = events.Read(dir, events.Query{Kinds: []events.Kind{events.Start}}); len(found) != 2 || found[0].Detail != "" || found[1].Detail != "the run before ended properly" {
			t.Errorf("starts: %+v", found)
		}
	})
}

// A disc that refuses for half an hour loses nothing. The task says so meanwhile.
func TestAHistoryWaitsForTheDisc(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(parent, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f := fakeEngine{time.Now(), appliance}
		h := f.history(t, filepath.Join(parent, "history"), false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if h.Waiting() == nil || h.counts()[0].N != 0 {
			t.Error("it does not wait", h.counts())
		}
		if err := os.Remove(parent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := h.Waiting(); err != nil {
			t.Error("it still waits", err)
		}
		cancel()
		<-done
		if n := h.counts(); n[1].N != 0 || n[0].N < 35 {
			t.Errorf("%v", n)
		}
	})
}

// A disc that refuses for a day loses what is too old, and holds up nothing.
func TestAHistoryIsBoundedInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(parent, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f := fakeEngine{time.Now(), appliance}
		h := f.history(t, filepath.Join(parent, "history"), false)
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if err := h.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if n := h.counts(); n[0].N != 0 || n[1].N < 1440-queueRecords {
			t.Errorf("%v", n)
		}
	})
}
