package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

var (
	mExchanges = prometheus.NewDesc("noonmark_ntske_exchanges_total", "NTS-KE connections, by how they ended.", []string{"reason"}, nil)
	mOpen      = prometheus.NewDesc("noonmark_ntske_connections", "NTS-KE connections in work.", nil, nil)
	mExpiry    = prometheus.NewDesc("noonmark_ntske_certificate_expiry_seconds", "When the certificate expires, in seconds since 1970.", []string{"certificate"}, nil)
	mLeft      = prometheus.NewDesc("noonmark_ntske_certificate_left_seconds", "What is left of the certificate's life, negative once it has expired.", []string{"certificate"}, nil)
	mAlarm     = prometheus.NewDesc("noonmark_ntske_certificate_alarm", "1 while less is left of the certificate than renewal should leave.", []string{"certificate"}, nil)
	mRefused   = prometheus.NewDesc("noonmark_ntske_certificate_refusals_total", "Certificates that were not taken, and orders that failed, by reason.", []string{"reason"}, nil)
	mKeys      = prometheus.NewDesc("noonmark_nts_cookie_keys", "Cookie keys whose cookies are accepted.", nil, nil)
)

// collector makes metrics of what NTS-KE and the key ring count.
type collector struct {
	ke    *ntske.Server // nil without NTS-KE
	certs *certs.Source // nil without NTS-KE
	ring  *nts.Ring     // nil without NTS
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mExchanges, mOpen, mExpiry, mLeft, mAlarm, mRefused, mKeys} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	if c.ke != nil {
		for reason, n := range c.ke.Counters().Snapshot() {
			ch <- prometheus.MustNewConstMetric(mExchanges, prometheus.CounterValue, float64(n), reason)
		}
		ch <- prometheus.MustNewConstMetric(mOpen, prometheus.GaugeValue, float64(c.ke.Counters().Open()))
		for _, x := range c.certs.Status() {
			alarm := 0.0
			if x.Alarm {
				alarm = 1
			}
			ch <- prometheus.MustNewConstMetric(mExpiry, prometheus.GaugeValue, float64(x.NotAfter.Unix()), x.From)
			ch <- prometheus.MustNewConstMetric(mLeft, prometheus.GaugeValue, time.Until(x.NotAfter).Seconds(), x.From)
			ch <- prometheus.MustNewConstMetric(mAlarm, prometheus.GaugeValue, alarm, x.From)
		}
		for reason, n := range c.certs.Refusals() {
			ch <- prometheus.MustNewConstMetric(mRefused, prometheus.CounterValue, float64(n), reason)
		}
	}
	if c.ring != nil {
		ch <- prometheus.MustNewConstMetric(mKeys, prometheus.GaugeValue, float64(len(c.ring.List())))
	}
}
