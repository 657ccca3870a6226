package main

import (
	"bytes"
	"fmt"
	"math"
	"noonmark/internal/simulate"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestSimulateScenario(t *testing.T) {
	sim := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(append([]string{"simulate"}, args...), nil, &out, &errs); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, &errs)
		}
		return out.String()
	}
	a := sim("-scenario", "kernel-pps", "-seed", "3", "-duration", "90s", "-csv", "-")
	b := sim("-scenario", "kernel-pps", "-seed", "3", "-duration", "90s", "-csv", "-")
	lines := strings.Split(strings.TrimSpace(a), "\n")
	if lines[0] != simulate.CSVHeader || len(lines) != 91 || a != b {
		t.Errorf("%d lines, the first %q; twice the same: %v", len(lines), lines[0], a == b)
	}
	f := strings.Split(lines[90], ",")
	off, _ := strconv.ParseFloat(f[1], 64)
	bound, _ := strconv.ParseFloat(f[5], 64)
	if f[0] != "90" || f[4] != "locked" || math.Abs(off) > bound || bound > 20_000 {
		t.Errorf("last line %q", lines[90])
	}
	path := filepath.Join(t.TempDir(), "x.csv")
	if s := sim("-scenario", "timehat-f9t", "-duration", "60s", "-csv", path); !strings.Contains(s, "times real time") {
		t.Errorf("summary: %s", s)
	}
	if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("\n")) != 61 {
		t.Errorf("csv file: %v", err)
	}
	if s := sim("-scenario", "era", "-seeds", "1-2", "-duration", "60s"); strings.Count(s, "\n") != 2 || !strings.Contains(s, "\nera                   2 ") {
		t.Errorf("table: %s", s)
	}
	if s := sim("-scenario", "list"); !strings.Contains(s, "holdover-24h") {
		t.Errorf("list: %s", s)
	}
}

func TestScenarioFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"bass = \"kernel-pps\"\n", "1: bass"},
		{"base = \"nonesuch\"\n", "1: base: no scenario \"nonesuch\""},
		{"duration = \"0s\"\n", "1: duration"},
		{"start = \"now\"\n", "1: start"},
		{"[[fault]]\nkind = \"gremlin\"\n", "2: fault[0].kind"},
		{"base = \"kernel-pps\"\nduration = \"40s\"\n[clock]\nwhite_fm_ppb = 1.0\n[[clock.ramp]]\nat = \"10s\"\nppb = 5.0\n[pulse]\njitter_ns = 5.0\n[[fault]]\nkind = \"no_pulse\"\nat = \"30s\"\nfor = \"5s\"\n", ""},
	} {
		p := filepath.Join(t.TempDir(), "s.toml")
		if err := os.WriteFile(p, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run([]string{"simulate", "-scenario", p}, nil, &out, &errs)
		if c.want == "" {
			if code != exitOK || !strings.Contains(out.String(), "40 s simulated") {
				t.Errorf("%q: exit code %d: %s%s", c.text, code, &out, &errs)
			}
		} else if code != 78 || !strings.Contains(errs.String(), p+":"+c.want) {
			t.Errorf("%q: exit code %d: %s", c.text, code, &errs)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"simulate", "-scenario", "nonesuch"}, nil, &out, &out); code != exitUsage {
		t.Errorf("unknown name: exit code %d", code)
	}
	if code := run([]string{"simulate", "-scenario", "era", "-servo", "guess"}, nil, &out, &out); code != exitUsage {
		t.Errorf("unknown servo: exit code %d", code)
	}
}

func TestSimulateSeries(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct{ text, want string }{
		{"", ":1: the header"},
		{"t,osc\n", ":1: the header"},
		{simulate.SeriesHeader + "\n", "no rows"},
		{simulate.SeriesHeader + "\n1,2,3,4\n", ":2: 4 fields"},
		{simulate.SeriesHeader + "\n1,2,x,,1\n", `:2: "x" is no number for pps_err_ns`},
		{simulate.SeriesHeader + "\n1,NaN,0,,1\n", ":2:"},
		{simulate.SeriesHeader + "\n1,0,0,,1\n3,0,0,,1\n", ":3: t_s is 3 after 1"},
		{simulate.SeriesHeader + "\n1,1e300,0,,1\n", ":2: a value is out of range"},
	} {
		p := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(p, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run([]string{"simulate", "-series", p}, nil, &out, &out); code != exitUnavailable || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: exit code %d: %s", c.text, code, &out)
		}
	}
	var b strings.Builder
	b.WriteString(simulate.SeriesHeader + "\n")
	for i := range 300 {
		q := ""
		if i%2 == 0 {
			q = "0"
		}
		present, e := 1, "0.5"
		if i >= 200 && i < 205 {
			present, e = 0, ""
		}
		fmt.Fprintf(&b, "%d,-1200.5,%s,%s,%d\n", 1000+i, e, q, present)
	}
	p := filepath.Join(dir, "good")
	if err := os.WriteFile(p, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"simulate", "-series", p}, nil, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 301 || lines[0] != simulate.CSVHeader || !strings.HasPrefix(lines[1], "1000,") || !strings.HasPrefix(lines[300], "1299,") {
		t.Fatalf("%d lines, %q ... %q", len(lines), lines[1], lines[len(lines)-1])
	}
	at := func(t int) []string { return strings.Split(lines[t-999], ",") }
	if f := at(1000); !strings.HasPrefix(f[1], "248799.5") { // 250 us at the start, and one second at -1200.5 ppb
		t.Errorf("first line %q", f)
	}
	if f := at(1150); f[4] != "locked" {
		t.Errorf("line %q", f)
	}
	if f := at(1202); f[2] != "" || f[4] == "unlocked" {
		t.Errorf("without a pulse: %q", f)
	}
	if off, _ := strconv.ParseFloat(at(1299)[1], 64); math.Abs(off) > 3 {
		t.Errorf("last line %q", at(1299))
	}
}
