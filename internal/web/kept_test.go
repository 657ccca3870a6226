package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
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

// keepAll writes n seconds of all columns that refclockd has, and of four witnesses, and before them 2000
// events. It returns the first second, and the time of the first event.
func keepAll(t testing.TB, dir string, n int64) (from, first int64) {
	t.Helper()
	const apart = 43 // s, of events: fewer would be suppressed
	from = time.Now().Unix()/60*60 - n
	columns := history.ReferenceColumns()
	for i := range 4 {
		columns = append(columns, history.Column{Name: history.ColumnName(history.WitnessOf, fmt.Sprintf("%d.test", i)), Digits: 1})
	}
	historytest.Keep(t, dir, columns, func(add func(unix int64, values ...float64)) {
		values := make([]float64, len(columns))
		for i := range n {
			for c := range values {
				values[c] = 100 * float64(c+1) * math.Sin(float64(i*int64(c+7)))
			}
			add(from+i, values...)
		}
	})
	list := make([]events.Event, 2000)
	first = from - apart*int64(len(list))
	for i := range list {
		list[i] = events.Event{Time: time.Unix(first+apart*int64(i), 0).UTC(), Kind: events.State, Text: "locked to holdover", State: "holdover", Was: "locked", Reason: "no_pulses"}
	}
	historytest.Events(t, dir, list...)
	return from, first
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

// The answer that is written some series at a time is that of encoding/json.
func TestMeasurementsAreWrittenAsOneValue(t *testing.T) {
	t.Parallel()
	first := int64(5)
	for _, m := range []measurements{
		{},
		{Start: -1, Step: 1, Points: 2, Series: map[string]column{}, Damage: []string{}},
		{Series: map[string]column{"witness_ns:\"<null>": {Mean: values{1, math.NaN()}}}, First: &first, Damage: []string{"null", "2 octets"}},
		{Points: partValues / 2, Series: map[string]column{"b": {Min: values{1}, Mean: values{2}, Max: values{3}}, "a": {Mean: values{math.Inf(1)}}, "c": {}}},
	} {
		var b strings.Builder
		all, asked := m.Series, 0
		m.Series = nil
		err := m.write(&b, slices.Sorted(maps.Keys(all)), func(names ...string) (list []column, err error) {
			if asked += len(names); len(names)*m.Points > partValues {
				t.Errorf("%d series of %d points at once", len(names), m.Points)
			}
			for _, n := range names {
				list = append(list, all[n])
			}
			return list, nil
		})
		if err != nil || asked != len(all) {
			t.Fatal(asked, err)
		}
		if m.Series = all; all == nil {
			m.Series = map[string]column{}
		}
		if want, err := json.Marshal(m); err != nil || b.String() != string(want)+"\n" {
			t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
		}
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

// discard is a client that reads everything.
type discard struct{ header http.Header }

// Header implements http.ResponseWriter.
func (d *discard) Header() http.Header { return d.header }

// WriteHeader implements http.ResponseWriter.
func (d *discard) WriteHeader(int) {}

// Write implements io.Writer.
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// The largest answers, of a day, allocate no more than some megabytes each, however many octets they have
// and files that they read.
func TestAllocationOfTheLargestAnswers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	from, first := keepAll(t, dir, 86400)
	s := newServer(t, func(c *Config) { c.History = dir })
	for _, c := range []struct {
		path string
		most uint64 // octets
	}{
		{fmt.Sprintf("/api/v1/history?points=1500&from=%d&to=%d", from, from+86400), 8 << 20},
		{fmt.Sprintf("/api/v1/history?points=2000&from=%d&to=%d", from+3600, from+3600+16*3600), 9 << 20},
		{fmt.Sprintf("/api/v1/stability?from=%d&to=%d", from, from+86400), 2 << 20},
		{fmt.Sprintf("/api/v1/phase?from=%d&to=%d", from, from+86400), 5 << 20},
		{fmt.Sprintf("/api/v1/events?limit=300&from=%d", first), 2 << 20},
		{fmt.Sprintf("/api/v1/events?limit=2000&from=%d", first), 5 << 20},
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:9125"+c.path, nil)
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		s.ServeHTTP(&discard{http.Header{}}, r)
		runtime.ReadMemStats(&is)
		if got := is.TotalAlloc - was.TotalAlloc; got > c.most {
			t.Errorf("%s: %d octets were allocated, want at most %d", c.path, got, c.most)
		}
	}
}
