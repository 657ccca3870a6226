package history

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestResultForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	none := math.NaN()
	r := &Result{Start: 1795435200, Step: 60, Points: 2, Series: []Series{
		{"other", []float64{none, none}, []float64{none, none}, []float64{none, none}},
		{Offset, []float64{-1, none}, []float64{2.5, none}, []float64{7, none}},
	}}
	r.SortColumns()
	for _, x := range []struct {
		name, want string
		write      func(*strings.Builder) error
	}{
		{"text", "2026-11-23T12:00:00Z to 2026-11-23T12:02:00Z, steps of 1m0s\n" +
			"column                               lowest           mean        highest  covered\n" +
			"offset_ns                                -1            2.5              7    50.0%\n",
			func(b *strings.Builder) error { return r.WriteText(b) }},
		{"CSV", "time,offset_ns,offset_ns_min,offset_ns_max,other,other_min,other_max\n2026-11-23T12:00:00Z,2.5,-1,7,,,\n",
			func(b *strings.Builder) error { return r.WriteCSV(b) }},
		{"JSON", `{"start":1795435200,"step_s":60,"points":2,"series":{"offset_ns":{"min":[-1,null],"mean":[2.5,null],"max":[7,null]},"other":{"min":[null,null],"mean":[null,null],"max":[null,null]}}}` + "\n",
			func(b *strings.Builder) error { return json.NewEncoder(b).Encode(r) }},
	} {
		var b strings.Builder
		if err := x.write(&b); err != nil || b.String() != x.want {
			t.Errorf("%s: %v\n%s", x.name, err, &b)
		}
	}
}
