package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"noonmark/internal/retry"
	"noonmark/refclock/status"
	"noonmark/server/transport/sockets"
)

// endpoint is one address with the sockets and workers that it has while it is
// open.
type endpoint struct {
	name    string
	cfg     Endpoint
	metrics []*workerMetrics // by worker; they outlive its socket

	mu      sync.Mutex     // guards the next
	addr    netip.AddrPort // as opened
	sockets []*sockets.Conn
	workers []*worker // one a socket
	why     error     // why it is not open
}

// newEndpoint returns an endpoint that is not open.
func newEndpoint(ep Endpoint) *endpoint {
	if ep.Socket.Sockets == 0 {
		ep.Socket.Sockets = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	e := &endpoint{cfg: ep, name: ep.Name}
	for range ep.Socket.Sockets {
		e.metrics = append(e.metrics, new(workerMetrics))
	}
	if e.name == "" {
		e.setName(ep.Socket.Addr)
	}
	return e
}

// setName names the endpoint by its address.
func (e *endpoint) setName(addr netip.AddrPort) {
	if e.name = addr.String(); e.cfg.Socket.Interface != "" { // other interfaces may have the same
		e.name += "%" + e.cfg.Socket.Interface
	}
}

// problem returns why the endpoint is not open.
func (e *endpoint) problem() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why
}

// address returns where the endpoint is open.
func (e *endpoint) address() (addr netip.AddrPort, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr, len(e.sockets) > 0
}

// open opens the sockets of an endpoint.
func (s *Server) open(e *endpoint) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	conns, err := sockets.Listen(e.cfg.Socket)
	if err != nil {
		e.why = explain(err)
		return e.why
	}
	e.addr, e.sockets, e.why = conns[0].Addr(), conns, nil
	if e.cfg.Name == "" && e.cfg.Socket.Addr.Port() == 0 {
		e.setName(e.addr)
	}
	for i, c := range conns {
		w := newWorker(s, c, e.cfg.Policy)
		w.metrics = e.metrics[i]
		w.resp.View.Smear = e.cfg.Smear
		e.workers = append(e.workers, w)
	}
	for _, card := range conns[0].Cards() {
		attrs := []any{"endpoint", e.name, "interface", card.Interface, "phc", card.PHC, "receive", card.Receive, "transmit", card.Transmit}
		if card.Receive {
			s.log.Info("hardware timestamps", attrs...)
		} else {
			s.log.Warn("no hardware receive timestamps though the interface has a clock", append(attrs, "error", card.Err)...)
		}
	}
	s.log.Info("listening", "endpoint", e.name, "address", e.addr.String(), "sockets", len(conns), "smear", e.cfg.Smear)
	return nil
}

// explain adds a remedy to what the system refuses most often.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; ports below 1024 need a capability: run under the systemd unit, or setcap cap_net_bind_service+ep on the program", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another time server uses the port: stop it (chronyd, ntpd, ntpsec, systemd-timesyncd), or choose another port", err)
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("%w; IPv6 is off on this machine: switch it on, or leave out the endpoint", err)
	}
	return err
}

// shut closes the sockets, which must not be in use.
func (e *endpoint) shut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.sockets {
		c.Close()
	}
	for _, w := range e.workers {
		w.feed.offer(nil)
	}
	e.sockets, e.workers = nil, nil
}

// fail notes why an endpoint that was open is not.
func (e *endpoint) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = err
}

// offer gives each worker its own reader of the snapshot, if there is one.
func (e *endpoint) offer(snapshot string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		r, err := status.Open(snapshot)
		if err != nil {
			return
		}
		w.feed.offer(r)
	}
}

// refreshLinks reads the speed of the links; all sockets of an endpoint share them.
func (e *endpoint) refreshLinks() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.sockets) > 0 {
		e.sockets[0].RefreshLinks()
	}
}

// receiving returns the number of workers that receive.
func (e *endpoint) receiving() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.workers)
}

// lasted is how long an endpoint must have received for its next failure to be the
// first of a new series.
const lasted = time.Minute

// keep keeps an endpoint open until ctx is done. It calls settled when the endpoint
// receives, and when it has failed.
func (s *Server) keep(ctx context.Context, e *endpoint, settled func()) {
	var back retry.Backoff
	for failed := false; ctx.Err() == nil; failed = true {
		var err error
		if _, ok := e.address(); !ok {
			err = s.open(e)
		}
		if err == nil {
			begun := time.Now()
			err = s.serveEndpoint(ctx, e, settled, failed)
			if ctx.Err() != nil {
				return
			}
			e.fail(err)
			if time.Since(begun) > lasted {
				back.Reset()
			}
		}
		settled()
		wait := back.Next()
		if n, log := back.Failed(); log {
			s.log.Log(ctx, slog.LevelWarn, "endpoint waits, it is opened again", "endpoint", e.name, "error", err, "attempt", n, "next", time.Now().Add(wait).UTC().Format(time.RFC3339))
		}
		retry.Sleep(ctx, wait)
	}
	settled()
	e.shut()
}

// serveEndpoint answers on an open endpoint until ctx is done or a socket fails, and
// closes it.
func (s *Server) serveEndpoint(ctx context.Context, e *endpoint, started func(), again bool) error {
	defer e.shut()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	e.offer(s.cfg.Snapshot) // before the first packet
	ids := make(chan thread, len(e.workers))
	for _, w := range e.workers {
		wg.Go(func() {
			if err := w.run(func(id int, err error) { ids <- thread{id, err} }); err != nil {
				cancel(err)
			}
		})
	}
	s.prioritise(ids, len(e.workers))
	started()
	if again {
		s.log.Info("endpoint receives", "endpoint", e.name)
	}
	<-ctx.Done()
	for _, w := range e.workers {
		w.conn.Stop()
	}
	wg.Wait()
	return context.Cause(ctx)
}
