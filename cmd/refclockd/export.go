package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/refclock/export"
	"noonmark/refclock/status"
)

// exportTask hands the clock to one program about once a second. It is a task
// of its own, so that a program that does not answer keeps nobody waiting.
type exportTask struct {
	name string
	// Either samples go out, or the settings of a grandmaster.
	open func() (export.Exporter, error)
	ptp  ptpExporter

	snapshot func() *status.Snapshot
	cross    func() (phc.Cross, error) // Real and Mono are used
	mono     func() int64
	log      *slog.Logger

	out    export.Exporter
	fails  int // in a row
	counts [numResults]atomic.Uint64
}

// result is what became of an export; its String is the metric label and, of
// the failures, the reason in logs.
type result uint8

const (
	exported       result = iota // taken by the other program
	exportUnusable               // the snapshot may not be used: nothing is handed out, ptp4l is told so
	exportMissing                // the other program's socket or segment is not there
	exportDenied                 // this user may not write to it
	exportRefused                // the other program answered with a refusal
	exportSilent                 // it did not answer
	exportFailed                 // anything else

	numResults
)

func (r result) String() string {
	return [...]string{"exported", "export_unusable", "export_missing", "export_denied", "export_refused", "export_silent", "export_failed"}[r]
}

// why names a failure.
func why(err error) result {
	switch {
	case err == nil:
		return exported
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return exportMissing
	case errors.Is(err, fs.ErrPermission):
		return exportDenied
	case errors.Is(err, export.ErrPTP):
		return exportRefused
	case errors.Is(err, os.ErrDeadlineExceeded):
		return exportSilent
	}
	return exportFailed
}

// count returns how often a result came.
func (t *exportTask) count(r result) uint64 { return t.counts[r].Load() }

// ptpExporter is what *export.PTP does.
type ptpExporter interface {
	Set(export.Grandmaster) error
	Forget()
	Close() error
}

const (
	exportEvery = time.Second
	// forgetEvery is after how many rounds ptp4l is told again what it has
	// acknowledged: it may have been restarted.
	forgetEvery = 30
)

// newExports makes the tasks of a configuration.
func newExports(s *refclockd.Settings, snapshot func() *status.Snapshot, cross func() (phc.Cross, error), log *slog.Logger) (ts []*exportTask) {
	add := func(t *exportTask) {
		t.snapshot, t.cross, t.mono, t.log = snapshot, cross, phc.MonoRaw, log
		ts = append(ts, t)
	}
	if p := s.Export.ChronySock; p != "" {
		add(&exportTask{name: "chrony_sock", open: func() (export.Exporter, error) { return export.NewSock(p), nil }})
	}
	if u := s.Export.SHMUnit; u >= 0 {
		add(&exportTask{name: "shm", open: func() (export.Exporter, error) {
			x, err := export.NewSHM(u)
			if err != nil {
				return nil, err
			}
			return x, nil
		}})
	}
	if p := s.Export.PTP4L; p != "" {
		add(&exportTask{name: "ptp4l", ptp: export.NewPTP(p, s.RuntimeDir, uint8(s.Export.PTP4LDomain))})
	}
	return ts
}

// Run exports until ctx ends; then ptp4l is told that nobody stands for its
// clock any more.
func (t *exportTask) Run(ctx context.Context) error {
	tk := time.NewTicker(exportEvery)
	defer tk.Stop()
	for n := 0; ; n++ {
		t.once(n)
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), t.end())
		case <-tk.C:
		}
	}
}

// once exports once.
func (t *exportTask) once(n int) {
	if t.ptp != nil {
		if n%forgetEvery == 0 {
			t.ptp.Forget()
		}
		s, now := t.snapshot(), t.mono()
		if !s.Usable(now) {
			t.counts[exportUnusable].Add(1)
		}
		t.done(t.ptp.Set(export.GrandmasterOf(s, now)))
		return
	}
	x, err := t.cross()
	if err != nil {
		t.done(err)
		return
	}
	sm, ok := export.Take(t.snapshot(), x.Mono, x.Real)
	if !ok {
		t.counts[exportUnusable].Add(1) // a program that gets nothing sees that there is nothing
		return
	}
	if t.out == nil {
		if t.out, err = t.open(); err != nil {
			t.done(err)
			return
		}
	}
	t.done(t.out.Export(sm))
}

// done counts, and logs attempts 1, 2, 4, 8, 16, then every 256th.
func (t *exportTask) done(err error) {
	r := why(err)
	t.counts[r].Add(1)
	if err == nil {
		if t.fails > 0 {
			t.log.Info("export works", "export", t.name)
		}
		t.fails = 0
		return
	}
	if t.fails++; t.fails&(t.fails-1) == 0 && t.fails <= 16 || t.fails%256 == 0 {
		t.log.Warn("export failed", "reason", r.String(), "export", t.name, "error", err, "attempt", t.fails)
	}
}

// end takes back what was told, and closes.
func (t *exportTask) end() error {
	if t.ptp != nil {
		s := *t.snapshot()
		s.Limit = 0 // nothing is within it: holdover out of specification
		if t.count(exported) > 0 {
			t.done(t.ptp.Set(export.GrandmasterOf(&s, t.mono())))
		}
		return t.ptp.Close()
	}
	if t.out == nil {
		return nil
	}
	return t.out.Close()
}

// Ready says that it is ready at once.
func (t *exportTask) Ready() <-chan struct{} { return nil }

// String names the task.
func (t *exportTask) String() string { return "export " + t.name }
