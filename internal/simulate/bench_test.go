package simulate

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
	"noonmark/refclock/discipline"
)

func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		lo, hi uint64
		ok     bool
	}{
		{"", 0, 0, false}, {"x", 0, 0, false}, {"3-1", 0, 0, false}, {"1-", 0, 0, false}, {"-3", 0, 0, false},
		{"1-2-3", 0, 0, false}, {"1-100000", 0, 0, false}, {"7", 7, 7, true}, {"1-20", 1, 20, true},
	} {
		lo, hi, err := parseSeeds(c.text)
		if (err == nil) != c.ok || lo != c.lo || hi != c.hi {
			t.Errorf("%q: %d to %d, %v", c.text, lo, hi, err)
		}
	}
}

// Old figures stay comparable.
func TestBenchNoiseOfASeedNeverChanges(t *testing.T) {
	t.Parallel()
	s := benchScenarios()[0]
	v := s.series(1)
	sum := 0.0
	for _, x := range v.y {
		sum += x
	}
	if got := [...]float64{math.Round(v.y[0] * 1e6), math.Round(v.noise[0] * 1e3), math.Round(sum / float64(len(v.y)))}; got != [...]float64{9996732605, -1060, 10093} {
		t.Errorf("seed 1 of %s begins with %.0f, other numbers than before", s.name, got)
	}
	if len(v.y) != 25200 || v.ok[14400] || !v.ok[15000] || v.ok[21599] {
		t.Error("the outages have moved")
	}
}

// TestServoIsNearTheLimit compares the discipline with the limit of theory in the
// quick scenarios of the table in docs/servo.md.
func TestServoIsNearTheLimit(t *testing.T) {
	t.Parallel()
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	cfg := discipline.Config{GivenSecond: true, Confirm: 2}
	for _, c := range []struct {
		name           string
		rms            float64 // times the limit's
		us, hundred    float64 // s until 1 us and 100 ns are kept, at most
		hold           float64 // times the limit's, of 600 and 3600 s together: one draw is a matter of luck
		outside, bound float64 // part of the seconds; median bound over 99.9th percentile
	}{
		{"tcxo-50", 1.3, 10, 60, 1.5, 0.001, 5},
		{"ocxo-50", 1.3, 10, 60, 1.5, 0.001, 5},
		{"ocxo-500s", 2, 20, math.Inf(1), 1.5, 0.001, 5},
	} {
		for _, s := range benchScenarios() {
			if s.name != c.name {
				continue
			}
			r := benchOf(cfg, &s, 2, 2)
			o, l := r.ours[0], r.limit[0]
			hold := (o[9] + o[10]) / (l[9] + l[10])
			t.Logf("%s seed 2: rms %.2f ns, limit %.2f; holdover %.2f times the limit's", c.name, o[0], l[0], hold)
			if o[0] > c.rms*l[0] || o[4] > c.us || o[5] > c.hundred || hold > c.hold || r.outside > c.outside || r.ratio > c.bound {
				t.Errorf("%s seed 2: %.2f\nlimit %.2f\noutside %.5f, bound %.2f times the 99.9th percentile", c.name, o, l, r.outside, r.ratio)
			}
		}
	}
}

func TestBenchPrintsTheLimitBesideTheServo(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Bench(&b, lockStepConfig("pi"), "ocxo-5", "x"); !errors.Is(err, exitcode.ErrUsage) || b.Len() > 0 {
		t.Errorf("no seeds: %v\n%s", err, &b)
	}
	if err := Bench(&b, lockStepConfig("pi"), "none", "1"); !errors.Is(err, exitcode.ErrUsage) || !errors.Is(err, ErrScenario) || b.Len() > 0 {
		t.Errorf("unknown scenario: %v %s", err, &b)
	}
	if err := Bench(&b, lockStepConfig("pi"), "ocxo-5", "1"); err != nil || strings.Count(b.String(), "\n") != 4 || !strings.Contains(b.String(), "ocxo-5     pi ") {
		t.Errorf("%v: %s", err, &b)
	}
}
