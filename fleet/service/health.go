package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/fleet/health"
	"noonmark/fleet/roots"
	"noonmark/internal/daemon"
	"noonmark/server"
	"noonmark/server/crowd"
)

// Health says where the node answers whether it shall be announced.
type Health struct {
	Listen   netip.AddrPort
	Counters string   // file of ntsserve
	Targets  []string // where Prometheus reads metrics of this node, HOST:PORT each
}

// DefaultHealth is where programs of this machine ask.
func DefaultHealth() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 2382)
}

// maxAskers limits the connections to the health endpoint. A machine has one health check
// or two, and Prometheus. A place that is held is taken (package crowd).
const maxAskers = 64

// plain chooses the endpoint of ntsserve that answers NTP without NTS to this machine. One
// of an interface hears nothing on loopback; one of all addresses, or of loopback, is
// there even while an interface is down. Not valid: there is none.
func plain(list []server.Endpoint) (best netip.AddrPort) {
	for _, e := range list {
		a := e.Socket.Addr
		if e.Policy&server.NoPlain != 0 || e.Socket.Interface != "" || a.Port() == 0 {
			continue
		}
		local := a.Addr().IsLoopback()
		if a.Addr().IsUnspecified() {
			local = true
			to := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			if a.Addr().Is6() {
				to = netip.IPv6Loopback()
			}
			a = netip.AddrPortFrom(to, a.Port())
		}
		if local {
			return a
		}
		if !best.IsValid() {
			best = a
		}
	}
	return best
}

// healthTask examines the node and answers whether it shall be announced. Whatever happens
// to it, the agent goes on: then nobody answers, or the answer is that the verdict is old,
// and the node is withdrawn.
type healthTask struct {
	*Service
	facts   func(context.Context) health.Facts
	metrics []prometheus.Collector        // of other tasks
	witness *witnessTask                  // compares the time; nil: nothing does
	keeper  atomic.Pointer[health.Keeper] // of the present run

	// Of Run.
	log         observer
	kept, shown string // as they were logged last
}

func newHealthTask(s *Service, metrics ...prometheus.Collector) *healthTask {
	local := &health.Local{Status: s.cfg.Server.Clock, Serving: s.cfg.Health.Counters, NTP: s.cfg.Server.NTP, KeyFile: s.cfg.Server.KeyFile}
	h := &healthTask{Service: s, metrics: metrics, log: observer{log: s.cfg.Log, now: time.Now}}
	h.facts = func(ctx context.Context) health.Facts {
		f := local.Facts(ctx, time.Now())
		admit(&f, s.agt.Readiness())
		if h.witness != nil && f.Drained { // an operator who lifts the drain is faster than the next comparison
			f.Deviates = h.witness.deviant()
		}
		return f
	}
	return h
}

// admit adds what the agent knows.
func admit(f *health.Facts, r roots.Readiness) {
	switch r {
	case roots.Serves:
	case roots.IsDrained:
		f.Drained = true
	default:
		f.Unready = r.Word()
	}
}

func (h *healthTask) String() string { return "health" }

// Waiting says why the node shall not be announced, without figures that change.
func (h *healthTask) Waiting() error {
	k := h.keeper.Load()
	if k == nil {
		return nil
	}
	r := k.Last()
	if r == nil || r.Verdict.Announce {
		return nil
	}
	return fmt.Errorf("this node shall not be announced: %s", reasons(r))
}

func reasons(r *health.Result) string {
	var words []string
	for _, p := range r.Verdict.Problems {
		words = append(words, p.Reason.String())
	}
	if r.Facts.Drained {
		words = append(words, roots.IsDrained.Word())
	}
	return strings.Join(words, ", ")
}

// errNoPlain says that ntsserve cannot be examined.
var errNoPlain = errors.New("no endpoint of ntsserve answers NTP without NTS on this machine; add one, such as address = \"127.0.0.1:123\"")

// errPanic is wrapped by the error of a run that a fault in this program ended.
var errPanic = errors.New("fault in the program")

// Run listens and makes rounds until ctx ends.
func (h *healthTask) Run(ctx context.Context) (err error) {
	defer func() { // a fault here must not end the process that keeps the key file
		if p := recover(); p != nil {
			h.cfg.Log.Error("fault in the examination of this node", "fault", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	if !h.cfg.Server.NTP.IsValid() {
		return fmt.Errorf("%w, or run with -health off", errNoPlain)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", h.cfg.Health.Listen.String())
	if err != nil {
		return fmt.Errorf("-health: %w; %s", err, daemon.ListenRemedy(err, h.cfg.Health.Listen.Port(), "choose another address, or -health off"))
	}
	begun := time.Now()
	var reached func() health.Peer
	if h.witness != nil {
		reached = h.witness.reached
	}
	k := health.New(h.own, health.Config{
		Node: h.node.Name, Reached: reached, Metrics: h.cfg.Health.Targets, More: h.metrics, Facts: h.facts, Mono: func() time.Duration { return time.Since(begun) },
	})
	srv := k.Server()
	ctx, stop := context.WithCancelCause(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		stop(srv.Serve(crowd.Limit(l, maxAskers, &h.conns.health)))
	}()
	// The endpoint is gone as soon as the end begins: whoever asks withdraws the node.
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	defer func() {
		srv.Close()
		<-served
	}()
	h.keeper.Store(k)
	defer h.keeper.Store(nil)
	err = k.Run(ctx, h.observe)
	return errors.Join(context.Cause(ctx), err)
}

// observe logs what changes. What the node waits for, the states of the tasks show.
func (h *healthTask) observe(r health.Result) {
	var last error
	if r.Verdict.Kept {
		last = errors.New(reasons(&r))
	}
	h.log.changed(&h.kept, last, "this node is not healthy, and announced because no other node is known to be", "this node is not kept any more")
	h.log.changed(&h.shown, r.Etcd, "the others do not see the health of this node", "the others see the health of this node")
}
