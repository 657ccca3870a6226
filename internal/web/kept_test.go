package web

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/history/historytest"
)

// keep writes n seconds of measurements from a POSIX time on, and two events, as
// refclockd does.
func keep(t *testing.T, from int64, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "history")
	columns := []history.Column{{Name: history.Offset, Digits: 1}, {Name: history.Bound}, {Name: history.State}}
	historytest.Keep(t, dir, columns, func(add func(unix int64, values ...float64)) {
		for i := range n {
			offset := 10 * math.Sin(float64(i))
			if i%10 == 9 {
				offset = math.NaN()
			}
			add(from+int64(i), offset, 100, 2)
		}
	})
	historytest.Events(t, dir,
		events.Event{Time: time.Unix(from, 0).UTC(), Kind: events.Start, Text: "started"},
		events.Event{Time: time.Unix(from+60, 0).UTC(), Kind: events.State, Text: "locked", State: "locked", Was: "acquiring"},
	)
	return dir
}

func TestKeptMeasurementsAndEvents(t *testing.T) {
	t.Parallel()
	const from = 1790000000 - 1790000000%3600
	dir := keep(t, from, 600)
	s := newServer(t, func(c *Config) { c.History = dir })
	base := "?from=1789999200&to=1789999800"
	if from != 1789999200 {
		t.Fatalf("the test begins at %d", int64(from))
	}
	for _, c := range []struct {
		path string
		code int
		says string
	}{
		{"/api/v1/history?from=x", 400, "bad_query"},
		{"/api/v1/history?from=1e300", 400, "bad_query"},
		{"/api/v1/history?from=NaN", 400, "bad_query"},
		{"/api/v1/history?from=20&to=10", 400, "bad_query"},
		{"/api/v1/history" + base + "&points=1", 400, "bad_query"},
		{"/api/v1/history" + base + "&points=2001", 400, "bad_query"},
		{"/api/v1/history" + base + "&columns=" + strings.Repeat("a,", maxColumns) + "a", 400, "bad_query"},
		{"/api/v1/history?from=1&from=2&to=3", 400, "bad_query"},
		{"/api/v1/events?limit=0", 400, "bad_query"},
		{"/api/v1/events?kinds=nonsense", 400, "bad_query"},
		{"/api/v1/stability?from=0&to=200000", 400, "bad_query"},
		{"/api/v1/phase" + base + "&format=exe", 400, "bad_query"},
		{"/api/v1/phase" + base + "&column=nothing", 503, "there are no seconds of"},
		{"/api/v1/stability?from=10&to=20", 503, "there are no seconds of"},
		{"/api/v1/history" + base, 200, `"step_s":1,"points":600`},
		{"/api/v1/history" + base + "&points=20", 200, `"min":[`},
		{"/api/v1/events?from=0&to=2026-09-22T00:00:00Z", 200, `"kind":"start"`},
		{"/api/v1/events?from=0&to=2026-09-22T00:00:00Z&kinds=state", 200, `{"events":[{"time":"2026-09-21T14:01:00Z","kind":"state"`},
		{"/api/v1/stability" + base, 200, `"data":600,"gaps":60`},
		{"/api/v1/phase" + base, 200, "2026-09-21T14:00:01"},
		{"/api/v1/phase" + base + "&format=stable32", 200, "e-09"},
	} {
		w := ask(s, at(c.path))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %.300s, want %d and %q", c.path, w.Code, w.Body, c.code, c.says)
		}
	}
	var m struct { // as a client reads it
		Series map[string]struct{ Mean []*float64 }
		First  *int64
	}
	if err := json.Unmarshal(ask(s, at("/api/v1/history"+base+"&columns=offset_ns,bound_ns")).Body.Bytes(), &m); err != nil || len(m.Series) != 2 || m.First == nil || *m.First > from {
		t.Fatalf("%v: %d series, first %v", err, len(m.Series), m.First)
	}
	o := m.Series[history.Offset].Mean
	if o[9] != nil || o[1] == nil || math.Abs(*o[1]-8.4) > .05 || *m.Series[history.Bound].Mean[9] != 100 {
		t.Errorf("a missing value is not null, or values are not those that were kept")
	}
}

// A history that is not there is empty.
func TestNoHistoryIsNoError(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.History = "/nonexistent/history" })
	if w := ask(s, at("/api/v1/events")); w.Code != 200 || !strings.Contains(w.Body.String(), `"events":[]`) {
		t.Errorf("events: %d %s", w.Code, w.Body)
	}
	if w := ask(s, at("/api/v1/history")); w.Code != 200 && w.Code != 503 {
		t.Errorf("history: %d %s", w.Code, w.Body)
	}
}
