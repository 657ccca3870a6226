package doctor_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/doctor"
	"noonmark/internal/observe"
)

// Every metric that a remedy names is one that a daemon registers.
func TestMetricsInRemediesExist(t *testing.T) {
	t.Parallel()
	var registered []string
	for _, c := range []prometheus.Collector{observe.NewReferenceMetrics(&observe.Sources{}), observe.NewNTSMetrics(observe.NTS{})} {
		ch := make(chan *prometheus.Desc)
		go func() { c.Describe(ch); close(ch) }()
		for d := range ch {
			registered = append(registered, d.String())
		}
	}
	found := 0
	for _, k := range doctor.Kinds() {
		for _, name := range regexp.MustCompile(`noonmark_[a-z_]+`).FindAllString(k.Text+k.Cause+k.Remedy, -1) {
			found++
			if !strings.Contains(strings.Join(registered, "\n"), `fqName: "`+name+`"`) {
				t.Errorf("%s names %s, which no daemon registers", k.ID, name)
			}
		}
	}
	if found == 0 || len(registered) < 40 {
		t.Errorf("%d metrics named, %d registered", found, len(registered))
	}
}
