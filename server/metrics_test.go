package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/server/transport"
)

// gather returns the metrics of s, one a line.
func gather(t *testing.T, s *Server) (lines []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(s)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, p := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if h := m.GetHistogram(); h != nil {
				v = float64(h.GetSampleCount())
			}
			lines = append(lines, fmt.Sprintf("%s{%s} %v", f.GetName(), strings.Join(labels, ","), v))
		}
	}
	return lines
}

// Metrics are sums over the workers of an endpoint, and there is one for each
// reason.
func TestMetricsCountEveryRequest(t *testing.T) {
	t.Parallel()
	s := &Server{}
	one, two := newLoop(t, s), newLoop(t, s)
	s.endpoints = []*endpoint{{name: "lan", workers: []*worker{one.worker, two.worker}, metrics: []*workerMetrics{one.worker.metrics, two.worker.metrics}}}
	one.exchange(one.from(1, query(0, 7)), one.from(1, header(4<<3|6)))
	answer := two.exchange(two.from(1, query(0, 7)))[0]
	two.peer.Stamp(transport.TxStamp{ID: answer.ID, Soft: two.host.real})
	two.host.advance(time.Millisecond)
	long := two.from(1, make([]byte, transport.MaxPacket+1))
	long.SoftStamp = 0
	two.exchange(long)

	got := gather(t, s)
	for _, want := range []string{
		`noonmark_ntp_requests_total{endpoint="lan"} 4`,
		`noonmark_ntp_request_octets_total{endpoint="lan"} 1936`,
		`noonmark_ntp_responses_total{endpoint="lan",reason="ntp"} 2`,
		`noonmark_ntp_dropped_total{endpoint="lan",reason="mode_control"} 1`,
		`noonmark_ntp_dropped_total{endpoint="lan",reason="too_long"} 1`,
		`noonmark_ntp_receive_stamps_total{endpoint="lan",stamp="hardware"} 0`,
		`noonmark_ntp_receive_stamps_total{endpoint="lan",stamp="software"} 3`,
		`noonmark_ntp_receive_stamps_total{endpoint="lan",stamp="none"} 0`,
		`noonmark_ntp_send_errors_total{endpoint="lan"} 0`,
		`noonmark_ntp_receive_errors_total{endpoint="lan"} 0`,
		`noonmark_ntp_redated_total{endpoint="lan"} 0`,
		`noonmark_ntp_transmit_error_seconds{direction="early",endpoint="lan"} 1`,
		`noonmark_ntp_transmit_error_seconds{direction="late",endpoint="lan"} 0`,
		`noonmark_ntp_synchronised{} 0`,
		`noonmark_ntp_workers{endpoint="lan"} 2`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for r := range numReasons {
		if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, `reason="`+r.String()+`"`) }) {
			t.Errorf("no metric of reason %v", r)
		}
	}
}
