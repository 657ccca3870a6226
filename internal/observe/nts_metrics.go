package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/server/certs"
	"noonmark/server/crowd"
	"noonmark/server/nts"
)

// NTS are the parts of NTS that ntsserve runs.
type NTS struct {
	KE           KeyExchange   // nil without NTS-KE
	Certificates *certs.Source // nil without NTS-KE
	// Ring returns the cookie keys, nil while their file cannot be used. nil without NTS.
	Ring func() *nts.Ring
}

// KeyExchange is an NTS-KE server.
type KeyExchange interface {
	Exchanges() map[string]uint64 // connections by result
	Open() int                    // connections
}

// ring returns the cookie keys, nil if there are none.
func (n *NTS) ring() *nts.Ring {
	if n.Ring == nil {
		return nil
	}
	return n.Ring()
}

// NewNTSMetrics returns the metrics of NTS-KE, certificates and cookie keys.
func NewNTSMetrics(n NTS) prometheus.Collector {
	return &collector[NTS]{ntsMetrics(), func() *NTS { return &n }}
}

func ntsMetrics() []family[NTS] {
	return []family[NTS]{
		counters(prometheus.NewDesc("noonmark_ntske_exchanges_total", "NTS-KE connections by result.", []string{"reason"}, nil),
			func(n *NTS, put sink) {
				if n.KE != nil {
					for reason, c := range n.KE.Exchanges() {
						put(float64(c), reason)
					}
				}
			}),
		gauges(prometheus.NewDesc("noonmark_ntske_connections", "NTS-KE connections that are open.", nil, nil),
			func(n *NTS, put sink) {
				if n.KE != nil {
					put(float64(n.KE.Open()))
				}
			}),
		gauges(prometheus.NewDesc("noonmark_ntske_certificate_expiry_seconds", "When the certificate expires, POSIX time.", []string{"certificate"}, nil),
			ofCertificates(func(c *certs.Status) float64 { return float64(c.NotAfter.Unix()) })),
		gauges(prometheus.NewDesc("noonmark_ntske_certificate_left_seconds", "Time until the certificate expires, negative once it has.", []string{"certificate"}, nil),
			ofCertificates(func(c *certs.Status) float64 { return time.Until(c.NotAfter).Seconds() })),
		gauges(prometheus.NewDesc("noonmark_ntske_certificate_alarm", "1 while the certificate is due for renewal.", []string{"certificate"}, nil),
			ofCertificates(func(c *certs.Status) float64 { return one(c.Alarm) })),
		counters(prometheus.NewDesc("noonmark_ntske_certificate_refusals_total", "Certificates that were refused, and orders that failed, by reason.", []string{"reason"}, nil),
			func(n *NTS, put sink) {
				if n.Certificates != nil {
					for reason, c := range n.Certificates.Refusals() {
						put(float64(c), reason)
					}
				}
			}),
		counters(prometheus.NewDesc("noonmark_acme_challenge_connections_total", "Connections to the listener of ACME's challenges while an order is open: admitted, of these displaced to make room, and refused because all places were taken.", []string{"outcome"}, nil),
			func(n *NTS, put sink) {
				if n.Certificates != nil {
					for o := range crowd.NumOutcomes {
						put(float64(certs.Challenges(n.Certificates, o)), o.String())
					}
				}
			}),
		gauges(prometheus.NewDesc("noonmark_nts_cookie_keys", "Cookie keys whose cookies are accepted; 0 while their file cannot be used.", nil, nil),
			func(n *NTS, put sink) {
				switch r := n.ring(); {
				case r != nil:
					put(float64(len(r.List())))
				case n.Ring != nil:
					put(0)
				}
			}),
		gauges(prometheus.NewDesc("noonmark_nts_cookie_secret_age_seconds", "How long the secret that cookie keys are derived from has been in use.", nil, nil),
			ofSecret(func(s *nts.SecretInfo, now time.Time) float64 { return now.Sub(s.Since).Seconds() })),
		gauges(prometheus.NewDesc("noonmark_nts_cookie_secret_overdue", "1 while the secret is in use although a new one should have replaced it.", nil, nil),
			ofSecret(func(s *nts.SecretInfo, now time.Time) float64 { return one(s.Overdue(now)) })),
	}
}

// ofSecret is a value of the secret in use.
func ofSecret(value func(s *nts.SecretInfo, now time.Time) float64) func(*NTS, sink) {
	return func(n *NTS, put sink) {
		ring := n.ring()
		if ring == nil {
			return
		}
		now := time.Now()
		for _, s := range ring.Secrets(now) {
			if s.Sealing {
				put(value(&s, now))
			}
		}
	}
}

func ofCertificates(value func(*certs.Status) float64) func(*NTS, sink) {
	return func(n *NTS, put sink) {
		if n.Certificates == nil {
			return
		}
		for _, c := range n.Certificates.Status() {
			put(value(&c), c.From)
		}
	}
}
