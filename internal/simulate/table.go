package simulate

import (
	"fmt"
	"io"
	"math"
	"sort"
	"time"

	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// Table runs scenarios with many seeds and prints one line for each:
// what the bound promised and what it held.
func Table(scs []sim.Scenario, kind string, dur time.Duration, lo, hi uint64, w io.Writer) error {
	fmt.Fprintf(w, "%-17s %5s %10s %9s %9s %9s %9s %10s %10s %8s\n", "scenario", "seeds", "x realtime", "usable_s", "rms_ns", "p99.9_ns", "bound_ns", "bound/p999", "of seed", "outside")
	for _, sc := range scs {
		sc.Engine.Discipline.Servo = kind
		if dur > 0 {
			sc.Duration = dur
		}
		var usable, rms, p999, bound []float64
		ratio, at, worst := 0.0, lo, 0.0
		began := time.Now()
		for seed := lo; seed <= hi; seed++ {
			l, err := sc.Loop(seed)
			if err != nil {
				return err
			}
			var s lockedRows
			l.Rows(sc.Duration, s.add)
			sort.Float64s(s.off)
			sort.Float64s(s.bound)
			if s.usable > 0 {
				worst = math.Max(worst, float64(s.outside)/float64(s.usable))
			}
			usable = append(usable, float64(s.usable))
			if len(s.off) == 0 {
				continue
			}
			p, b := s.off[int(0.999*float64(len(s.off)))], s.bound[len(s.bound)/2]
			if b/p > ratio {
				ratio, at = b/p, seed
			}
			rms, p999, bound = append(rms, math.Sqrt(s.sq/float64(len(s.off)))), append(p999, p), append(bound, b)
		}
		n := float64(hi - lo + 1)
		fmt.Fprintf(w, "%-17s %5.0f %10.0f %9.0f %9s %9s %9s %10.2f %10d %7.3f%%\n", sc.Name, n, n*sc.Duration.Seconds()/time.Since(began).Seconds(),
			median(usable), figure(median(rms)), figure(median(p999)), figure(median(bound)), ratio, at, 100*worst)
	}
	return nil
}

// lockedRows gathers the seconds of one run: offset and bound while locked, and
// how often the true error was outside while clients were told a bound.
type lockedRows struct {
	usable, outside int
	off, bound      []float64 // ns
	sq              float64
}

func (s *lockedRows) add(r sim.Row) {
	if !r.Usable {
		return
	}
	s.usable++
	if r.Outside() {
		s.outside++
	}
	if r.State == status.Locked {
		s.off, s.bound = append(s.off, math.Abs(r.TrueNS)), append(s.bound, float64(r.ClockBound))
		s.sq += r.TrueNS * r.TrueNS
	}
}

// median is that of v, which it sorts; NaN of nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sort.Float64s(v)
	return v[len(v)/2]
}
