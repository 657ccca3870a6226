package server

import (
	"sync/atomic"
	"time"

	"noonmark/refclock/status"
)

// feed is a worker's own reader of the published snapshot.
type feed struct {
	reader *status.Reader
	fresh  atomic.Pointer[status.Reader] // a new one, from the server's watch
	snap   status.Snapshot
	valid  bool // snap has been published
	// retryAt is the CLOCK_MONOTONIC_RAW, ns, before which the snapshot is not read
	// again.
	retryAt int64
}

const (
	// busyPause is the time between two attempts to read a snapshot that is busy,
	// ns: its writer died while writing, and finding that out takes long.
	busyPause = int64(100 * time.Millisecond)
	// loadPause is the time between two readings while requests come fast, ns: a
	// reading is a system call, and a snapshot comes four times a second.
	loadPause = int64(10 * time.Millisecond)
)

// swap takes over a new reader, if there is one.
func (f *feed) swap() {
	if r := f.fresh.Load(); r != nil && f.fresh.CompareAndSwap(r, nil) {
		f.close()
		f.reader, f.valid, f.retryAt = r, false, 0
	}
}

// load reads the snapshot. real and mono are CLOCK_REALTIME and CLOCK_MONOTONIC_RAW
// now, ns; fast: requests come fast. While the writer is busy, the last snapshot
// stays and ages.
func (f *feed) load(real, mono int64, fast bool) {
	if f.reader == nil || mono < f.retryAt {
		return
	}
	switch err := f.reader.LoadAt(&f.snap, real, mono); err {
	case nil:
		f.valid = true
		if fast {
			f.retryAt = mono + loadPause
		}
	case status.ErrBusy:
		f.retryAt = mono + busyPause
	default:
		f.valid = false
	}
}

// offer gives the worker a new reader, from any goroutine. nil: none.
func (f *feed) offer(r *status.Reader) {
	if old := f.fresh.Swap(r); old != nil {
		old.Close()
	}
}

// close closes the snapshot; errors of that have no consequence.
func (f *feed) close() {
	if f.reader != nil {
		f.reader.Close()
		f.reader = nil
	}
}
