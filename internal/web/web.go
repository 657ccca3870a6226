// Package web is the web page of a reference clock and the interface behind it:
// what refclockd and ntsserve publish, read-only, as JSON, as a stream of events
// and as a page that needs nothing from other hosts.
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/daemon"
	"noonmark/internal/doctor"
	"noonmark/internal/durable"
	"noonmark/internal/observe"
	"noonmark/server/certs"
	"noonmark/server/crowd"
)

// Limits of a connection.
const (
	headerTimeout = 5 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 8 << 10 // octets
)

// descriptionPath is where the interface is described.
const descriptionPath = "/api/v1/openapi.json"

// Config is what a Server needs.
type Config struct {
	Listen     netip.AddrPort
	Names      []string                           // host names that are accepted, besides addresses and localhost
	ReadToken  func() (*[sha256.Size]byte, error) // of requests, before anything is served; nil: they need none
	TLS        *tls.Config                        // nil: plain HTTP
	MaxConns   int
	MaxStreams int
	// Certificates returns those of TLS as they are now. Nil: there are none.
	Certificates func() []certs.Status

	// As in observe.Machine.
	Refclockd, Ntsserve, Snapshot, Serving string

	Fleet   string // what the agent of a fleet publishes; empty: nothing is looked for
	Wanted  string // the file from which that agent learns that somebody looks; empty: it is not written
	History string // the folder of measurements and events that refclockd keeps
	Mono    func() int64
	// Examine returns what is wrong with this machine. It is called seldom, and only
	// while somebody asks.
	Examine func(context.Context) []doctor.Finding
	Log     *slog.Logger
}

// Server is the task that serves the page.
type Server struct {
	cfg      Config
	token    *[sha256.Size]byte // nil: requests need none
	limited  *daemon.Limited    // for lines that strangers can cause
	files    map[string]asset
	routes   []route
	live     *live
	fleet    *fleet
	findings *findings
	kept     *kept
	counts   *counters
	registry *prometheus.Registry

	ready chan struct{}
	at    net.Addr // set before ready is closed
}

// New returns the task. Nothing is opened yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, limited: daemon.NewLimited(cfg.Log, time.Minute, 5), files: assets(), counts: new(counters), registry: prometheus.NewRegistry(), ready: make(chan struct{})}
	s.fleet = &fleet{path: cfg.Fleet, wanted: durable.Published{Path: cfg.Wanted, Mode: 0o644}, mono: cfg.Mono, log: s.limited}
	s.live = newLive(&observe.Machine{Snapshot: cfg.Snapshot, Serving: cfg.Serving, Mono: cfg.Mono, Refclockd: cfg.Refclockd, Ntsserve: cfg.Ntsserve}, cfg.Certificates)
	s.live.fleet = s.fleet.glance
	s.findings = &findings{examine: cfg.Examine}
	s.kept = newKept(cfg.History, func() time.Time { return s.live.current().at }, &s.counts.slow)
	s.routes = s.newRoutes()
	text := s.description()
	s.files[descriptionPath] = newAsset(jsonType, bytes.NewReader(text), int64(len(text)))
	s.registry.MustRegister(s.counts)
	if cfg.Certificates != nil {
		s.registry.MustRegister(certificateMetrics(cfg.Certificates))
	}
	return s
}

// Ready returns a channel that is closed once the next run listens.
func (s *Server) Ready() <-chan struct{} {
	s.ready = make(chan struct{})
	return s.ready
}

// Addr is where it listens, once it is ready.
func (s *Server) Addr() net.Addr { return s.at }

// Registry has the metrics that are served at /metrics.
func (s *Server) Registry() *prometheus.Registry { return s.registry }

// String names the task in logs.
func (s *Server) String() string { return "web" }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var err error
	if s.token, err = s.cfg.token(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", s.cfg.Listen.String())
	if err != nil {
		return fmt.Errorf("listen: %w; %s", err, daemon.ListenRemedy(err, s.cfg.Listen.Port(), "choose another address"))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		s.live.run(ctx)
	}()
	defer func() { cancel(); <-polled }()
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(quiet{s.limited}, slog.LevelDebug),
		Protocols:   new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true) // one request at a time a connection, so that connections bound requests
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	s.at = ln.Addr()
	close(s.ready)
	var limited net.Listener = crowd.Limit(ln, s.cfg.MaxConns, &s.counts.conns)
	if s.cfg.TLS != nil {
		limited = tls.NewListener(limited, s.cfg.TLS)
	}
	s.cfg.Log.Info("listening", "web", ln.Addr().String(), "tls", s.cfg.TLS != nil)
	if err := srv.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// token reads the token; nil: requests need none.
func (c *Config) token() (*[sha256.Size]byte, error) {
	if c.ReadToken == nil {
		return nil, nil
	}
	return c.ReadToken()
}

// quiet takes what net/http logs about connections of strangers.
type quiet struct{ *daemon.Limited }

// Enabled implements slog.Handler.
func (quiet) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (q quiet) Handle(_ context.Context, r slog.Record) error {
	q.Log(slog.LevelDebug, "connection", "connection failed", "error", r.Message)
	return nil
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs([]slog.Attr) slog.Handler { return q }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(string) slog.Handler { return q }
