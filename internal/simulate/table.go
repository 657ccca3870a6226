package simulate

import (
	"fmt"
	"io"
	"math"
	"time"

	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Table runs each scenario with the seeds lo to hi and writes a line for each:
// medians over the seeds while locked, the largest ratio of median bound to
// 99.9th percentile with its seed, and the largest part of a run's served
// seconds in which the true error was outside the bound.
func Table(w io.Writer, scenarios []sim.Scenario, lo, hi uint64) error {
	if _, err := fmt.Fprintf(w, "%-17s %5s %10s %9s %9s %9s %9s %10s %10s %8s\n", "scenario", "seeds", "x realtime", "usable_s", "rms_ns", "p99.9_ns", "bound_ns", "bound/p999", "of seed", "outside"); err != nil {
		return err
	}
	for _, sc := range scenarios {
		var usable, rms, p999, bound []float64
		ratio, at, worst := 0.0, lo, 0.0
		began := time.Now()
		for seed := lo; seed <= hi; seed++ {
			l, err := sc.Loop(seed)
			if err != nil {
				return err
			}
			var all, locked offsets
			l.Rows(sc.Duration, func(r sim.Row) {
				all.add(&r)
				if r.State == status.Locked {
					locked.add(&r)
				}
			})
			if all.served > 0 {
				worst = math.Max(worst, float64(all.outside)/float64(all.served))
			}
			usable = append(usable, float64(all.served))
			if locked.served == 0 {
				continue
			}
			p, b := quantile(locked.abs, 0.999), median(locked.clockBound)
			if b/p > ratio {
				ratio, at = b/p, seed
			}
			rms, p999, bound = append(rms, locked.rms()), append(p999, p), append(bound, b)
		}
		n := float64(hi - lo + 1)
		if _, err := fmt.Fprintf(w, "%-17s %5.0f %10.0f %9.0f %9s %9s %9s %10.2f %10d %7.3f%%\n", sc.Name, n, n*sc.Duration.Seconds()/time.Since(began).Seconds(),
			median(usable), figure(median(rms)), figure(median(p999)), figure(median(bound)), ratio, at, 100*worst); err != nil {
			return err
		}
	}
	return nil
}
