package web

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what the server counts.
type counters struct {
	requests atomic.Uint64
	streams  atomic.Int64 // open
	refused  [numRefusals]atomic.Uint64
}

var (
	descRequests = prometheus.NewDesc("noonmark_web_requests_total", "Requests to the web page and its interface.", nil, nil)
	descRefused  = prometheus.NewDesc("noonmark_web_refused_total", "Requests that were refused, by reason.", []string{"reason"}, nil)
	descStreams  = prometheus.NewDesc("noonmark_web_streams", "Pages that show live data.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *counters) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRequests
	ch <- descRefused
	ch <- descStreams
}

// Collect implements prometheus.Collector.
func (c *counters) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descRequests, prometheus.CounterValue, float64(c.requests.Load()))
	ch <- prometheus.MustNewConstMetric(descStreams, prometheus.GaugeValue, float64(c.streams.Load()))
	for r := range numRefusals {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(c.refused[r].Load()), r.String())
	}
}
