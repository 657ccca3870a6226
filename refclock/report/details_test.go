package report

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
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
