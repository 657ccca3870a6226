package history

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// order is the place of a column: that of refclockd's, then the others.
func order(name string) int {
	all := ReferenceColumns()
	if i := slices.IndexFunc(all, func(c Column) bool { return c.Name == name }); i >= 0 {
		return i
	}
	return len(all)
}

// number writes a value as short as possible, and nothing for one that is missing.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// SortColumns puts refclockd's own columns first, in their order.
func (r *Result) SortColumns() {
	slices.SortStableFunc(r.Series, func(a, b Series) int { return order(a.Name) - order(b.Name) })
}

// WriteCSV writes RFC 4180, with a line feed as the end of a line. Points without any
// value are left out.
func (r *Result) WriteCSV(to io.Writer) error {
	w := csv.NewWriter(to)
	fields := []string{"time"}
	for _, s := range r.Series {
		if fields = append(fields, s.Name); r.Step > 1 {
			fields = append(fields, s.Name+"_min", s.Name+"_max")
		}
	}
	w.Write(fields) // Flush keeps the error
	for p := range r.Points {
		fields = append(fields[:0], r.Time(p).Format("2006-01-02T15:04:05Z"))
		known := false
		for _, s := range r.Series {
			known = known || !math.IsNaN(s.Mean[p])
			if fields = append(fields, number(s.Mean[p])); r.Step > 1 {
				fields = append(fields, number(s.Min[p]), number(s.Max[p]))
			}
		}
		if known {
			w.Write(fields)
		}
	}
	w.Flush()
	return w.Error()
}

// jsonSeries is one column; null: the value is missing.
type jsonSeries struct {
	Min  []*float64 `json:"min"`
	Mean []*float64 `json:"mean"`
	Max  []*float64 `json:"max"`
}

// MarshalJSON implements json.Marshaler. The keys are a contract: they only grow.
func (r *Result) MarshalJSON() ([]byte, error) {
	nullable := func(list []float64) []*float64 {
		out := make([]*float64, len(list))
		for i := range list {
			if !math.IsNaN(list[i]) {
				out[i] = &list[i]
			}
		}
		return out
	}
	series := map[string]jsonSeries{}
	for _, s := range r.Series {
		series[s.Name] = jsonSeries{nullable(s.Min), nullable(s.Mean), nullable(s.Max)}
	}
	type points Result // without this method
	return json.Marshal(struct {
		*points
		Series map[string]jsonSeries `json:"series"`
	}{(*points)(r), series})
}

// WriteText writes each column's lowest, mean and highest value, and the share of points
// that have one.
func (r *Result) WriteText(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "%s to %s, steps of %v\n", r.Time(0).Format(time.RFC3339), r.Time(r.Points).Format(time.RFC3339), time.Duration(r.Step)*time.Second)
	fmt.Fprintf(w, "%-28s %14s %14s %14s %8s\n", "column", "lowest", "mean", "highest", "covered")
	for _, s := range r.Series {
		low, high, sum, n := math.Inf(1), math.Inf(-1), 0.0, 0
		for p, v := range s.Mean {
			if !math.IsNaN(v) {
				low, high, sum, n = min(low, s.Min[p]), max(high, s.Max[p]), sum+v, n+1
			}
		}
		if n > 0 {
			fmt.Fprintf(w, "%-28s %14.6g %14.6g %14.6g %7.1f%%\n", s.Name, low, sum/float64(n), high, 100*float64(n)/float64(r.Points))
		}
	}
	return w.Flush()
}
