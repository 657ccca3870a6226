// Package liveness shows a watchdog whether a loop is stuck. The loop marks the
// beginning and the end of each piece of work; while it waits for work it is
// alive, however long that takes.
package liveness

import (
	"fmt"
	"sync/atomic"
	"time"

	"noonmark/phc"
)

// Work marks the work of one loop. The zero value is idle. Begin and End are for
// the loop, Stuck is for any goroutine.
type Work struct {
	// Clock reads CLOCK_MONOTONIC_RAW, ns. It is set before the first Begin. nil:
	// phc.MonoRaw.
	Clock func() int64
	since atomic.Int64 // CLOCK_MONOTONIC_RAW of the beginning, ns; 0: idle
}

// Begin marks the beginning of a piece of work.
func (w *Work) Begin() { w.BeginAt(w.now()) }

// BeginAt is Begin for a loop that has just read CLOCK_MONOTONIC_RAW, ns.
func (w *Work) BeginAt(mono int64) { w.since.Store(mono | 1) }

// End marks the end of a piece of work.
func (w *Work) End() { w.since.Store(0) }

// Stuck returns an error if the present piece of work has lasted longer than
// limit. CLOCK_MONOTONIC_RAW stands still while the machine sleeps.
func (w *Work) Stuck(limit time.Duration) error {
	since := w.since.Load()
	if since == 0 {
		return nil
	}
	if d := time.Duration(w.now() - since); d > limit {
		return fmt.Errorf("stuck for %v", d.Round(time.Second))
	}
	return nil
}

func (w *Work) now() int64 {
	if w.Clock != nil {
		return w.Clock()
	}
	return phc.MonoRaw()
}
