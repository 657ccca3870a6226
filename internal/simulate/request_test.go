package simulate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/exitcode"
)

func TestWhatARequestHasWrong(t *testing.T) {
	t.Parallel()
	bad := write(t, "bad.csv", "t,osc\n")
	for _, x := range []struct {
		q    Request
		want error
		says string
	}{
		{Request{Scenario: "nonesuch", Servo: "kalman"}, exitcode.ErrUsage, `"nonesuch"`},
		{Request{Scenario: "nonesuch", Seeds: "1-2", Servo: "kalman"}, exitcode.ErrUsage, `"nonesuch"`},
		{Request{Scenario: "era", Servo: "guess"}, exitcode.ErrUsage, "guess"},
		{Request{Scenario: AllScenarios, Servo: "guess"}, exitcode.ErrUsage, "guess"},
		{Request{Scenario: "era", Seeds: "2-1", Servo: "kalman"}, exitcode.ErrUsage, `"2-1"`},
		{Request{Series: bad, Servo: "kalman"}, ErrSeries, "bad.csv:1: "},
		{Request{Series: filepath.Join(t.TempDir(), "none"), Servo: "kalman"}, fs.ErrNotExist, "none"},
		{Request{Scenario: "era", Servo: "kalman", CSV: filepath.Join(t.TempDir(), "none", "out.csv")}, fs.ErrNotExist, "out.csv"},
	} {
		var out, errs strings.Builder
		if err := x.q.Run(&out, &errs); !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.says) || out.Len()+errs.Len() > 0 {
			t.Errorf("%+v: %v, want %v with %q; it prints %q %q", x.q, err, x.want, x.says, &out, &errs)
		}
	}
}

func TestWhereSecondsAndFiguresGo(t *testing.T) {
	t.Parallel()
	series := write(t, "series.csv", SeriesHeader+"\n0,1,5,,1\n1,1,-5,,1\n2,1,3,,1\n")
	const figures = " s simulated, "
	file := filepath.Join(t.TempDir(), "out.csv")
	era := Request{Scenario: "era", Seed: 1, Duration: 3 * time.Second, Servo: "pi"}
	csvOut, csvFile, js, table := era, era, era, era
	csvOut.CSV, csvFile.CSV, js.JSON, table.Seeds = "-", file, true, "1-2"
	for _, x := range []struct {
		name      string
		q         Request
		lines     int // of the output
		out, errs string
	}{
		{"figures", era, 5, figures, ""},
		{"CSV", csvOut, 4, CSVHeader, figures},
		{"CSV in a file", csvFile, 5, figures, ""},
		{"JSON", js, 4, `"summary":true`, ""},
		{"a series", Request{Series: series, Servo: "kalman"}, 4, CSVHeader, figures},
		{"a series as JSON", Request{Series: series, Servo: "kalman", JSON: true}, 4, `"summary":true`, ""},
		{"a table", table, 2, "\nera ", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var out, errs strings.Builder
			if err := x.q.Run(&out, &errs); err != nil {
				t.Fatal(err)
			}
			if strings.Count(out.String(), "\n") != x.lines || !strings.Contains(out.String(), x.out) || !strings.Contains(errs.String(), x.errs) || (errs.Len() > 0) != (x.errs != "") {
				t.Errorf("want %d lines with %q, and %q:\n%s\n%s", x.lines, x.out, x.errs, &out, &errs)
			}
			if x.q.CSV == file {
				if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "\n") != 4 {
					t.Errorf("%v: %s", err, b)
				}
			}
		})
	}
}
