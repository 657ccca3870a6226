package export

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"noonmark/internal/ptp"
	"noonmark/phc"
	"noonmark/refclock/status"
)

// Targets are the programs to export to.
type Targets struct {
	ChronySock string      // chronyd's SOCK reference clock, "" = none
	SHMUnit    int         // unit of the NTP shared memory, -1 = none
	PTP4L      PTP4LConfig // Path "" = none
}

// Source is what a Task exports.
type Source struct {
	Snapshot func() *status.Snapshot
	Cross    func() (phc.Cross, error) // of the system clock; Real and Mono are used
	Mono     func() int64              // CLOCK_MONOTONIC_RAW, ns
}

// Task exports the clock to one program about once a second. Each program has a
// task of its own, so that one that does not answer delays no other.
type Task struct {
	name   string
	target target
	src    Source
	log    *slog.Logger

	failed  int // exports in a row that failed
	problem atomic.Pointer[error]
	counts  [numResults]atomic.Uint64
}

// target is one way of exporting.
type target interface {
	// export exports once; n counts the calls.
	export(src *Source, n int) outcome
	// end withdraws what was exported, and closes.
	end(src *Source) (outcome, error)
}

// outcome is what one call of a target did.
type outcome struct {
	unusable bool  // the snapshot was not usable
	tried    bool  // something was sent, or was to be
	err      error // of that
}

// Result is what became of an export; its String is the metric label and, of
// failures, the reason in logs.
type Result uint8

// The results.
const (
	Exported Result = iota // accepted by the other program
	Unusable               // the snapshot is not usable: nothing is exported, ptp4l is given the default class
	Missing                // the other program's socket or segment does not exist
	Denied                 // this user may not write to it
	Refused                // the other program answered with a refusal
	Silent                 // it did not answer
	Failed                 // anything else

	numResults
)

// NumResults is the number of results.
const NumResults = int(numResults)

// String returns the result's word.
func (r Result) String() string {
	return [...]string{"exported", "export_unusable", "export_missing", "export_denied", "export_refused", "export_silent", "export_failed"}[r]
}

// resultOf names the result of an error.
func resultOf(err error) Result {
	switch {
	case err == nil:
		return Exported
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return Missing
	case errors.Is(err, fs.ErrPermission):
		return Denied
	case errors.Is(err, ptp.ErrRefused):
		return Refused
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Silent
	}
	return Failed
}

const (
	exportEvery = time.Second
	// resendEvery is the number of exports after which ptp4l gets settings that
	// it has acknowledged once more: it may have been restarted.
	resendEvery = 30
)

// Tasks returns a task for each target.
func Tasks(t Targets, src Source, log *slog.Logger) (ts []*Task) {
	if t.ChronySock != "" {
		ts = append(ts, newTask("chrony_sock", &samples{open: func() (Exporter, error) { return NewSock(t.ChronySock), nil }}, src, log))
	}
	if t.SHMUnit >= 0 {
		ts = append(ts, newTask("shm", &samples{open: func() (Exporter, error) {
			x, err := NewSHM(t.SHMUnit)
			if err != nil {
				return nil, err // not a nil *SHM in an Exporter
			}
			return x, nil
		}}, src, log))
	}
	if t.PTP4L.Path != "" {
		ts = append(ts, newTask("ptp4l", NewPTP4L(t.PTP4L), src, log))
	}
	return ts
}

func newTask(name string, to target, src Source, log *slog.Logger) *Task {
	return &Task{name: name, target: to, src: src, log: log}
}

// Name names the target in metrics.
func (t *Task) Name() string { return t.name }

// Count returns how often a result came.
func (t *Task) Count(r Result) uint64 { return t.counts[r].Load() }

// Run exports until ctx ends. Then it sets ptp4l's clock to "not synchronised".
func (t *Task) Run(ctx context.Context) error {
	tick := time.NewTicker(exportEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		t.once(n)
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), t.end())
		case <-tick.C:
		}
	}
}

// once exports once.
func (t *Task) once(n int) { t.count(t.target.export(&t.src, n)) }

// end withdraws what was exported.
func (t *Task) end() error {
	o, err := t.target.end(&t.src)
	t.count(o)
	return err
}

// count counts an outcome, and logs failures 1, 2, 4, 8, 16, then every 256th.
func (t *Task) count(o outcome) {
	if o.unusable {
		t.counts[Unusable].Add(1)
	}
	if !o.tried {
		return
	}
	r := resultOf(o.err)
	t.counts[r].Add(1)
	if o.err != nil {
		t.problem.Store(&o.err)
		if t.failed++; t.failed&(t.failed-1) == 0 && t.failed <= 16 || t.failed%256 == 0 {
			t.log.Warn("export failed", "reason", r.String(), "export", t.name, "error", o.err, "attempt", t.failed)
		}
		return
	}
	if t.failed > 0 {
		t.log.Info("export works again", "export", t.name)
	}
	t.failed = 0
	t.problem.Store(nil)
}

// Waiting returns why the last export failed; nil if the other program has taken it.
// ptp4l has taken settings when it has answered.
func (t *Task) Waiting() error {
	if p := t.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// String names the task in logs.
func (t *Task) String() string { return "export " + t.name }
