// Package incident counts reasons and logs them at a limited rate.
package incident

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"noonmark/refclock/reason"
)

// logEvery is how often one reason is logged. What strangers or a failing device
// can trigger many times a second must not fill the log.
const logEvery = time.Minute

// Log counts reasons and logs them. Count and Counts are for any goroutine, the
// others for one.
type Log struct {
	mono   func() int64
	log    *slog.Logger
	counts [reason.Count]atomic.Uint64
	last   [reason.Count]int64  // CLOCK_MONOTONIC_RAW of the last line, 0 = none
	held   [reason.Count]uint64 // not logged since

	lasting []reason.Lasting
}

// New returns a Log. mono reads CLOCK_MONOTONIC_RAW, ns.
func New(mono func() int64, log *slog.Logger) *Log { return &Log{mono: mono, log: log} }

// Count counts a reason.
func (l *Log) Count(c reason.Code) { l.counts[c].Add(1) }

// Group returns how often the reasons of a group were counted together.
func (l *Log) Group(g reason.Group) (n uint64) {
	for _, c := range reason.All() {
		if c.Info().Group == g {
			n += l.counts[c].Load()
		}
	}
	return n
}

// Counts returns how often each reason was counted.
func (l *Log) Counts() (n [reason.Count]uint64) {
	for i := range n {
		n[i] = l.counts[i].Load()
	}
	return n
}

// Report counts a reason and logs it with fields, once a minute at most. err may
// be nil.
func (l *Log) Report(c reason.Code, err error, fields ...any) {
	l.Count(c)
	now := l.mono()
	if l.last[c] != 0 && now-l.last[c] < int64(logEvery) {
		l.held[c]++
		return
	}
	if err != nil {
		fields = append(slices.Clip(fields), "error", err)
	}
	if n := l.held[c]; n > 0 {
		fields = append(slices.Clip(fields), "held_back", n)
	}
	l.last[c], l.held[c] = now, 0
	l.warn(c, fields...)
}

// warn logs a reason with its remedy. Fields may have one that fits better.
func (l *Log) warn(c reason.Code, fields ...any) {
	all := append([]any{"reason", c.String()}, fields...)
	if r := c.Info().Remedy; r != "" && !slices.Contains(fields, any("remedy")) {
		all = append(all, "remedy", r)
	}
	l.log.Warn(c.Message(), all...)
}

// Note counts and logs events, in order.
func (l *Log) Note(events []reason.Event) {
	for _, e := range events {
		switch {
		case e.Code != reason.None:
			l.Report(e.Code, nil, e.Fields...)
		case e.Warn:
			l.log.Warn(e.Text, e.Fields...)
		default:
			l.log.Info(e.Text, e.Fields...)
		}
	}
}
