package main

import (
	"fmt"
	"strings"
	"time"

	"noonmark/internal/machine"
)

// larger is the fleet that follows from the runs.
const larger = 1000

const head = `# A fleet of many nodes: results

` + "`make bench-fleet`" + ` writes this file. Do not edit it. Each node has a connection of its own, and runs what ` + "`noonmark-fleet run`" + ` runs: the
agent, the examinations for the health endpoint, and the keeper of the configuration. No rollout and no order of a certificate goes
on. All nodes of a row are one process and start at the same instant; etcd is one member in another process on the same machine,
and waits for its disc. There is no TLS. Clients of the nodes are left out: none of their requests reaches etcd.

`

// report returns the file of results.
func report(runs []*result, span time.Duration, revision string, now time.Time) string {
	var b strings.Builder
	b.WriteString(head)
	fmt.Fprintf(&b, "%s, revision %s, figures of %v after the start. Machine: %s.\n\n", now.UTC().Format(time.DateOnly), revision, span, machine.Describe())

	b.WriteString("## The start of all nodes at once\n\n")
	b.WriteString("| nodes | until all hold the first roots, s | rounds | failed | processor time of etcd, s |\n|---|---|---|---|---|\n")
	for _, r := range runs {
		fmt.Fprintf(&b, "| %d | %.1f | %d | %d | %.1f |\n", r.agents, r.settled.Seconds(), r.early, r.failed, r.cpuEtcd)
	}

	b.WriteString("\n## Afterwards, a second\n\n")
	b.WriteString("| nodes | rounds | failed in all | keys written | etcd sends, kB | etcd receives, kB | writes to the disc | one lasts, ms | processors, etcd | processors, all nodes |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range runs {
		fmt.Fprintf(&b, "| %d | %.1f | %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f |\n",
			r.agents, r.rounds, r.failures, r.puts, r.sent/1e3, r.received/1e3, r.syncs, r.syncTime*1e3, r.etcd, r.nodes)
	}
	if l := lines(runs); l != nil {
		fmt.Fprintf(&b, "| %d, computed | %.0f | - | %.0f | %.0f | %.0f | - | - | %.2f | %.2f |\n",
			larger, l.rounds.at(larger), l.puts.at(larger), l.sent.at(larger)/1e3, l.received.at(larger)/1e3, l.etcd.at(larger), l.nodes.at(larger))
	}

	b.WriteString("\n## What etcd holds\n\n| nodes | keys | watches | leases | database, MB |\n|---|---|---|---|---|\n")
	for _, r := range runs {
		fmt.Fprintf(&b, "| %d | %.0f | %.0f | %d | %.1f |\n", r.agents, r.keys, r.watchers, r.leases, r.database/1e6)
	}
	if l := lines(runs); l != nil {
		fmt.Fprintf(&b, "| %d, computed | %.0f | %.0f | %.0f | - |\n", larger, l.keys.at(larger), l.watchers.at(larger), l.leases.at(larger))
		b.WriteString(l.text(runs))
	}
	for _, r := range runs {
		for _, why := range r.reasons {
			fmt.Fprintf(&b, "\nWith %d nodes a round failed: %s.\n", r.agents, why)
		}
	}
	return b.String()
}

// line is the straight line with the least squares through points.
type line struct{ base, slope float64 }

func (l line) at(n float64) float64 { return l.base + l.slope*n }

func through(runs []*result, of func(*result) float64) line {
	var n, x, y, xx, xy float64
	for _, r := range runs {
		a, b := float64(r.agents), of(r)
		n, x, y, xx, xy = n+1, x+a, y+b, xx+a*a, xy+a*b
	}
	slope := (n*xy - x*y) / (n*xx - x*x)
	return line{base: (y - slope*x) / n, slope: slope}
}

// fit has a line for each figure that grows with the number of nodes.
type fit struct{ rounds, puts, sent, received, etcd, nodes, keys, watchers, leases line }

// lines returns nil if there are not two sizes.
func lines(runs []*result) *fit {
	sizes := map[int]bool{}
	for _, r := range runs {
		sizes[r.agents] = true
	}
	if len(sizes) < 2 {
		return nil
	}
	return &fit{
		rounds: through(runs, func(r *result) float64 { return r.rounds }), puts: through(runs, func(r *result) float64 { return r.puts }),
		sent: through(runs, func(r *result) float64 { return r.sent }), received: through(runs, func(r *result) float64 { return r.received }),
		etcd: through(runs, func(r *result) float64 { return r.etcd }), nodes: through(runs, func(r *result) float64 { return r.nodes }),
		keys: through(runs, func(r *result) float64 { return r.keys }), watchers: through(runs, func(r *result) float64 { return r.watchers }),
		leases: through(runs, func(r *result) float64 { return float64(r.leases) }),
	}
}

// text says how a row was computed, and which limit is the first.
func (l *fit) text(runs []*result) string {
	last := runs[len(runs)-1]
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe rows of %d nodes are not measured: they follow from the straight lines with the least squares through the rows above. A node adds\n", larger)
	fmt.Fprintf(&b, "%.2f keys written a second, %.0f octets that etcd sends a second, and %.2f ms of a processor of etcd a second. At %d nodes the line\n",
		l.puts.slope, l.sent.slope, l.etcd.slope*1e3, last.agents)
	fmt.Fprintf(&b, "and the measurement of what etcd sends differ by %.0f %%.\n\n", 100*(l.sent.at(float64(last.agents))-last.sent)/last.sent)
	fmt.Fprintf(&b, "The first limit is the processor of etcd: one processor of this machine would carry %.0f nodes.\n", (1-l.etcd.base)/l.etcd.slope)
	return b.String()
}
