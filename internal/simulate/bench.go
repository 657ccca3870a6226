package simulate

import (
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// benchRow is what the seeds of one scenario came to.
type benchRow struct {
	ours, limit []benchMeasures
	seen, bare  int     // seconds with a bound, and those of them it did not hold
	worst       float64 // largest part of a seed's seconds outside
	ratio       float64 // largest, over the seeds, of median bound over the 99.9th percentile while locked
}

// Bench closes the loop over the discipline and, on the same noise, over the
// filter that is told everything, and prints medians over the seeds.
func Bench(cfg discipline.Config, names string, lo, hi uint64, w io.Writer) error {
	var all []benchScenario
	for _, s := range benchScenarios() {
		if names == "all" || strings.Contains(","+names+",", ","+s.name+",") {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no scenario %q", names)
	}
	fmt.Fprintf(w, "%-10s %-6s", "scenario", "")
	for _, c := range benchColumns {
		fmt.Fprintf(w, " %11s", c)
	}
	fmt.Fprintf(w, " %9s %9s\n", "outside_%", "bound/p999")
	for i := range all {
		r := benchOf(cfg, &all[i], lo, hi)
		fmt.Fprintf(w, "%-10s %-6s", all[i].name, cfg.Servo)
		ours, limit := medians(r.ours), medians(r.limit)
		for _, v := range ours {
			fmt.Fprintf(w, " %11s", figure(v))
		}
		fmt.Fprintf(w, " %9.3f %9.2f\n%-10s %-6s", 100*r.worst, r.ratio, "", "limit")
		for _, v := range limit {
			fmt.Fprintf(w, " %11s", figure(v))
		}
		fmt.Fprintf(w, "\n%-10s %-6s", "", "ratio")
		for j := range ours {
			fmt.Fprintf(w, " %11s", figure(ours[j]/limit[j]))
		}
		fmt.Fprintln(w)
	}
	return nil
}

// benchOf plays all seeds of one scenario.
func benchOf(cfg discipline.Config, s *benchScenario, lo, hi uint64) benchRow {
	var r benchRow
	for seed := lo; seed <= hi; seed++ {
		v := s.series(seed)
		l := lockStep{c: discipline.New(cfg)}
		seen, bare := 0, 0
		var off, bound []float64
		was := status.Unlocked
		b := 0.0
		xs := s.play(v, &l, func(k int, x float64) {
			// The bound that was published at the last edge holds until this one.
			if was == status.Locked || was == status.Holdover {
				seen++
				if math.Abs(x) > b {
					bare++
				}
				if was == status.Locked {
					off, bound = append(off, math.Abs(x)), append(bound, b)
				}
			}
			st := l.c.Status()
			was, b = st.State, st.Bound
		})
		r.ours = append(r.ours, s.measure(xs))
		r.limit = append(r.limit, s.measure(s.play(v, newTold(s, &v), nil)))
		if seen > 0 {
			r.worst = math.Max(r.worst, float64(bare)/float64(seen))
		}
		if len(off) > 0 {
			sort.Float64s(off)
			sort.Float64s(bound)
			r.ratio = math.Max(r.ratio, bound[len(bound)/2]/off[int(0.999*float64(len(off)))])
		}
		r.seen, r.bare = r.seen+seen, r.bare+bare
	}
	return r
}

// medians are those of each column over the seeds; "never" sorts last.
func medians(runs []benchMeasures) (m benchMeasures) {
	v := make([]float64, len(runs))
	for j := range m {
		for i := range runs {
			v[i] = runs[i][j]
		}
		sort.Float64s(v)
		m[j] = v[len(v)/2]
	}
	return m
}

// figure prints a number with about three digits.
func figure(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "never"
	case math.IsNaN(v):
		return "-"
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
