// Package historytest writes histories and events for tests.
package historytest

import (
	"testing"

	"noonmark/internal/events"
	"noonmark/internal/history"
)

// Keep writes a history of some columns into a folder. fill adds seconds, POSIX time in
// rising order, with a value for each column; NaN is one that is missing.
func Keep(t testing.TB, dir string, columns []history.Column, fill func(add func(unix int64, values ...float64))) {
	t.Helper()
	w, err := history.NewWriter(history.Options{Dir: dir, Columns: columns})
	if err != nil {
		t.Fatal(err)
	}
	b, err := history.NewBatch(columns)
	if err != nil {
		t.Fatal(err)
	}
	put := func(m *history.Minute) {
		if m == nil {
			return
		}
		if written, err := w.Append(m); !written || err != nil {
			t.Fatalf("minute %+v: written %v, %v", m, written, err)
		}
	}
	fill(func(unix int64, values ...float64) { put(b.Add(unix, values)) })
	put(b.Close())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Events writes events into a folder.
func Events(t testing.TB, dir string, list ...events.Event) {
	t.Helper()
	log := events.NewLog(dir)
	for _, e := range list {
		if err := log.Append(e, e.Time); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
