package pps_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

// bench runs a Reader in virtual time and notes what it counts and logs.
type bench struct {
	reader pps.Reader
	counts map[reason.Code]int
	log    bytes.Buffer
	opened int
}

func newBench(open func(n int) (pps.Source, error)) *bench {
	b := &bench{counts: map[reason.Code]int{}}
	b.reader = pps.Reader{
		Name: "pps", Log: slog.New(slog.NewTextHandler(&b.log, nil)), Count: func(r reason.Code) { b.counts[r]++ },
		Open: func() (pps.Source, error) { b.opened++; return open(b.opened) },
	}
	return b
}

// goneSource is a pulse source that vanishes at once.
type goneSource struct{}

func (goneSource) Next(context.Context) (pps.Edge, error) { return pps.Edge{}, pps.ErrGone }
func (goneSource) Close() error                           { return nil }
func (goneSource) String() string                         { return "gone" }

func TestReaderOpensAMissingSourceAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(n int) (pps.Source, error) {
			if n%2 == 1 {
				return nil, fmt.Errorf("open pps: %w", fs.ErrNotExist)
			}
			return goneSource{}, nil
		})
		b.reader.Out = make(chan pps.Edge)
		var wg sync.WaitGroup
		wg.Go(func() { b.reader.Run(ctx) })
		time.Sleep(20 * time.Minute)
		cancel()
		wg.Wait()
		if gone, missing := b.counts[reason.PulseGone], b.counts[reason.PulseMissing]; gone == 0 || missing < gone || gone+missing != b.opened || b.opened < 80 || b.opened > 90 {
			t.Errorf("opened %d times, counted %v", b.opened, b.counts)
		}
		// Attempts 1, 2, 4, 8, 16 and every 16th, and a line for each opening.
		if n := strings.Count(b.log.String(), "\n"); n > 60 {
			t.Errorf("%d lines in twenty minutes:\n%s", n, b.log.String())
		}
		for _, w := range []string{"pulse_missing", "pulse_gone"} {
			if !strings.Contains(b.log.String(), w) {
				t.Errorf("the log lacks %q", w)
			}
		}
	})
}

// A silent source is opened again, at growing intervals, and the pulses of a
// later opening are taken: another program may have had the pin until then.
func TestReaderOpensASilentSourceAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(n int) (pps.Source, error) { return &silentSource{edge: n == 4}, nil })
		out := make(chan pps.Edge, 1)
		b.reader.Out = out
		var wg sync.WaitGroup
		wg.Go(func() { b.reader.Run(ctx) })
		start := time.Now()
		if x := <-out; x.Seq != 7 {
			t.Errorf("edge %+v", x)
		}
		// 10 + 20 + 40 waits of 3 s before the fourth opening.
		if took := time.Since(start); b.opened != 4 || took != 210*time.Second {
			t.Errorf("opened %d times in %v", b.opened, took)
		}
		cancel()
		wg.Wait()
		if b.counts[reason.PulseSilent] != 70 || b.counts[reason.PulseGone] != 0 {
			t.Errorf("counted %v", b.counts)
		}
		if n := strings.Count(b.log.String(), "\n"); n > 3 {
			t.Errorf("%d lines:\n%s", n, b.log.String())
		}
	})
}

// silentSource delivers nothing, or one edge and then nothing.
type silentSource struct{ edge bool }

func (s *silentSource) Next(ctx context.Context) (pps.Edge, error) {
	if s.edge {
		s.edge = false
		return pps.Edge{Seq: 7}, nil
	}
	select {
	case <-ctx.Done():
		return pps.Edge{}, ctx.Err()
	case <-time.After(3 * time.Second):
		return pps.Edge{}, pps.ErrNoPulse
	}
}
func (*silentSource) Close() error   { return nil }
func (*silentSource) String() string { return "silent" }

// ambiguousSource returns edges that cannot be distinguished, then silence, then
// two edges, and then ends the test.
type ambiguousSource struct {
	n   int
	end func()
}

func (a *ambiguousSource) Next(ctx context.Context) (pps.Edge, error) {
	switch a.n++; {
	case a.n < 4:
		return pps.Edge{}, fmt.Errorf("card: %w", pps.ErrAmbiguous)
	case a.n == 4:
		return pps.Edge{}, fmt.Errorf("card: %w", pps.ErrNoPulse)
	case a.n < 7:
		return pps.Edge{Seq: uint32(a.n)}, nil
	}
	a.end()
	return pps.Edge{}, ctx.Err()
}

func (a *ambiguousSource) Close() error   { return nil }
func (a *ambiguousSource) String() string { return "ambiguous" }

// Each failure is counted under its own reason, also an edge for which there is
// no room.
func TestReaderCountsByReason(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := newBench(func(int) (pps.Source, error) { return &ambiguousSource{end: cancel}, nil })
	taken := 0
	b.reader.Hand = func(pps.Edge) bool { taken++; return taken == 1 }
	if err := b.reader.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if taken != 2 || b.counts[reason.PulseAmbiguous] != 3 || b.counts[reason.PulseSilent] != 1 || b.counts[reason.EdgeQueueFull] != 1 || len(b.counts) != 3 {
		t.Errorf("%d taken, counted %v", taken, b.counts)
	}
}
