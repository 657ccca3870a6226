package report

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/refclock/reason"
)

// A coefficient of a good oscillator is far below 0.001 ppb. It must not become 0, which
// means that it is not known.
func TestSmallCoefficientsKeepTheirDigits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ v, want float64 }{
		{0, 0},
		{math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
		{-0.000_012_345_6, -0.000_012_35},
		{0.000_4, 0.000_4},
		{-12.345_678, -12.35},
		{98_765.432, 98_770},
	} {
		var r Report
		r.Discipline.TempPPB, r.Discipline.AgeingPPB = c.v, c.v
		if o := NewDetails(&r, 1, 2).Oscillator; o.TempPPB != c.want || o.AgeingPPB != c.want {
			t.Errorf("%v: %v ppb/K and %v ppb/day, want %v", c.v, o.TempPPB, o.AgeingPPB, c.want)
		}
	}
	r := Report{}
	r.Discipline.TempPPB, r.Discipline.TempMono = -0.000_012_42, 1
	d := NewDetails(&r, 1, 2)
	if text := d.Oscillator.text(); !strings.Contains(text, "-1.24e-05 ppb/K") {
		t.Errorf("text: %s", text)
	}
	if b, err := json.Marshal(d.Oscillator); err != nil || !strings.Contains(string(b), `"ppb_per_kelvin":-0.00001242,`) {
		t.Errorf("%v: %s", err, b)
	}
}

// What is behind the reason of a state is published as its word, for programs that act on it:
// the reason itself is a text.
func TestTheCauseIsPublishedAsAWord(t *testing.T) {
	t.Parallel()
	var r Report
	if d := NewDetails(&r, 1, 2); d.Cause != "" {
		t.Errorf("no cause: %q", d.Cause)
	}
	r.Discipline.Cause, r.Discipline.Detail = reason.WitnessDisagrees, "clock_stepped_by_other"
	d := NewDetails(&r, 1, 2)
	if d.Cause != reason.WitnessDisagrees.String() {
		t.Errorf("cause %q", d.Cause)
	}
	dir := t.TempDir()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, DetailsName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{d.State: d.Cause, "holdover": ""} { // it has changed since
		s := Status{PID: 1, State: state}
		if s.AddDetails(filepath.Join(dir, "status"), 2); s.Cause != want {
			t.Errorf("%s: cause %q, want %q", state, s.Cause, want)
		}
	}
}
