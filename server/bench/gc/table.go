package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"noonmark/internal/machine"
)

// table renders the results as Markdown.
func (b *bench) table() string {
	var text strings.Builder
	o := b.o
	what := "NTS (AEAD 15)"
	if o.plain {
		what = "NTP"
	}
	fmt.Fprintf(&text, "The kernel's transmit timestamp minus the answer's, in us; + = the answer's was early, which the client sees as delay.\n"+
		"%s over loopback, %d requests/s in bursts of %d, %d windows of %v of each kind in turn, live heap %d MB, %s, %s.\n"+
		"Machine: %s.\nDuring the busy windows: %d collections (longest pause %v), %d handshakes.\n\n",
		what, o.rate, o.burst, o.windows, o.window, o.heap, runtime.Version(), time.Now().UTC().Format(time.DateOnly),
		machine.Describe(), b.collections, b.pause, b.handshakes)
	text.WriteString("| priority | mode | collections, handshakes | answers | lost | min | p0.01 | p1 | p50 | p99 | p99.99 | max | late, % | late by more than the root dispersion | preempted, 1/s | waited for a processor, ms/s | in the server, p50 | p99 | p99.99 |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range b.kinds {
		slices.Sort(k.Late)
		slices.Sort(k.Stay)
		of := func(v []int64, p float64) string {
			return fmt.Sprintf("%.2f", float64(v[int(math.Round(p*float64(len(v)-1)))])/1e3)
		}
		q := func(p float64) string { return of(k.Late, p) }
		late := sort.Search(len(k.Late), func(i int) bool { return k.Late[i] >= 0 })
		beyond := sort.Search(len(k.Late), func(i int) bool { return float64(k.Late[i]) >= -k.Slack })
		if len(k.Late) == 0 {
			continue
		}
		mode, beside := "basic", "no"
		if k.interleaved {
			mode = "interleaved"
		}
		if k.busy {
			beside = "yes"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %.2f | %d | %.0f | %.1f | %s | %s | %s |\n", k.at.priority, mode, beside,
			len(k.Late), max(0, k.Asked-k.Valid), q(0), q(0.0001), q(0.01), q(0.5), q(0.99), q(0.9999), q(1),
			100*float64(late)/float64(max(1, len(k.Late))), beyond,
			float64(k.involuntary)/k.measured.Seconds(), k.waited.Seconds()*1e3/k.measured.Seconds(), of(k.Stay, 0.5), of(k.Stay, 0.99), of(k.Stay, 0.9999))
	}
	return text.String()
}
