package docs

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// metric is one metric as a collector describes it.
type metric struct {
	name, help string
	labels     []string
	kind       string // counter, gauge, histogram
}

// metricsReference makes docs/reference-metrics.md from the descriptions of the
// collectors in the source.
func metricsReference(root string) (string, error) {
	metrics, err := allMetrics(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(notice("the collectors' descriptions in the source"))
	b.WriteString(`# Metrics reference

` + "`metrics.listen`" + ` in ` + "`refclockd.toml` and `ntsserve.toml`" + ` serves these metrics for Prometheus at ` + "`/metrics`" + `;
refclockweb serves its own beside the page, the agent of a fleet beside its health endpoint.

- Names end in their unit; ` + "`_total`" + ` marks a counter.
- Metrics of a part that is not configured (witnesses, followers, exports, compared pulses, a temperature sensor, NTS)
  are absent.
- The values of the label ` + "`reason`" + ` are listed in [reference-reasons.md](reference-reasons.md).
- The Go runtime's own metrics (` + "`go_*`, `process_*`" + `) are served as well.

`)
	for _, part := range [...]struct{ prefix, title string }{
		{"noonmark_refclock_", "refclockd"}, {"noonmark_ntp_", "ntsserve: NTP"}, {"noonmark_nts_", "ntsserve: NTS"}, {"noonmark_ntske_", "ntsserve: NTS-KE"},
		{"noonmark_source_", "ntsserve: the clock that another program keeps"}, {"noonmark_web_", "refclockweb"},
		{"noonmark_fleet_", "noonmark-fleet"}, {"noonmark_", "All daemons"},
	} {
		var rows strings.Builder
		for _, m := range metrics {
			if strings.HasPrefix(m.name, part.prefix) {
				labels := ""
				for i, l := range m.labels {
					if i > 0 {
						labels += ", "
					}
					labels += "`" + l + "`"
				}
				fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
			}
		}
		metrics = slices.DeleteFunc(metrics, func(m metric) bool { return strings.HasPrefix(m.name, part.prefix) })
		if rows.Len() > 0 {
			fmt.Fprintf(&b, "## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n%s\n", part.title, rows.String())
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// allMetrics returns every metric that is described in the source, by name.
func allMetrics(root string) ([]metric, error) {
	dirs, err := goFolders(root)
	if err != nil {
		return nil, err
	}
	dirs = append(dirs, "fleet/health", "fleet/service") // of a module of its own, which goFolders leaves out
	var all []metric
	for _, dir := range dirs {
		p, err := parsePackage(root, dir)
		if err != nil {
			return nil, err
		}
		found, err := p.metrics()
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	for i := range all[1:] {
		if all[i].name == all[i+1].name {
			return nil, fmt.Errorf("metric %s is described twice", all[i].name)
		}
	}
	return all, nil
}

// metrics returns the metrics that a package describes: by prometheus.NewDesc,
// or by a function of its own that adds a prefix to the name.
func (p *goPackage) metrics() ([]metric, error) {
	helpers := map[string]string{} // function, to the prefix it adds
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Body != nil {
				if prefix, ok := descPrefix(fn); ok {
					helpers[fn.Name.Name] = prefix
				}
			}
		}
	}
	var list []metric
	var bad error
	histograms := p.histograms()
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			var names []*ast.Ident
			var values []ast.Expr
			switch n := n.(type) {
			case *ast.ValueSpec:
				names, values = n.Names, n.Values
			case *ast.CallExpr:
				values = []ast.Expr{n}
			default:
				return true
			}
			for i, v := range values {
				call, ok := v.(*ast.CallExpr)
				if !ok {
					continue
				}
				m, ok, err := describe(call, helpers)
				if err != nil {
					bad = fmt.Errorf("%s: %w", p.dir, err)
				}
				if !ok || slices.ContainsFunc(list, func(x metric) bool { return x.name == m.name }) {
					continue
				}
				if i < len(names) && histograms[names[i].Name] {
					m.kind = "histogram"
				}
				list = append(list, m)
			}
			return true
		})
	}
	return list, bad
}

// descPrefix reports whether a function only calls prometheus.NewDesc with a
// prefix before the name that it is given.
func descPrefix(fn *ast.FuncDecl) (prefix string, ok bool) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, isCall := n.(*ast.CallExpr)
		if !isCall || !isNewDesc(call) || len(call.Args) == 0 {
			return true
		}
		if sum, isSum := call.Args[0].(*ast.BinaryExpr); isSum {
			if _, named := sum.Y.(*ast.Ident); named {
				prefix, ok = text(sum.X)
			}
		}
		return true
	})
	return prefix, ok
}

func isNewDesc(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "NewDesc"
}

// describe reads one description.
func describe(call *ast.CallExpr, helpers map[string]string) (m metric, ok bool, err error) {
	var prefix string
	var labels []ast.Expr
	switch fn := call.Fun.(type) {
	case *ast.SelectorExpr:
		if !isNewDesc(call) || len(call.Args) < 3 {
			return m, false, nil
		}
		if list, isList := call.Args[2].(*ast.CompositeLit); isList {
			labels = list.Elts
		}
	case *ast.Ident:
		if prefix, ok = helpers[fn.Name]; !ok || len(call.Args) < 2 {
			return m, false, nil
		}
		labels = call.Args[2:]
	default:
		return m, false, nil
	}
	name, ok := text(call.Args[0])
	if !ok {
		return m, false, nil // the helper itself
	}
	m = metric{name: prefix + name, kind: "gauge"}
	if strings.HasSuffix(name, "_total") {
		m.kind = "counter"
	}
	if m.help, ok = text(call.Args[1]); !ok {
		return m, false, fmt.Errorf("%s: the help text is not a constant", m.name)
	}
	for _, l := range labels {
		s, ok := text(l)
		if !ok {
			return m, false, fmt.Errorf("%s: a label is not a constant", m.name)
		}
		m.labels = append(m.labels, s)
	}
	return m, true, nil
}

// histograms returns the variables whose descriptions are collected as
// histograms.
func (p *goPackage) histograms() map[string]bool {
	found := map[string]bool{}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 0 {
				if s, ok := call.Fun.(*ast.SelectorExpr); ok && strings.HasSuffix(s.Sel.Name, "ConstHistogram") {
					if v, ok := call.Args[0].(*ast.Ident); ok {
						found[v.Name] = true
					}
				}
			}
			return true
		})
	}
	return found
}
