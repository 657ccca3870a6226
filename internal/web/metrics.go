package web

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/server/certs"
	"noonmark/server/crowd"
)

// counters are what the server counts.
type counters struct {
	requests atomic.Uint64
	streams  atomic.Int64 // open
	slow     atomic.Uint64
	conns    crowd.Counts
	refused  [numRefusals]atomic.Uint64
}

var (
	descRequests = prometheus.NewDesc("noonmark_web_requests_total", "Requests to the web page and its interface.", nil, nil)
	descRefused  = prometheus.NewDesc("noonmark_web_refused_total", "Requests that were refused, by reason.", []string{"reason"}, nil)
	descSlow     = prometheus.NewDesc("noonmark_web_slow_readers_total", "Answers about history that were ended because the client did not read a part of them within 10 s.", nil, nil)
	descConns    = prometheus.NewDesc("noonmark_web_connections_total", "Connections to the web page: admitted, of these displaced to make room, and refused because all places were taken.", []string{"outcome"}, nil)
	descStreams  = prometheus.NewDesc("noonmark_web_streams", "Pages that show live data.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *counters) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRequests
	ch <- descRefused
	ch <- descStreams
	ch <- descSlow
	ch <- descConns
}

// Collect implements prometheus.Collector.
func (c *counters) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descRequests, prometheus.CounterValue, float64(c.requests.Load()))
	ch <- prometheus.MustNewConstMetric(descStreams, prometheus.GaugeValue, float64(c.streams.Load()))
	ch <- prometheus.MustNewConstMetric(descSlow, prometheus.CounterValue, float64(c.slow.Load()))
	for o := range crowd.NumOutcomes {
		ch <- prometheus.MustNewConstMetric(descConns, prometheus.CounterValue, float64(c.conns[o].Load()), o.String())
	}
	for r := range numRefusals {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(c.refused[r].Load()), r.String())
	}
}

// certificateMetrics are those of the certificates of the page.
type certificateMetrics func() []certs.Status

var (
	descExpiry = prometheus.NewDesc("noonmark_web_certificate_expiry_seconds", "When the certificate of the web page expires, POSIX time.", []string{"certificate"}, nil)
	descLeft   = prometheus.NewDesc("noonmark_web_certificate_left_seconds", "Time until the certificate of the web page expires, negative once it has.", []string{"certificate"}, nil)
)

// Describe implements prometheus.Collector.
func (certificateMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descExpiry
	ch <- descLeft
}

// Collect implements prometheus.Collector.
func (c certificateMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, x := range c() {
		ch <- prometheus.MustNewConstMetric(descExpiry, prometheus.GaugeValue, float64(x.NotAfter.Unix()), x.From)
		ch <- prometheus.MustNewConstMetric(descLeft, prometheus.GaugeValue, time.Until(x.NotAfter).Seconds(), x.From)
	}
}
