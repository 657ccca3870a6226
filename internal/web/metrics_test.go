package web

import (
	"strings"
	"testing"
	"time"

	"noonmark/server/certs"
)

// The metrics have the end of the page's own certificates, and none where there are none.
func TestMetricsHaveThePagesCertificates(t *testing.T) {
	t.Parallel()
	const name = "noonmark_web_certificate_"
	if w := ask(newServer(t, nil), at("/metrics")); w.Code != 200 || strings.Contains(w.Body.String(), name) {
		t.Errorf("a page without a certificate: %d\n%s", w.Code, w.Body)
	}
	s := newServer(t, func(c *Config) {
		c.Certificates = func() []certs.Status {
			return []certs.Status{{From: "/a.pem", NotAfter: time.Unix(4e9, 0)}, {From: "/b.pem", NotAfter: time.Unix(1e9, 0)}}
		}
	})
	text := ask(s, at("/metrics")).Body.String()
	for _, want := range []string{
		name + `expiry_seconds{certificate="/a.pem"} 4e+09` + "\n", name + `expiry_seconds{certificate="/b.pem"} 1e+09` + "\n",
		name + `left_seconds{certificate="/b.pem"} -`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
