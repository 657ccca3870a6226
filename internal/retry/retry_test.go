package retry

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelayDoublesUpToTheLimit(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	want := []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, Max, Max, Max}
	var b Backoff
	for round := range 2 {
		for i, w := range want {
			if d := b.Next(); d != w {
				t.Errorf("round %d: delay %d is %v, want %v", round, i+1, d, w)
			}
		}
		b.Reset()
	}
}

func TestJitterStaysBelowTheDelay(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, 1, First, Max} {
		for range 100 {
			if got := Jitter(d); got < d/2 || got > d {
				t.Fatalf("%v: %v", d, got)
			}
		}
	}
}

func TestLogsFirstFailuresAndThenEverySixteenth(t *testing.T) {
	t.Parallel()
	var b Backoff
	for round := range 2 {
		var logged []int
		for i := 1; i <= 64; i++ {
			n, log := b.Failed()
			if n != i {
				t.Fatalf("round %d: attempt %d is numbered %d", round, i, n)
			}
			if log {
				logged = append(logged, n)
			}
		}
		if want := []int{1, 2, 4, 8, 16, 32, 48, 64}; !slices.Equal(logged, want) {
			t.Errorf("round %d: logged %v, want %v", round, logged, want)
		}
		b.Reset()
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	for _, c := range []struct {
		name        string
		cancelAfter time.Duration
		want        time.Duration
	}{
		{"cancelled before", 0, 0},
		{"cancelled on the way", time.Second, time.Second},
		{"not cancelled", time.Hour, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.cancelAfter)
				defer cancel()
				start := time.Now()
				Sleep(ctx, 10*time.Second)
				if d := time.Since(start); d != c.want {
					t.Errorf("slept %v, want %v", d, c.want)
				}
			})
		})
	}
}
