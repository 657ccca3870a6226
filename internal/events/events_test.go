package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func appendAll(t *testing.T, l *Log, n int, from time.Time, every time.Duration) {
	t.Helper()
	for i := range n {
		now := from.Add(time.Duration(i) * every)
		if err := l.Append(Event{Time: now, Kind: State, Text: fmt.Sprint("event ", i), State: "locked"}, now); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, dir string, q Query) []Event {
	t.Helper()
	found, skipped, err := Read(dir, q)
	if err != nil || skipped > 0 {
		t.Fatal(skipped, err)
	}
	return found
}

func TestEventsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	if found := read(t, dir, Query{}); found != nil {
		t.Errorf("%v of no directory", found)
	}
	l := NewLog(dir)
	bound, held, offset := int64(1200), 61.5, -3.25
	want := Event{Time: at, Kind: Holdover, Text: "holdover of 61 s", Reason: "no_pulse", State: "locked", DurationS: &held, BoundNS: &bound, OffsetNS: &offset}
	if err := l.Append(want, at); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 5, at.Add(time.Minute), time.Minute)
	found := read(t, dir, Query{})
	got, _ := json.Marshal(found[0])
	exp, _ := json.Marshal(want)
	if len(found) != 6 || string(got) != string(exp) {
		t.Errorf("%d events, the first %s, want %s", len(found), got, exp)
	}
	for _, x := range []struct {
		q    Query
		want int
	}{
		{Query{Kinds: []Kind{Step}}, 0}, {Query{Kinds: []Kind{State}}, 5}, {Query{Limit: 2}, 2},
		{Query{From: at.Add(2 * time.Minute)}, 4}, {Query{To: at.Add(2 * time.Minute)}, 2},
		{Query{From: at.Add(time.Minute), To: at.Add(3 * time.Minute)}, 2},
	} {
		if n := len(read(t, dir, x.q)); n != x.want {
			t.Errorf("%+v: %d events, want %d", x.q, n, x.want)
		}
	}
	if last := read(t, dir, Query{Limit: 1}); last[0].Text != "event 4" {
		t.Errorf("the latest is %q", last[0].Text)
	}
}

func TestTooManyEventsAreSuppressedAndCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := NewLog(dir)
	appendAll(t, l, 5000, at, 200*time.Millisecond)
	found := read(t, dir, Query{})
	const most = burst + 1000/10 + 1
	if len(found) < most-5 || len(found) > most {
		t.Errorf("%d events of 1000 s, want about %d", len(found), most)
	}
	total := uint64(len(found))
	for _, e := range found {
		total += e.Suppressed
	}
	if total+l.suppressed != 5000 {
		t.Errorf("%d events are accounted for", total+l.suppressed)
	}
}

func TestOldFilesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := NewLog(dir)
	l.sync = func(*os.File) error { return nil } // thousands of events
	now, long := at, strings.Repeat("x", maxText)
	for i := range 9 * maxSize / 4200 {
		now = now.Add(interval)
		if err := l.Append(Event{Time: now, Kind: Alarm, Text: fmt.Sprint(i), Name: long, Reason: long, Detail: long, Remedy: long + long}, now); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != older+1 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if fi, err := e.Info(); err != nil || fi.Size() > maxSize {
			t.Error(fi, err)
		}
	}
	found := read(t, dir, Query{})
	for i := 1; i < len(found); i++ {
		if !found[i].Time.After(found[i-1].Time) {
			t.Fatalf("event %d comes before the one before it", i)
		}
	}
	if last := found[len(found)-1]; !last.Time.Equal(now) || len(found) < 3*maxSize/4200 {
		t.Errorf("%d events, the last of %v", len(found), last.Time)
	}
}

func TestDamagedLinesAreSkipped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := strings.Join([]string{
		"", "{", "null", "[]", `{"time":"2026-11-28T12:00:00Z"}`, `{"kind":"state"}`, `{"time":"never","kind":"state"}`,
		`{"kind":"state","time":"2026-11-28T12:00:00Z","text":"` + strings.Repeat("x", maxLine) + `"}`, "\x00\xff",
		`{"kind":"state","time":"2026-11-28T12:00:00Z","text":"good"}`, `{"kind":"state","time":"2026-11-28T12:00`,
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	// The torn line at the end does not spoil the next one.
	if err := NewLog(dir).Append(Event{Time: at, Kind: Start}, at); err != nil {
		t.Fatal(err)
	}
	found, skipped, err := Read(dir, Query{})
	if err != nil || len(found) != 2 || skipped != 9 || found[0].Text != "good" || found[1].Kind != Start {
		t.Errorf("%d events, %d skipped, %v", len(found), skipped, err)
	}
	if err := os.Mkdir(filepath.Join(dir, olderName(1)), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(dir, Query{}); err == nil {
		t.Error("a directory is read as a file")
	}
}

func TestTailFollowsOverRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, n := NewLog(dir), 0
	next := func(tail *Tail, want ...string) {
		t.Helper()
		found, err := tail.Next()
		if err != nil || len(found) != len(want) {
			t.Fatalf("%v, %v; want %q", found, err, want)
		}
		for i, e := range found {
			if e.Text != want[i] {
				t.Errorf("%q, want %q", e.Text, want[i])
			}
		}
	}
	put := func(text string) {
		t.Helper()
		n++
		if err := l.Append(Event{Time: at, Kind: Step, Text: text}, at.Add(time.Duration(n)*interval)); err != nil {
			t.Fatal(err)
		}
	}
	early := NewTail(dir)
	next(early)
	put("a")
	next(early, "a")
	tail := NewTail(dir)
	put("b")
	put("c")
	next(tail, "b", "c")
	next(tail)
	put("d")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.rotate(); err != nil {
		t.Fatal(err)
	}
	put("e")
	next(tail, "d", "e")
	next(early, "b", "c", "d", "e")
}

func TestAnEventThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := NewLog(filepath.Join(dir, "file", "below"))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Event{Time: at, Kind: Start}, at); err == nil {
		t.Error("no error")
	}
	if l.tokens != burst {
		t.Errorf("%v of %v tokens: an event that was not written counts as one", l.tokens, float64(burst))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-28T12:00:00Z","kind":"state","text":"x"}` + "\n"))
	f.Add([]byte("{}\nnull\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var found []Event
		whole, skipped, err := parse(iotest.OneByteReader(bytes.NewReader(b)), func(e *Event) { found = append(found, *e) })
		if lines := bytes.Count(b, []byte("\n")); err != nil || int(whole) != bytes.LastIndexByte(b, '\n')+1 || len(found)+skipped > lines {
			t.Error(len(found), whole, skipped, err)
		}
		for _, e := range found {
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestKindsOfACommandLine(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]Kind{"": nil, "step": {Step}, "step,holdover,": {Step, Holdover}} {
		if got, err := ParseKinds(list); err != nil || !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	if _, err := ParseKinds("step,stop it"); err == nil || !strings.Contains(err.Error(), `"stop it" is no kind of event; want some of ["start" `) {
		t.Error(err)
	}
}
