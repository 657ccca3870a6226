package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"noonmark/fleet/manager"
	"noonmark/server/crowd"
)

// connections counts what strangers can cause at the listeners of the agent.
type connections struct {
	health, challenges crowd.Counts
	admission          manager.Counts
}

var (
	descConns   = prometheus.NewDesc("noonmark_fleet_connections_total", "Connections to the listeners of the agent (the health endpoint, the manager, and ACME's challenges while an order is open): admitted, of these displaced to make room, and refused because all places were taken.", []string{"listener", "outcome"}, nil)
	descRefused = prometheus.NewDesc("noonmark_fleet_manager_refused_total", "Requests to join and to renew a certificate that the manager refused, by reason.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (c *connections) Describe(ch chan<- *prometheus.Desc) {
	ch <- descConns
	ch <- descRefused
}

// Collect implements prometheus.Collector.
func (c *connections) Collect(ch chan<- prometheus.Metric) {
	for name, counts := range map[string]*crowd.Counts{"health": &c.health, "manager": &c.admission.Connections, "challenges": &c.challenges} {
		for o := range crowd.NumOutcomes {
			ch <- prometheus.MustNewConstMetric(descConns, prometheus.CounterValue, float64(counts[o].Load()), name, o.String())
		}
	}
	for why, n := range c.admission.Refused() {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(n), why)
	}
}
