package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"noonmark/internal/liveness"
	"noonmark/internal/retry"
	"noonmark/refclock/status"
	"noonmark/server/network"
	"noonmark/server/transport/sockets"
)

// endpoint is one address with the sockets and workers that it has while it is
// open.
type endpoint struct {
	name    string
	cfg     Endpoint
	metrics []*workerMetrics // by worker; they outlive its socket

	cardEvents [numCardEvents]atomic.Uint64 // by sockets.CardEventKind
	reopened   atomic.Uint64                // how often the network made that necessary
	changed    chan struct{}                // the network has: it is worth opening again
	opening    liveness.Work                // or closing: what keep does besides waiting

	mu      sync.Mutex     // guards the next; nothing that can hang happens under it
	addr    netip.AddrPort // as opened
	sockets []*sockets.Conn
	workers []*worker               // one a socket
	lack    Lack                    // what it lacks
	why     error                   // and why
	end     context.CancelCauseFunc // ends the workers; nil: they do not run
}

// numCardEvents is the number of kinds of events.
const numCardEvents = int(sockets.CardFails) + 1

// newEndpoint returns an endpoint that is not open.
func newEndpoint(ep Endpoint) *endpoint {
	if ep.Socket.Sockets == 0 {
		ep.Socket.Sockets = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	e := &endpoint{cfg: ep, name: ep.Name, changed: make(chan struct{}, 1)}
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

// problem returns what the endpoint lacks, and why.
func (e *endpoint) problem() (Lack, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lack, e.why
}

// lacks notes what the endpoint lacks, and why. It reports whether that is news.
func (e *endpoint) lacks(lack Lack, why error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	news := lack != e.lack
	e.lack, e.why = lack, why
	return news
}

// wake makes an endpoint that waits try at once.
func (e *endpoint) wake() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// interrupt ends the workers of an endpoint, which is then opened again.
func (e *endpoint) interrupt(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end != nil {
		e.reopened.Add(1)
		e.end(why)
	}
}

// outside returns what the endpoint depends on, and the cards beneath it; nil: it is
// not open.
func (e *endpoint) outside() (o outside, cards *sockets.Cards) {
	e.mu.Lock()
	open := e.sockets
	e.mu.Unlock()
	if len(open) == 0 {
		return o, nil
	}
	return outsideOf(open[0], e.cfg.Socket), open[0].Cards()
}

// outsideOf returns what a socket depends on.
func outsideOf(c *sockets.Conn, cfg sockets.Config) outside {
	o := outside{bound: c.Bound(), name: cfg.Interface, addr: cfg.Addr.Addr(), addressed: sockets.HasAddress(cfg)}
	if z := cfg.Addr.Addr().Zone(); o.name == "" && !isNumber(z) {
		o.name = z
	}
	return o
}

// stuck returns an error if a worker or what keeps the endpoint open hangs. A worker
// that waits for requests does not.
func (e *endpoint) stuck() error {
	if err := e.opening.Stuck(stuckAfter); err != nil {
		return fmt.Errorf("endpoint %s: open or close: %w", e.name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, w := range e.workers {
		if err := w.working.Stuck(stuckAfter); err != nil {
			return fmt.Errorf("endpoint %s: worker %d: %w", e.name, i+1, err)
		}
	}
	return nil
}

// isNumber reports whether a zone is the index of an interface.
func isNumber(zone string) bool {
	_, err := strconv.Atoi(zone)
	return err == nil
}

// address returns where the endpoint is open.
func (e *endpoint) address() (addr netip.AddrPort, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr, len(e.sockets) > 0
}

// open opens the sockets of an endpoint.
func (s *Server) open(e *endpoint) error {
	e.opening.Begin()
	defer e.opening.End()
	conns, err := sockets.Listen(e.cfg.Socket)
	if err != nil {
		why := explain(err, e.cfg.Socket.Addr.Port())
		e.lacks(lackOf(err), why)
		return why
	}
	lack, why := Nothing, error(nil)
	if links, err := network.Read(); err == nil {
		lack, why, _ = outsideOf(conns[0], e.cfg.Socket).judge(links)
	}
	var workers []*worker
	for i, c := range conns {
		w := newWorker(s, c, e.cfg.Policy)
		w.metrics = e.metrics[i]
		w.resp.View.Smear = e.cfg.Smear
		workers = append(workers, w)
	}
	e.mu.Lock()
	e.addr, e.sockets, e.workers, e.lack, e.why = conns[0].Addr(), conns, workers, lack, why
	if e.cfg.Name == "" && e.cfg.Socket.Addr.Port() == 0 {
		e.setName(e.addr)
	}
	e.mu.Unlock()
	for _, card := range conns[0].Cards().List() {
		e.cardEvents[sockets.CardFound].Add(1)
		logCard(context.Background(), s.log, e.name, sockets.CardEvent{Kind: sockets.CardFound, Card: card})
	}
	s.log.Info("listening", "endpoint", e.name, "address", conns[0].Addr().String(), "sockets", len(conns), "smear", e.cfg.Smear)
	if lack != Nothing {
		s.log.Warn("endpoint cannot serve as configured", "endpoint", e.name, "lack", lack.String(), "error", why)
	}
	return nil
}

// explain adds a remedy to what the system refuses most often.
func explain(err error, port uint16) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another time server uses the port: stop it (chronyd, ntpd, ntpsec, systemd-timesyncd), or choose another port", err)
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("%w; IPv6 is off on this machine: switch it on, or leave out the endpoint", err)
	}
	return network.ExplainBind(err, "udp", port)
}

// shut closes the sockets, which must not be in use.
func (e *endpoint) shut() {
	e.opening.Begin()
	defer e.opening.End()
	e.mu.Lock()
	conns, workers := e.sockets, e.workers
	e.sockets, e.workers = nil, nil
	e.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, w := range workers {
		w.feed.offer(nil)
	}
}

// offer gives each worker its own reader of the snapshot, if there is one.
func (e *endpoint) offer(snapshot string) {
	var readers []*status.Reader
	for range e.receiving() {
		r, err := status.Open(snapshot)
		if err != nil {
			break
		}
		readers = append(readers, r)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, r := range readers {
		if i >= len(e.workers) { // closed meanwhile
			r.Close()
			continue
		}
		e.workers[i].feed.offer(r)
	}
}

// stampingCards returns the number of cards that timestamp all received datagrams.
func (e *endpoint) stampingCards() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.sockets) == 0 {
		return 0
	}
	return e.sockets[0].Cards().Stamping()
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
	logged, woken := "", false
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
			e.lacks(lackOf(err), err)
			if logged, woken = "", false; time.Since(begun) > lasted {
				back.Reset()
			}
			if errors.Is(err, errRemade) { // the new one may be there already
				s.log.Warn("endpoint is opened again", "endpoint", e.name, "error", err)
				woken = true
				continue
			}
		}
		settled()
		wait := back.Next()
		// A network that changes all the time causes many attempts.
		if n, log := back.Failed(); log && !woken || err.Error() != logged {
			s.log.Warn("endpoint waits, it is opened again", "endpoint", e.name, "error", err, "attempt", n, "next", time.Now().Add(wait).UTC().Format(time.RFC3339))
			logged = err.Error()
		}
		woken = e.wait(ctx, wait)
	}
	settled()
	e.shut()
}

// wait waits before the next attempt. It reports whether the network has changed
// before that.
func (e *endpoint) wait(ctx context.Context, d time.Duration) (changed bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-e.changed:
		return true
	}
	return false
}

// runs notes how to end the workers; nil: they do not run.
func (e *endpoint) runs(end context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.end = end
}

// serveEndpoint answers on an open endpoint until ctx is done or a socket fails, and
// closes it.
func (s *Server) serveEndpoint(ctx context.Context, e *endpoint, started func(), again bool) error {
	defer e.shut()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e.runs(cancel)
	defer e.runs(nil)
	var wg sync.WaitGroup
	e.opening.Begin()
	e.offer(s.cfg.Snapshot) // before the first packet
	e.opening.End()
	var running sync.WaitGroup
	running.Add(len(e.workers))
	for _, w := range e.workers {
		wg.Go(func() {
			if err := w.run(running.Done); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
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
