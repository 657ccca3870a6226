package service

import "github.com/prometheus/client_golang/prometheus"

// descriptions of the metrics of the certificate. They are absent while the fleet orders none.
var (
	descCertGeneration = prometheus.NewDesc("noonmark_fleet_certificate_generation", "Certificate of the fleet on the disc of this node, by its order; 0: none.", nil, nil)
	descCertExpiry     = prometheus.NewDesc("noonmark_fleet_certificate_expiry_seconds", "When the certificate of the fleet on the disc of this node expires, POSIX time; 0: there is none.", nil, nil)
	descCertHolder     = prometheus.NewDesc("noonmark_fleet_certificate_holder", "1 if this node orders the certificate of the fleet now.", nil, nil)
	descCertFailures   = prometheus.NewDesc("noonmark_fleet_certificate_failures", "Orders of the fleet that failed since its last certificate.", nil, nil)
	descCertWaits      = prometheus.NewDesc("noonmark_fleet_certificate_waits", "1 if this node has not the certificate of the fleet, or it is not renewed.", nil, nil)
	descCertChallenges = prometheus.NewDesc("noonmark_fleet_certificate_challenges_total", "Requests while challenges were answered, by whether one was.", []string{"answered"}, nil)
)

// Describe implements prometheus.Collector.
func (c *certTask) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{descCertGeneration, descCertExpiry, descCertHolder, descCertFailures, descCertWaits, descCertChallenges} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *certTask) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settings == nil {
		return
	}
	gauge := func(d *prometheus.Desc, x float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x)
	}
	flag := func(d *prometheus.Desc, b bool) {
		x := 0.0
		if b {
			x = 1
		}
		gauge(d, x)
	}
	gauge(descCertGeneration, float64(c.last.Report.Generation))
	gauge(descCertExpiry, float64(c.last.Report.NotAfter))
	flag(descCertHolder, c.last.Holder)
	gauge(descCertFailures, float64(c.last.State.Failures))
	flag(descCertWaits, c.wrong != nil)
	answered, refused := c.answered, c.refused
	if c.keeper != nil {
		a, r := c.keeper.Responder().Counts()
		answered, refused = answered+a, refused+r
	}
	ch <- prometheus.MustNewConstMetric(descCertChallenges, prometheus.CounterValue, float64(answered), "yes")
	ch <- prometheus.MustNewConstMetric(descCertChallenges, prometheus.CounterValue, float64(refused), "no")
}
