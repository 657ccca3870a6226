package server

import (
	"sync/atomic"
	"time"

	"noonmark/refclock/status"
)

// feed is a worker's own mapping of the published snapshot.
type feed struct {
	reader *status.Reader
	fresh  atomic.Pointer[status.Reader] // a new mapping, from the server's watch
	snap   status.Snapshot
	valid  bool // snap has been published
	// retryAt is the CLOCK_MONOTONIC_RAW, ns, before which the snapshot is not read
	// again after status.ErrBusy: the writer died while writing, and finding that
	// out takes long.
	retryAt int64
}

// busyPause is the time between two attempts to read a snapshot that is busy, ns.
const busyPause = int64(100 * time.Millisecond)

// swap takes over a new mapping, if there is one.
func (f *feed) swap() {
	if r := f.fresh.Load(); r != nil && f.fresh.CompareAndSwap(r, nil) {
		f.close()
		f.reader, f.valid = r, false
	}
}

// load reads the snapshot at mono (CLOCK_MONOTONIC_RAW, ns). While the writer is
// busy, the last snapshot stays and ages.
func (f *feed) load(mono int64) {
	if f.reader == nil || mono < f.retryAt {
		return
	}
	switch err := f.reader.Load(&f.snap); err {
	case nil:
		f.valid = true
	case status.ErrBusy:
		f.retryAt = mono + busyPause
	default:
		f.valid = false
	}
}

// offer gives the worker a new mapping, from any goroutine. nil: none.
func (f *feed) offer(r *status.Reader) {
	if old := f.fresh.Swap(r); old != nil {
		old.Close()
	}
}

// close unmaps the snapshot; errors of that have no consequence.
func (f *feed) close() {
	if f.reader != nil {
		f.reader.Close()
		f.reader = nil
	}
}
