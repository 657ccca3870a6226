package main

import (
	"fmt"
	"strings"
	"time"

	"noonmark/internal/machine"
)

// goals are the largest ratios to chronyd that the project accepts: CPU time per
// answer in a flood, and at 10,000 requests a second.
var goals = map[string]float64{"ntp": 0.90, "15": 0.70, "30": 0.75}

const goal10k = 0.90

var caseNames = map[string]string{"ntp": "NTP", "15": "NTS, AES-SIV-CMAC-256", "30": "NTS, AES-128-GCM-SIV"}

// table renders the results as Markdown.
func table(o options, servers []server, results map[string][]load) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CPU time per answer, one worker on one CPU, medians of %d rounds of %v windows, %s.\n",
		o.rounds, o.dur, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "Machine: %s.", machine.Describe())
	for _, s := range servers {
		fmt.Fprintf(&b, " %s: %s.", s.name, s.version)
	}
	if o.realtime {
		b.WriteString(" The answering threads and the load were real-time threads.")
	}
	b.WriteString("\n\n| case | server | us per answer, flood | at 10,000/s | peak answers/s | sustained/s | verified | flood ratio to chronyd | goal | 10k ratio | goal |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range strings.Split(o.cases, ",") {
		for _, s := range servers {
			rs := results[s.name+"/"+c]
			if len(rs) == 0 {
				continue
			}
			var fl, low, peak, sus []float64
			var ver uint64
			for _, r := range rs {
				if len(r.Flood) == 0 {
					continue
				}
				fl, low, peak = append(fl, r.Flood...), append(low, r.Low...), append(peak, r.Peak...)
				if r.Sustained[0] > 0 {
					sus = append(sus, r.Sustained[0])
				}
				ver += r.Verified
			}
			goal, low10k := "", ""
			if s.name == "ntsserve" {
				goal, low10k = fmt.Sprintf("%.2f", goals[c]), fmt.Sprintf("%.2f", goal10k)
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.1f | %.0f | %.0f | %d | %s | %s | %s | %s |\n", caseNames[c], s.name, median(fl), median(low), median(peak), median(sus), ver,
				ratio(rs, results["chronyd/"+c], func(l load) []float64 { return l.Flood }), goal,
				ratio(rs, results["chronyd/"+c], func(l load) []float64 { return l.Low }), low10k)
		}
	}
	return b.String()
}

// ratio is the median of the rounds' ratios to chronyd.
func ratio(a, b []load, f func(load) []float64) string {
	var v []float64
	for i := range min(len(a), len(b)) {
		if x, y := f(a[i]), f(b[i]); len(x) > 0 && len(y) > 0 && y[0] > 0 {
			v = append(v, x[0]/y[0])
		}
	}
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(v))
}
