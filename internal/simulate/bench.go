package simulate

import (
	"fmt"
	"io"
	"math"
	"strings"

	"noonmark/internal/exitcode"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// benchRow is the outcome of one scenario over the seeds.
type benchRow struct {
	ours, limit []benchMeasures
	outside     float64 // largest over the seeds: part of the seconds with a bound in which it did not hold
	ratio       float64 // largest over the seeds: median bound over 99.9th percentile of the offset, while locked
}

// Bench closes the loop over the discipline and, on the same noise, over the
// optimal filter, and writes medians over the seeds, a range as "1-20". names are
// scenarios separated by commas, or "all". A wrong range or name is exitcode.ErrUsage.
func Bench(w io.Writer, cfg discipline.Config, names, seeds string) error {
	lo, hi, err := parseSeeds(seeds)
	if err != nil {
		return exitcode.With(exitcode.ErrUsage, err)
	}
	var chosen []benchScenario
	for _, s := range benchScenarios() {
		if names == "all" || strings.Contains(","+names+",", ","+s.name+",") {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return exitcode.With(exitcode.ErrUsage, fmt.Errorf("%w: %q", ErrScenario, names))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %-6s", "scenario", "")
	for _, c := range benchColumns {
		fmt.Fprintf(&b, " %11s", c)
	}
	fmt.Fprintf(&b, " %9s %9s\n", "outside_%", "bound/p999")
	for i := range chosen {
		r := benchOf(cfg, &chosen[i], lo, hi)
		ours, limit := medians(r.ours), medians(r.limit)
		var ratio benchMeasures
		for j := range ours {
			ratio[j] = ours[j] / limit[j]
		}
		line := func(scenario, servo string, m benchMeasures, end string) {
			fmt.Fprintf(&b, "%-10s %-6s", scenario, servo)
			for _, v := range m {
				fmt.Fprintf(&b, " %11s", figure(v))
			}
			b.WriteString(end + "\n")
		}
		line(chosen[i].name, cfg.Servo, ours, fmt.Sprintf(" %9.3f %9.2f", 100*r.outside, r.ratio))
		line("", "limit", limit, "")
		line("", "ratio", ratio, "")
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
		b.Reset()
	}
	return nil
}

// benchOf plays all seeds of one scenario.
func benchOf(cfg discipline.Config, s *benchScenario, lo, hi uint64) benchRow {
	var r benchRow
	for seed := lo; seed <= hi; seed++ {
		v := s.series(seed)
		l := lockStep{c: discipline.New(cfg)}
		bounded, outside := 0, 0
		var off, bound []float64
		was := status.Unlocked
		b := 0.0
		xs := s.play(v, &l, func(x float64) {
			// The bound that was published at the last edge holds until this one.
			if was == status.Locked || was == status.Holdover {
				bounded++
				if math.Abs(x) > b {
					outside++
				}
				if was == status.Locked {
					off, bound = append(off, math.Abs(x)), append(bound, b)
				}
			}
			st := l.c.Status()
			was, b = st.State, st.Bound
		})
		r.ours = append(r.ours, s.measure(xs))
		r.limit = append(r.limit, s.measure(s.play(v, newOptimal(s, &v), nil)))
		if bounded > 0 {
			r.outside = math.Max(r.outside, float64(outside)/float64(bounded))
		}
		if len(off) > 0 {
			r.ratio = math.Max(r.ratio, median(bound)/quantile(off, 0.999))
		}
	}
	return r
}

// medians returns the median of each column over the seeds; "never" sorts last.
func medians(runs []benchMeasures) (m benchMeasures) {
	v := make([]float64, len(runs))
	for j := range m {
		for i := range runs {
			v[i] = runs[i][j]
		}
		m[j] = median(v)
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
