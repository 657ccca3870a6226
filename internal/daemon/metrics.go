package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"noonmark/internal/config"
	"noonmark/server/crowd"
)

// Limits of the metrics listener, which has a handful of clients. Each connection serves
// one request, so that nobody holds one; a place that is held is taken (package crowd).
const (
	metricsConns   = 16
	metricsAtOnce  = 2 // answers that are made at once, of which each takes memory
	metricsTimeout = 10 * time.Second
)

// Metrics is the task that serves a registry at /metrics.
type Metrics struct {
	addr  netip.AddrPort
	place func(key string) string
	reg   prometheus.Gatherer
	conns crowd.Counts
	ready chan struct{} // of the next or present run
	at    net.Addr      // set before ready is closed
}

// NewMetrics returns the task; with no address it is off. place returns FILE:LINE: KEY
// of a key, for errors.
func NewMetrics(c config.Metrics, place func(key string) string, reg *prometheus.Registry) *Metrics {
	m := &Metrics{addr: c.Listen.AddrPort, place: place, reg: reg}
	if m.addr.IsValid() {
		reg.MustRegister(m)
	}
	return m
}

var descConns = prometheus.NewDesc("noonmark_metrics_connections_total", "Connections to the listener of the metrics: admitted, of these displaced to make room, and refused because all places were taken.", []string{"outcome"}, nil)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- descConns }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for o := range crowd.NumOutcomes {
		ch <- prometheus.MustNewConstMetric(descConns, prometheus.CounterValue, float64(m.conns[o].Load()), o.String())
	}
}

// inTurn lets a handler run at most n times at once. The others wait.
func inTurn(n int, h http.Handler) http.Handler {
	places := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// MetricsHandler serves a registry with limits for strangers: few answers are made at once,
// and a client that reads slowly keeps no other from his.
func MetricsHandler(reg prometheus.Gatherer) http.Handler {
	return http.TimeoutHandler(inTurn(metricsAtOnce, promhttp.HandlerFor(reg, promhttp.HandlerOpts{})), metricsTimeout/2, "no time for an answer")
}

// Run listens until ctx is done.
func (m *Metrics) Run(ctx context.Context) error {
	if !m.addr.IsValid() {
		return nil
	}
	ln, err := net.Listen("tcp", m.addr.String())
	if err != nil {
		return m.explain(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(m.reg))
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: metricsTimeout / 2,
		ReadTimeout:       metricsTimeout,
		WriteTimeout:      metricsTimeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // of what strangers do
	}
	srv.SetKeepAlivesEnabled(false)
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	m.at = ln.Addr()
	close(m.ready)
	if err := srv.Serve(crowd.Limit(ln, metricsConns, &m.conns)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// explain adds place and remedy to an error of listening. Metrics are no reason to
// stop serving time, so the task waits for the address.
func (m *Metrics) explain(err error) error {
	return fmt.Errorf("%s: %w; %s", m.place("metrics.listen"), err, ListenRemedy(err, m.addr.Port(), "choose another address, or \"\" for none"))
}

// ListenRemedy says what to do about an error of listening on a TCP port; otherwise is
// the advice if the cause is not known.
func ListenRemedy(err error, port uint16, otherwise string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another program uses the port, see ss -ltnp 'sport = :%d': choose another port", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface has the address yet, or it is not of this machine"
	case errors.Is(err, syscall.EACCES):
		return "this user may not bind the port: choose one from 1024 on"
	case errors.Is(err, syscall.EPERM): // see network.ExplainBind
		return "SocketBindDeny= of the unit forbids the port: choose one that it allows, such as one from 1024 on"
	}
	return otherwise
}

// Ready returns a channel that is closed once the next run listens.
func (m *Metrics) Ready() <-chan struct{} {
	m.ready = make(chan struct{})
	return m.ready
}

// Addr is where it listens, once it is ready.
func (m *Metrics) Addr() net.Addr { return m.at }

// String names the task in logs.
func (m *Metrics) String() string { return "metrics" }
