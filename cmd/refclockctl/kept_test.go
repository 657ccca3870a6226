package main

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/exitcode"
	"noonmark/internal/history"
	"noonmark/internal/history/historytest"
)

// keep writes ten minutes of a history, with a gap, and returns its folder and its
// first second.
func keep(t *testing.T) (dir string, begin time.Time) {
	t.Helper()
	dir, begin = t.TempDir(), time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	columns := []history.Column{{Name: history.Bound, Digits: 0}, {Name: history.Offset, Digits: 2}, {Name: history.WitnessOf + "a,b", Digits: 1}}
	historytest.Keep(t, dir, columns, func(add func(unix int64, values ...float64)) {
		for s := range int64(600) {
			if s >= 300 && s < 360 {
				continue
			}
			offset := float64(s)
			if s == 10 {
				offset = math.NaN()
			}
			add(begin.Unix()+s, 100, offset, -4.5)
		}
	})
	historytest.Events(t, dir,
		events.Event{Time: begin, Kind: events.Start, Text: "refclockd started"},
		events.Event{Time: begin.Add(time.Minute), Kind: events.State, Text: "locked: disciplined", State: "locked"},
		events.Event{Time: begin.Add(2 * time.Minute), Kind: events.Alarm, Reason: "spoofing", Text: "\x1b[2Jevil", Name: "x", Remedy: "look"},
	)
	return dir, begin
}

func TestHistoryAsCSV(t *testing.T) {
	t.Parallel()
	dir, _ := keep(t)
	rows := func(args ...string) [][]string {
		t.Helper()
		r, err := csv.NewReader(strings.NewReader(must(t, append([]string{"history", "-csv", "-dir", dir}, args...)...))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := rows("-from", "2026-11-28T12:00:00Z", "-to", "2026-11-28T12:10:00Z")
	if len(r) != 541 || strings.Join(r[0], "|") != "time|offset_ns|bound_ns|witness_ns:a,b" {
		t.Fatalf("%d rows, %q", len(r), r[0])
	}
	if got := strings.Join(r[11], "|"); got != "2026-11-28T12:00:10Z||100|-4.5" {
		t.Errorf("the second without an offset: %s", got)
	}
	r = rows("-from", "2026-11-28T12:00", "-to", "2026-11-28T12:10", "-points", "10", "-columns", "offset_ns")
	if len(r) != 10 || strings.Join(r[0], "|") != "time|offset_ns|offset_ns_min|offset_ns_max" || strings.Join(r[9], "|") != "2026-11-28T12:09:00Z|569.5|540|599" {
		t.Errorf("%q", r)
	}
}

func TestHistoryForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	dir, begin := keep(t)
	out := must(t, "history", "-dir", dir, "-from", "2026-11-28T12:00:00Z", "-to", "2026-11-28T12:10:00Z")
	for _, want := range []string{"steps of 1s", "offset_ns", "599", "90.0%", "89.8%"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var j struct {
		Start  int64 `json:"start"`
		Step   int64 `json:"step_s"`
		Points int   `json:"points"`
		Series map[string]struct{ Min, Mean, Max []*float64 }
	}
	out = must(t, "history", "-json", "-dir", dir, "-from", "2026-11-28T12:00:00Z", "-to", "2026-11-28T12:10:00Z")
	if err := json.Unmarshal([]byte(out), &j); err != nil || j.Start != begin.Unix() || j.Step != 1 || j.Points != 600 {
		t.Fatal(err, out)
	}
	if s := j.Series["offset_ns"].Mean; len(s) != 600 || s[10] != nil || s[300] != nil || *s[599] != 599 {
		t.Errorf("%v", s)
	}
	// What is damaged is named, and the rest is shown.
	path := filepath.Join(dir, "2026-11-28.sec")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := ctl("history", "-csv", "-dir", dir, "-from", "2026-11-28T12:00:00Z", "-to", "2026-11-28T12:10:00Z", "-columns", "offset_ns,none")
	if code != 0 || !strings.Contains(errs, "damage in 2026-11-28.sec") || !strings.Contains(errs, `no value of "none"`) || strings.Count(out, "\n") < 400 {
		t.Errorf("%d %s %d lines", code, errs, strings.Count(out, "\n"))
	}
}

func TestEventsForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	dir, _ := keep(t)
	out := must(t, "events", "-dir", dir)
	if strings.Count(out, "\n") != 3 || strings.Contains(out, "\x1b") || !strings.Contains(out, "2026-11-28T12:01:00.000Z state    locked: disciplined") || !strings.Contains(out, "(spoofing), x; remedy: look") {
		t.Errorf("%q", out)
	}
	out = must(t, "events", "-json", "-dir", dir, "-kind", "state,step")
	var e events.Event
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.State != "locked" || strings.Count(out, "\n") != 1 {
		t.Errorf("%v %q", err, out)
	}
	if out = must(t, "events", "-dir", dir, "-from", "2026-11-28T12:01:30Z"); strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
}

func TestHistoryAndEventsRefuse(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		args []string
		code int
	}{
		{[]string{"events", "-kind", "nonsense", "-dir", "."}, exitcode.Usage},
		{[]string{"events", "-n", "0", "-dir", "."}, exitcode.Usage},
		{[]string{"events", "-from", "yesterday"}, exitcode.Usage},
		{[]string{"events", "-from", "-5m"}, exitcode.Usage},
		{[]string{"events", "-config", "/nonexistent.toml"}, exitcode.NoInput},
		{[]string{"history", "-csv", "-json", "-dir", "."}, exitcode.Usage},
		{[]string{"history", "-points", "0", "-dir", "."}, exitcode.Usage},
		{[]string{"history", "-from", "1h", "-to", "2h", "-dir", "."}, exitcode.Usage},
		{[]string{"history", "-dir", "/nonexistent"}, exitcode.NoInput},
		{[]string{"history", "surplus"}, exitcode.Usage},
	} {
		if code, out, errs := ctl(x.args...); code != x.code || out != "" || errs == "" {
			t.Errorf("%q: exit code %d, want %d: %s%s", x.args, code, x.code, out, errs)
		}
	}
}

func TestStabilityOfKeptMeasurements(t *testing.T) {
	t.Parallel()
	dir, begin := keep(t)
	span := []string{"stability", "-dir", dir, "-from", begin.Format(time.RFC3339), "-to", begin.Add(10 * time.Minute).Format(time.RFC3339)}
	out := must(t, append(span, "-mask", "prtc-b")...)
	// The offset rises by a ns a second: MTIE is tau, and ADEV that of a line.
	for _, want := range []string{"offset_ns, 600 s from 2026-11-28T12:00:00Z, 61 of them missing", "      100   0.0000e+00", "violates prtc-b: time error 14.97", " MTIE 2.50"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var j struct {
		Data, Gaps int
		Points     []struct {
			Tau  float64  `json:"tau_s"`
			MTIE *float64 `json:"mtie_ns"`
		}
		Mask struct{ Within bool }
	}
	out = must(t, append(span, "-json", "-mask", "prtc-a", "-column", "witness_ns:a,b")...)
	if err := json.Unmarshal([]byte(out), &j); err != nil || j.Data != 600 || j.Gaps != 60 || len(j.Points) != 7 || *j.Points[3].MTIE != 0 || !j.Mask.Within {
		t.Errorf("%v: %s", err, out)
	}
	if out = must(t, append(span, "-export", "stable32")...); strings.Count(out, "\n") != 600 || !strings.HasPrefix(out, "1.0e-18\n1.00000000000e-09\n") || strings.Count(out, "\n0\n") != 31 { // one gap, and 60 in a row, each pair of which shares a line
		t.Errorf("%d lines, %d gaps", strings.Count(out, "\n"), strings.Count(out, "\n0\n"))
	}
	if out = must(t, append(span, "-export", "csv")...); !strings.Contains(out, "\n2026-11-28T12:00:10Z,\n2026-11-28T12:00:11Z,11.00\n") {
		t.Errorf("%.300s", out)
	}
	for _, x := range []struct {
		args []string
		code int
	}{
		{[]string{"-mask", "prtc-z"}, exitcode.Usage}, {[]string{"-export", "xls"}, exitcode.Usage}, {[]string{"-column", "none"}, exitcode.NoInput}, {[]string{"-from", "100d", "-to", "1d"}, exitcode.Usage},
	} {
		if code, _, errs := ctl(append([]string{"stability", "-dir", dir}, x.args...)...); code != x.code || errs == "" {
			t.Errorf("%q: exit code %d, want %d: %s", x.args, code, x.code, errs)
		}
	}
}
