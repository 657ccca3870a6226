package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"noonmark/internal/config"
)

// Limits of the metrics listener, which has a handful of clients.
const (
	metricsConns   = 16
	metricsTimeout = 10 * time.Second
)

// Metrics is the task that serves a registry at /metrics.
type Metrics struct {
	addr  netip.AddrPort
	reg   prometheus.Gatherer
	ready chan struct{}
	at    net.Addr // set before ready is closed
}

// NewMetrics returns the task; with no address it is ready and finished at
// once.
func NewMetrics(c config.Metrics, reg prometheus.Gatherer) *Metrics {
	return &Metrics{addr: c.Listen.AddrPort, reg: reg, ready: make(chan struct{})}
}

// Run listens until ctx is done.
func (m *Metrics) Run(ctx context.Context) error {
	if !m.addr.IsValid() {
		close(m.ready)
		return nil
	}
	ln, err := net.Listen("tcp", m.addr.String())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: metricsTimeout / 2}))
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: metricsTimeout / 2,
		ReadTimeout:       metricsTimeout,
		WriteTimeout:      metricsTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	m.at = ln.Addr()
	close(m.ready)
	if err := srv.Serve(netutil.LimitListener(ln, metricsConns)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Ready is closed once the listener is open.
func (m *Metrics) Ready() <-chan struct{} { return m.ready }

// Addr is where it listens; nil before Ready and when off.
func (m *Metrics) Addr() net.Addr { return m.at }

func (m *Metrics) String() string { return "metrics" }
