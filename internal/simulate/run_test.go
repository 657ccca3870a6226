package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/proctest"
	"noonmark/refclock/sim"
)

// write makes a file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	return proctest.Write(t, filepath.Join(t.TempDir(), name), text)
}

// scenario returns a named scenario, cut short.
func scenario(t *testing.T, name string, d time.Duration) sim.Scenario {
	t.Helper()
	s, err := FindScenario(name)
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = d
	return s
}

func TestRunOfOneSeedIsReproducible(t *testing.T) {
	t.Parallel()
	play := func() string {
		var b bytes.Buffer
		r := Run{Scenario: scenario(t, "kernel-pps", 90*time.Second), Seed: 3, CSV: &b}
		if _, err := r.Play(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	a, b := play(), play()
	lines := strings.Split(strings.TrimSpace(a), "\n")
	if lines[0] != CSVHeader || len(lines) != 91 || a != b {
		t.Fatalf("%d lines, the first %q; both runs equal: %v", len(lines), lines[0], a == b)
	}
	f := strings.Split(lines[90], ",")
	off, _ := strconv.ParseFloat(f[1], 64)
	bound, _ := strconv.ParseFloat(f[5], 64)
	if f[0] != "90" || f[4] != "locked" || math.Abs(off) > bound || bound > 20_000 {
		t.Errorf("last line %q", lines[90])
	}
}

func TestJSONHasOneObjectASecondAndASummary(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := Run{Scenario: scenario(t, "timehat-f9t", 60*time.Second), Seed: 1, JSON: &b}
	if _, err := r.Play(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 61 {
		t.Fatalf("%d lines, want 60 seconds and a summary", len(lines))
	}
	for i, keys := range map[int][]string{
		0:  {"t", "state", "reason", "served", "error_ns", "bound_ns", "stratum"},
		59: {"t", "state", "reason", "served", "error_ns", "bound_ns", "stratum"},
		60: {"summary", "served_s", "served_wrong_s", "outside_bound_s", "locked_after_s", "worst_error_ns", "final_state"},
	} {
		var o map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &o); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if _, ok := o[k]; !ok {
				t.Errorf("line %d lacks %s: %s", i, k, lines[i])
			}
		}
		if len(o) != len(keys) {
			t.Errorf("line %d has %d keys, want %d", i, len(o), len(keys))
		}
	}
	var first, last Second
	var s Summary
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[59]), &last), json.Unmarshal([]byte(lines[60]), &s)); err != nil {
		t.Fatal(err)
	}
	if first.T != 1 || first.Served || first.BoundNS != nil || first.Stratum != 16 {
		t.Errorf("first second %+v", first)
	}
	if !last.Served || last.BoundNS == nil || last.Stratum != 1 || last.State != "locked" {
		t.Errorf("last second %+v", last)
	}
	if s.ServedS < 30 || s.WrongS != 0 || s.OutsideS != 0 || s.LockedAfterS == nil || *s.LockedAfterS > 30 || s.FinalState != "locked" {
		t.Errorf("summary %+v", s)
	}
}

// The instant of a leap second is not counted as an error of one second.
func TestLeapSecondIsNoError(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := Run{Scenario: scenario(t, "leap-second", 45*time.Minute), Seed: 1, JSON: &b}
	if _, err := r.Play(); err != nil {
		t.Fatal(err)
	}
	var s Summary
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatal(err)
	}
	if s.WrongS != 0 || s.OutsideS != 0 || s.ServedS < 2400 {
		t.Errorf("summary %+v", s)
	}
}

func TestSummaryWithoutTheTruthCountsNoErrors(t *testing.T) {
	t.Parallel()
	bound := int64(1000)
	var s Summary
	s.Add(Second{T: 2, Served: true, State: "locked", BoundNS: &bound})
	if s.ServedS != 1 || s.WrongS != 0 || s.OutsideS != 0 || s.LockedAfterS == nil || *s.LockedAfterS != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSummaryCounts(t *testing.T) {
	t.Parallel()
	ns := func(v int64) *int64 { return &v }
	bound := int64(1000)
	var s Summary
	for _, x := range []Second{
		{T: 1, State: "unlocked", ErrorNS: ns(5e9)},
		{T: 2, Served: true, State: "locked", ErrorNS: ns(-2e6), BoundNS: &bound},
		{T: 3, Served: true, State: "locked", ErrorNS: ns(999), BoundNS: &bound},
		{T: 4, Served: true, State: "locked", ErrorNS: ns(-1001), BoundNS: &bound},
		{T: 5, Served: true, State: "locked", ErrorNS: ns(1)},
		{T: 6, State: "holdover", ErrorNS: ns(7e6)},
	} {
		s.Add(x)
	}
	if s.LockedAfterS == nil || *s.LockedAfterS != 3 {
		t.Errorf("locked_after_s is not 3: %+v", s)
	}
	s.LockedAfterS = nil
	if want := (Summary{Summary: true, ServedS: 4, WrongS: 1, OutsideS: 3, WorstNS: 2e6, FinalState: "holdover"}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

func TestRecorderReportsWriteError(t *testing.T) {
	t.Parallel()
	r := NewRecorder(failing{})
	r.Add(Second{Served: true})
	if s, err := r.Finish(); !errors.Is(err, errFull) || s.ServedS != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestTableHasALineAScenario(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Table(&b, []sim.Scenario{scenario(t, "era", time.Minute)}, 1, 2); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "\nera                   2 ") {
		t.Errorf("table: %s", s)
	}
}

func TestStatisticsOfARunNeverServed(t *testing.T) {
	t.Parallel()
	r := Run{Scenario: scenario(t, "cold-start", 2*time.Second), Seed: 1}
	st, err := r.Play()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := st.Print(&b); err != nil || !strings.Contains(b.String(), "synchronised 0 s, never, now ") {
		t.Errorf("%v: %s", err, &b)
	}
}

func TestScenarioFile(t *testing.T) {
	t.Parallel()
	if _, err := FindScenario("nonesuch"); !errors.Is(err, ErrScenario) {
		t.Errorf("unknown name: %v", err)
	}
	for _, c := range []struct{ text, want string }{
		{"bass = \"kernel-pps\"\n", "1: bass"},
		{"base = \"nonesuch\"\n", "1: base: no scenario \"nonesuch\""},
		{"duration = \"0s\"\n", "1: duration"},
		{"duration = \"9601h\"\n", "1: duration"},
		{"start = \"now\"\n", "1: start"},
		{"start = \"2026-11-23T12:00:00.5Z\"\n", "1: start"},
		{"[[fault]]\nkind = \"gremlin\"\n", "2: fault[0].kind"},
		{"start = \"now\"\nduration = \"0s\"\n", "2: duration"}, // both are reported
	} {
		p := write(t, "s.toml", c.text)
		_, err := FindScenario(p)
		var ce *config.Error
		if err == nil || !errors.As(err, &ce) || !strings.Contains(err.Error(), p+":"+c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	p := write(t, "s.toml", "base = \"kernel-pps\"\nduration = \"40s\"\nstart = \"2030-01-01T00:00:00Z\"\n[clock]\nwhite_fm_ppb = 1.0\n[[clock.ramp]]\nat = \"10s\"\nppb = 5.0\n"+
		"[pulse]\njitter_ns = 5.0\nwander_tau = \"1m\"\n[receiver]\nbaud = 4800\n[[fault]]\nkind = \"no_pulse\"\nat = \"30s\"\nfor = \"5s\"\n")
	s, err := FindScenario(p)
	if err != nil {
		t.Fatal(err)
	}
	base := scenario(t, "kernel-pps", 0)
	c := &s.Config
	if s.Duration != 40*time.Second || c.Clock.Noise.WhitePPB != 1 || c.Clock.Noise.OffsetPPB != base.Config.Clock.Noise.OffsetPPB || len(c.Clock.Noise.Ramps) != 1 ||
		c.Pulse.JitterNS != 5 || c.Pulse.WanderS != 60 || c.Receiver.Baud != 4800 || len(c.Pulse.Faults) != 1 || len(c.Receiver.Faults) != 1 ||
		!c.Clock.Truth.UTC(37).Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", c)
	}
}

func TestMalformedSeriesAreRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := ReadSeries(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, c := range []struct{ text, want string }{
		{"", ":1: the header"},
		{"t,osc\n", ":1: the header"},
		{SeriesHeader + "\n", "no rows"},
		{SeriesHeader + "\n1,2,3,4\n", ":2: 4 fields"},
		{SeriesHeader + "\n1,2,x,,1\n", `:2: "x" is no number for pps_err_ns`},
		{SeriesHeader + "\n1,2,,,1\n", `:2: "" is no number for pps_err_ns`},
		{SeriesHeader + "\n1,NaN,0,,1\n", ":2:"},
		{SeriesHeader + "\n1,0,inf,,1\n", ":2:"},
		{SeriesHeader + "\n1,0,0,,1\n3,0,0,,1\n", ":3: t_s is 3 after 1"},
		{SeriesHeader + "\n1,1e300,0,,1\n", ":2: a value is out of range"},
	} {
		if _, _, err := ReadSeries(write(t, "s.csv", c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestSeriesKeepsItsOwnTimes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(SeriesHeader + "\n")
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
	sc, t0, err := ReadSeries(write(t, "s.csv", b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := (&Run{Scenario: sc, Seed: 1, T0: t0, CSV: &out}).Play(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 301 || lines[0] != CSVHeader || !strings.HasPrefix(lines[1], "1000,") || !strings.HasPrefix(lines[300], "1299,") {
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
